//! Publishes: order, bounds, and those that are sent again.

use std::num::NonZeroU32;

use serde_json::{Value, json};

use super::rig::*;
use crate::bayeux::Error;
use crate::hub::{Input, Settings};

fn ids(messages: &[Value]) -> Vec<Value> {
    messages.iter().map(|reply| reply["id"].clone()).collect()
}

#[test]
fn the_reply_is_kafkas_answer() {
    let mut rig = Rig::new();
    let id = rig.poller();
    let http = rig.post(&publish(&id, "p", "/a", &json!({"x": null})));
    assert!(rig.response(http).is_none());
    assert_eq!((rig.produced[0].channel.as_str(), rig.produced[0].data.as_str()), ("/a", r#"{"x":null}"#));
    rig.produce(Ok(()));
    assert_eq!(rig.response(http).unwrap(), [json!({"channel": "/a", "id": "p", "successful": true})]);
    let http = rig.post(&publish(&id, "q", "/a", &json!(1)));
    rig.produce(Err(Error::about(504, "/a", "outcome_unknown")));
    assert_eq!(
        rig.response(http).unwrap(),
        [json!({"channel": "/a", "id": "q", "successful": false, "error": "504:/a:outcome_unknown"})]
    );
    rig.end();
}

#[test]
fn replies_of_a_batch_keep_its_order_whatever_the_order_of_the_outcomes() {
    let mut rig = Rig::new();
    let id = rig.poller();
    let http = rig.post(&together(&[
        publish(&id, "1", "/a", &json!(1)),
        publish(&id, "2", "/b", &json!(2)),
        publish(&id, "3", "/a", &json!(3)),
    ]));
    assert!(rig.produced.iter().all(|it| it.session == rig.produced[0].session));
    let data: Vec<_> = rig.produced.iter().map(|it| it.data.clone()).collect();
    assert_eq!(data, ["1", "2", "3"]);
    rig.produced.rotate_left(1);
    (0..3).for_each(|_| rig.produce(Ok(())));
    assert_eq!(ids(&rig.response(http).unwrap()), ["1", "2", "3"]);
    rig.end();
}

#[test]
fn publishes_on_their_way_are_bounded() {
    let mut rig = Rig::new();
    let id = rig.poller();
    for n in 0..4 {
        rig.post(&publish(&id, &n.to_string(), "/a", &json!(n)));
    }
    let refused = rig.call(&publish(&id, "4", "/a", &json!(4)));
    assert_eq!(refused[0]["error"], "503:/a:busy");
    rig.produce(Ok(()));
    rig.post(&publish(&id, "4", "/a", &json!(4)));
    assert_eq!(rig.produced.len(), 4);
    rig.end();
}

#[test]
fn a_twin_gets_the_result_of_the_first_while_that_is_pending() {
    let mut rig = Rig::new();
    let id = rig.poller();
    let first = rig.post(&publish(&id, "p", "/a", &json!(1)));
    let twin = rig.post(&publish(&id, "p", "/a", &json!(1)));
    let others = [
        rig.post(&publish(&id, "q", "/a", &json!(1))),
        rig.post(&publish(&id, "p", "/b", &json!(1))),
        rig.post(&publish(&id, "p", "/a", &json!(2))),
    ];
    assert_eq!((rig.produced.len(), rig.shard.stats().twins), (4, 1));
    rig.produce(Err(Error::busy("/a")));
    for http in [first, twin] {
        assert_eq!(rig.response(http).unwrap()[0]["error"], "503:/a:busy");
    }
    (0..3).for_each(|_| rig.produce(Ok(())));
    assert!(others.into_iter().all(|http| rig.response(http).unwrap()[0]["successful"] == true));
    rig.end();
}

#[test]
fn a_twin_gets_the_result_whose_reply_was_lost_and_only_once() {
    let mut rig = Rig::new();
    let id = rig.poller();
    rig.takes = false;
    let first = rig.post(&publish(&id, "p", "/a", &json!(1)));
    rig.produce(Ok(()));
    rig.tell(Input::Lost(first));
    let again = rig.call(&publish(&id, "p", "/a", &json!(1)));
    assert_eq!(again[0]["successful"], true);
    assert!(rig.produced.is_empty());
    // Lost again, it is still known; taken, it is forgotten.
    rig.tell(Input::Lost(first + 1));
    rig.takes = true;
    assert_eq!(rig.call(&publish(&id, "p", "/a", &json!(1)))[0]["successful"], true);
    rig.post(&publish(&id, "p", "/a", &json!(1)));
    assert_eq!((rig.produced.len(), rig.shard.stats().twins), (1, 2));
    rig.end();
}

#[test]
fn a_publish_whose_reply_went_out_has_no_twin() {
    let mut rig = Rig::new();
    let id = rig.poller();
    for _ in 0..2 {
        // Message ids start over after a page reload.
        let http = rig.post(&publish(&id, "2", "/a", &json!("same")));
        rig.produce(Ok(()));
        assert!(rig.response(http).is_some());
    }
    rig.end();
}

#[test]
fn a_client_that_left_before_the_answer_finds_it_when_it_asks_again() {
    let mut rig = Rig::new();
    let id = rig.poller();
    let first = rig.post(&publish(&id, "p", "/a", &json!(1)));
    rig.tell(Input::Lost(first));
    rig.produce(Ok(()));
    assert!(rig.response(first).is_none());
    assert_eq!(rig.call(&publish(&id, "p", "/a", &json!(1)))[0]["successful"], true);
    rig.end();
}

#[test]
fn twins_on_websockets_go_by_what_was_written() {
    let mut rig = Rig::new();
    let (id, socket) = rig.streamer();
    rig.send(socket, &publish(&id, "seen", "/a", &json!(1)));
    rig.produce(Ok(()));
    rig.narrow(socket, Some(10));
    rig.send(socket, &publish(&id, "unseen", "/a", &json!(1)));
    rig.produce(Ok(()));
    rig.lose(socket);
    let socket = rig.open();
    rig.send(
        socket,
        &together(&[publish(&id, "unseen", "/a", &json!(1)), publish(&id, "seen", "/a", &json!(1))]),
    );
    assert_eq!(rig.produced.len(), 1);
    rig.produce(Ok(()));
    assert_eq!(ids(&rig.received(socket)), ["unseen", "seen"]);
    assert_eq!(rig.shard.stats().twins, 1);
    rig.end();
}

#[test]
fn twins_that_wait_are_bounded() {
    let mut rig = Rig::new();
    let (id, socket) = rig.streamer();
    for _ in 0..1_000 {
        rig.send(socket, &publish(&id, "p", "/a", &json!(1)));
    }
    let refused = rig.received(socket);
    assert!(refused.len() > 900);
    assert!(refused.iter().all(|reply| reply["error"] == "503:/a:busy"));
    rig.produce(Ok(()));
    assert_eq!(rig.received(socket).len() + refused.len(), 1_000);
    rig.end();
}

#[test]
fn a_session_that_ended_is_answered_what_it_published_before() {
    let mut rig = Rig::new();
    let id = rig.poller();
    let http = rig.post(&publish(&id, "p", "/a", &json!(1)));
    rig.call(&disconnect(&id));
    rig.produce(Ok(()));
    assert_eq!(ids(&rig.response(http).unwrap()), ["p"]);
    rig.end();
}

#[test]
fn a_session_publishes_so_often_and_no_more() {
    let mut rig = Rig::with(Settings { publish_rate: NonZeroU32::new(3), ..settings() });
    let (id, other) = (rig.poller(), rig.poller());
    let ask = |rig: &mut Rig, id: &str, n: i32| {
        let http = rig.post(&publish(id, &n.to_string(), "/a", &json!(n)));
        if rig.produced.is_empty() {
            return rig.response(http).unwrap()[0]["error"].clone();
        }
        rig.produce(Ok(()));
        rig.response(http).unwrap()[0]["successful"].clone()
    };
    for n in 0..3 {
        assert_eq!(ask(&mut rig, &id, n), true);
    }
    assert_eq!(ask(&mut rig, &id, 3), "429:/a:publish_rate");
    assert_eq!(ask(&mut rig, &other, 3), true);
    rig.after(334);
    assert_eq!((ask(&mut rig, &id, 4), ask(&mut rig, &id, 5)), (json!(true), json!("429:/a:publish_rate")));
    assert_eq!(rig.shard.stats().limited.publish_rate, 2);
    rig.end();
}
