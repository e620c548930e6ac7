//! The gateway goes down.

use std::time::Duration;

use serde_json::json;

use super::rig::*;
use crate::hub::Input;

fn drain(rig: &mut Rig) {
    rig.tell(Input::Drain(Duration::from_secs(10)));
}

#[test]
fn held_polls_are_answered_with_pauses_spread_over_time() {
    let mut rig = Rig::new();
    let held: Vec<_> = (0..20)
        .map(|_| {
            let id = rig.poller();
            rig.post(&connect(&id))
        })
        .collect();
    drain(&mut rig);
    let mut pauses: Vec<u64> = Vec::new();
    for http in held {
        let reply = rig.response(http).unwrap().remove(0);
        assert_eq!((&reply["successful"], &reply["advice"]["reconnect"]), (&json!(true), &json!("retry")));
        pauses.push(reply["advice"]["interval"].as_u64().unwrap());
    }
    pauses.sort_unstable();
    pauses.dedup();
    assert!(pauses.len() > 10 && pauses.iter().all(|pause| *pause <= 10_000), "{pauses:?}");
    assert!(rig.shard.is_idle());
    rig.end();
}

#[test]
fn events_leave_with_the_last_reply_and_later_connects_are_not_held() {
    let mut rig = Rig::new();
    let id = rig.poller();
    rig.subscribed(&id, "/a");
    let held = rig.post(&connect(&id));
    let batch = rig.batch(&[("/a", 0, 1, "1")]);
    rig.shard.handle(Input::Batch(batch), rig.now);
    drain(&mut rig);
    assert_eq!(numbers(&rig.response(held).unwrap()), [1]);
    rig.records(&[("/a", 0, 2)]);
    assert_eq!(numbers(&rig.call(&connect(&id))), [2]);
    assert_eq!(rig.call(&connect(&id)).len(), 1);
    rig.end();
}

#[test]
fn what_is_new_is_refused_and_what_is_under_way_is_finished() {
    let mut rig = Rig::new();
    let id = rig.poller();
    let waiting = rig.post(&together(&[subscribe(&id, &json!("/a")), publish(&id, "1", "/a", &json!(1))]));
    let under_way = rig.poller();
    let produced = rig.post(&publish(&under_way, "2", "/a", &json!(2)));
    drain(&mut rig);
    assert!(!rig.shard.is_idle());
    assert_eq!(rig.call(&handshake())[0]["error"], "503::draining");
    assert!(rig.call(&handshake())[0].get("advice").is_none());
    let other = rig.call(&subscribe(&under_way, &json!("/b")));
    assert_eq!(other[0]["error"], "503::draining");
    assert_eq!(rig.call(&publish(&under_way, "3", "/b", &json!(3)))[0]["error"], "503::draining");
    // The subscribe was there before; the publish behind it comes too late.
    rig.grant();
    let replies = rig.response(waiting).unwrap();
    assert_eq!((&replies[0]["successful"], &replies[1]["error"]), (&json!(true), &json!("503::draining")));
    rig.produce(Ok(()));
    assert_eq!(rig.response(produced).unwrap()[0]["successful"], true);
    assert!(rig.shard.is_idle() && rig.produced.is_empty());
    rig.end();
}

#[test]
fn a_publish_sent_again_is_still_told_its_outcome() {
    let mut rig = Rig::new();
    let id = rig.poller();
    let first = rig.post(&publish(&id, "p", "/a", &json!(1)));
    drain(&mut rig);
    let twin = rig.post(&publish(&id, "p", "/a", &json!(1)));
    rig.produce(Ok(()));
    assert_eq!(rig.response(first).unwrap()[0]["successful"], true);
    assert_eq!(rig.response(twin).unwrap()[0]["successful"], true);
    rig.end();
}

#[test]
fn sockets_close_when_nothing_of_theirs_waits() {
    let mut rig = Rig::new();
    let (_, quiet) = rig.streamer();
    let idle = rig.open();
    let (id, busy) = rig.streamer();
    rig.send(busy, &publish(&id, "p", "/a", &json!(1)));
    drain(&mut rig);
    let reply = rig.received(quiet).remove(0);
    assert_eq!(
        (&reply["channel"], &reply["advice"]["reconnect"]),
        (&json!("/meta/connect"), &json!("retry"))
    );
    let close = |socket| Closed { socket, code: 1001, grace: Duration::ZERO };
    assert_eq!(rig.closed.len(), 2);
    assert!(rig.closed.contains(&close(quiet)) && rig.closed.contains(&close(idle)));
    rig.received(busy);
    rig.produce(Ok(()));
    assert_eq!(rig.received(busy)[0]["successful"], true);
    assert_eq!((rig.closed.len(), rig.closed.last()), (3, Some(&close(busy))));
    rig.end();
}

#[test]
fn a_socket_that_comes_during_the_drain_is_closed_too() {
    let mut rig = Rig::new();
    drain(&mut rig);
    let socket = rig.open();
    rig.send(socket, &handshake());
    assert_eq!(rig.received(socket)[0]["error"], "503::draining");
    assert_eq!((rig.closed.len(), rig.closed[0].code), (1, 1001));
    rig.end();
}
