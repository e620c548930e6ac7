//! The ack extension: batches, their numbers, and what becomes of them when something breaks.

use serde_json::json;

use super::rig::*;
use crate::hub::{Input, Settings};

#[test]
fn every_connect_reply_closes_a_batch_and_the_next_connect_acknowledges_it() {
    let mut rig = Rig::new();
    let id = rig.acker();
    rig.subscribed(&id, "/a");
    let http = rig.post(&connect_ack(&id, 1));
    rig.records(&[("/a", 0, 1), ("/a", 0, 2)]);
    let body = rig.response(http).unwrap();
    assert_eq!((numbers(&body), batch_of(&body)), (vec![1, 2], Some(2)));
    assert_eq!(body.last().unwrap()["channel"], "/meta/connect", "events before the reply");
    assert_ne!(rig.shard.queue_bytes(), 0, "kept until it is acknowledged");
    let http = rig.post(&connect_ack(&id, 2));
    assert_eq!(rig.shard.queue_bytes(), 0);
    rig.after(30_000);
    let body = rig.response(http).expect("the hold is over");
    assert_eq!((numbers(&body), batch_of(&body)), (vec![], Some(3)));
    rig.end();
}

#[test]
fn a_session_that_does_not_ask_has_no_ext() {
    let mut rig = Rig::new();
    for ext in
        [json!({}), json!({"ack": false}), json!({"ack": "true"}), json!([true]), json!({"token": "x"})]
    {
        let reply = rig.call(&with_ext(handshake(), &ext));
        assert_eq!(reply[0].get("ext"), None, "{ext}");
        let id = client_id(&reply);
        assert_eq!(rig.call(&connect_ack(&id, 5))[0].get("ext"), None);
    }
    rig.end();
}

#[test]
fn what_was_not_acknowledged_comes_again_at_once_before_what_is_new() {
    let mut rig = Rig::new();
    let id = rig.acker();
    rig.subscribed(&id, "/a");
    rig.records(&[("/a", 0, 1), ("/a", 0, 2)]);
    assert_eq!(numbers(&rig.call(&connect_ack(&id, 1))), [1, 2]);
    // The response got lost on its way; no event comes, and the poll is not held all the same.
    let body = rig.call(&connect_ack(&id, 1));
    assert_eq!((numbers(&body), batch_of(&body)), (vec![1, 2], Some(3)));
    rig.records(&[("/a", 0, 3)]);
    let body = rig.call(&connect_ack(&id, 1));
    assert_eq!((numbers(&body), batch_of(&body)), (vec![1, 2, 3], Some(4)));
    // A connect without a number acknowledges nothing new.
    assert_eq!(numbers(&rig.call(&connect(&id))), [1, 2, 3]);
    let http = rig.post(&connect_ack(&id, 5));
    assert!(rig.response(http).is_none(), "held: everything is acknowledged");
    rig.end();
}

#[test]
fn a_poll_that_failed_before_or_after_its_answer_costs_nothing() {
    let mut rig = Rig::new();
    let id = rig.acker();
    rig.subscribed(&id, "/a");
    rig.takes = false;
    // The poll breaks while it is held.
    let http = rig.post(&connect_ack(&id, 1));
    rig.tell(Input::Lost(http));
    rig.records(&[("/a", 0, 1)]);
    // It breaks with its answer half written.
    let http = rig.post(&connect_ack(&id, 1));
    let body = rig.response(http).unwrap();
    assert_eq!(
        (numbers(&body), batch_of(&body)),
        (vec![1], Some(2)),
        "the poll that was gone closed no batch"
    );
    rig.tell(Input::Lost(http));
    // It is written, but never arrives; and the retry comes before the gateway knows what became of it.
    let http = rig.post(&connect_ack(&id, 1));
    assert_eq!(numbers(&rig.response(http).unwrap()), [1]);
    rig.records(&[("/a", 0, 2)]);
    let retry = rig.post(&connect_ack(&id, 1));
    let body = rig.response(retry).unwrap();
    assert_eq!(numbers(&body), [1, 2]);
    rig.tell(Input::Taken(http));
    rig.tell(Input::Taken(retry));
    let batch = batch_of(&body).unwrap();
    let http = rig.post(&connect_ack(&id, batch));
    assert!(rig.response(http).is_none());
    rig.end();
}

#[test]
fn an_overtaken_connect_carries_neither_events_nor_a_number() {
    let mut rig = Rig::new();
    let id = rig.acker();
    rig.subscribed(&id, "/a");
    let older = rig.post(&connect_ack(&id, 1));
    let newer = rig.post(&connect_ack(&id, 1));
    let released = rig.response(older).unwrap();
    assert_eq!((released.len(), &released[0]["successful"], batch_of(&released)), (1, &json!(true), None));
    rig.records(&[("/a", 0, 1)]);
    let body = rig.response(newer).unwrap();
    assert_eq!((numbers(&body), batch_of(&body)), (vec![1], Some(2)));
    rig.end();
}

#[test]
fn a_connect_that_waits_for_its_companions_is_overtaken_likewise() {
    let mut rig = Rig::new();
    let id = rig.acker();
    rig.subscribed(&id, "/a");
    let both = together(&[connect_ack(&id, 1), subscribe(&id, &json!("/b"))]);
    let older = rig.post(&both);
    rig.records(&[("/a", 0, 1)]);
    let body = rig.call(&connect_ack(&id, 1));
    assert_eq!((numbers(&body), batch_of(&body)), (vec![1], Some(2)));
    rig.grant();
    let late = rig.response(older).unwrap();
    assert_eq!((late.len(), batch_of(&late)), (2, None), "nothing of what the newer one brought");
    // One that is not overtaken brings what came while it waited.
    let http = rig.post(&together(&[connect_ack(&id, 2), subscribe(&id, &json!("/c"))]));
    rig.records(&[("/a", 0, 2)]);
    rig.grant();
    let body = rig.response(http).unwrap();
    assert_eq!((numbers(&body), batch_of(&body)), (vec![2], Some(3)));
    let ids: Vec<_> = body.iter().filter_map(|message| message["id"].as_str()).collect();
    assert_eq!(ids, ["c", "s"]);
    rig.end();
}

#[test]
fn two_connects_in_one_request_are_one_batch() {
    let mut rig = Rig::new();
    let id = rig.acker();
    rig.subscribed(&id, "/a");
    rig.records(&[("/a", 0, 1)]);
    let body = rig.call(&together(&[connect_ack(&id, 1), connect_ack(&id, 1)]));
    assert_eq!(numbers(&body), [1]);
    assert_eq!((body[1].get("ext"), &body[2]["ext"]), (None, &json!({"ack": 2})));
    rig.end();
}

#[test]
fn numbers_from_nowhere_are_harmless() {
    let mut rig = Rig::new();
    let id = rig.acker();
    rig.subscribed(&id, "/a");
    // Ahead of anything that was issued: what was sent counts as acknowledged, what was not is not lost.
    rig.records(&[("/a", 0, 1)]);
    assert_eq!(numbers(&rig.call(&connect_ack(&id, 4_000_000_000))), [1]);
    rig.records(&[("/a", 0, 2)]);
    assert_eq!(numbers(&rig.call(&connect_ack(&id, 4_000_000_000))), [2]);
    // Back again: what is kept comes again, what is gone is gone.
    rig.records(&[("/a", 0, 3)]);
    for batch in [-1, 0, 1] {
        assert_eq!(numbers(&rig.call(&connect_ack(&id, batch))), [2, 3], "{batch}");
    }
    rig.end();
}

#[test]
fn on_a_socket_a_batch_and_its_reply_are_one_frame() {
    let mut rig = Rig::new();
    let socket = rig.open();
    rig.send(socket, &handshake_with_ack());
    let id = client_id(&rig.received(socket));
    rig.subscribed(&id, "/a");
    rig.records(&[("/a", 0, 1)]);
    assert!(rig.frames(socket).is_empty(), "events wait for a connect");
    rig.send(socket, &connect_ack(&id, 0));
    let frames = rig.frames(socket);
    assert_eq!((frames.len(), numbers(&frames[0]), batch_of(&frames[0])), (1, vec![1], Some(1)));
    rig.send(socket, &connect_ack(&id, 1));
    assert!(rig.frames(socket).is_empty(), "held");
    rig.records(&[("/a", 0, 2), ("/a", 0, 3)]);
    let frames = rig.frames(socket);
    assert_eq!((frames.len(), numbers(&frames[0]), batch_of(&frames[0])), (1, vec![2, 3], Some(2)));
    // Companions of a connect are answered in their order.
    rig.records(&[("/a", 0, 4)]);
    let connect = connect_ack(&id, 2);
    rig.send(socket, &together(&[unsubscribe(&id, &json!("/x")), connect, unsubscribe(&id, &json!("/y"))]));
    let messages = rig.received(socket);
    let channels: Vec<_> = messages.iter().map(|message| message["channel"].as_str().unwrap()).collect();
    assert_eq!(channels, ["/meta/unsubscribe", "/a", "/meta/connect", "/meta/unsubscribe"]);
    rig.end();
}

#[test]
fn a_session_goes_from_transport_to_transport_with_what_is_not_acknowledged() {
    let mut rig = Rig::new();
    let id = rig.acker();
    rig.subscribed(&id, "/a");
    rig.records(&[("/a", 0, 1)]);
    assert_eq!(numbers(&rig.call(&connect_ack(&id, 1))), [1]);
    // The response did not arrive. The page is loaded again and comes with a socket.
    let first = rig.open();
    rig.send(first, &connect_ack(&id, 1));
    let messages = rig.received(first);
    assert_eq!((numbers(&messages), batch_of(&messages)), (vec![1], Some(3)));
    rig.send(first, &connect_ack(&id, 3));
    // The socket takes half of a batch and hangs; another one comes.
    rig.narrow(first, Some(20));
    rig.records(&[("/a", 0, 2)]);
    let second = rig.open();
    rig.send(second, &connect_ack(&id, 3));
    let messages = rig.received(second);
    assert_eq!((numbers(&messages), batch_of(&messages)), (vec![2], Some(5)));
    rig.lose(first);
    rig.send(second, &connect_ack(&id, 5));
    assert!(rig.received(second).is_empty());
    rig.records(&[("/a", 0, 3)]);
    assert_eq!(numbers(&rig.received(second)), [3]);
    rig.lose(second);
    // And back to polling, from before the last batch.
    rig.records(&[("/a", 0, 4)]);
    assert_eq!(numbers(&rig.call(&connect_ack(&id, 5))), [3, 4]);
    rig.end();
}

#[test]
fn a_batch_that_never_left_its_socket_is_not_acknowledged_by_its_number() {
    let mut rig = Rig::new();
    let id = rig.acker();
    rig.subscribed(&id, "/a");
    let first = rig.open();
    rig.send(first, &connect_ack(&id, 1));
    rig.narrow(first, Some(0));
    rig.records(&[("/a", 0, 1)]);
    let second = rig.open();
    rig.send(second, &connect_ack(&id, 1));
    assert_eq!(numbers(&rig.received(second)), [1]);
    rig.narrow(first, None);
    assert!(rig.frames(first).is_empty(), "the batch went with its session, and its number too");
    rig.end();
}

#[test]
fn a_socket_gets_nothing_again_that_it_still_has_to_write() {
    let mut rig = Rig::new();
    let id = rig.acker();
    rig.subscribed(&id, "/a");
    let socket = rig.open();
    rig.send(socket, &connect_ack(&id, 1));
    rig.narrow(socket, Some(10));
    rig.records(&[("/a", 0, 1)]);
    // The client asks again, though the answer is on its way; only what is new is added.
    rig.send(socket, &connect_ack(&id, 1));
    rig.records(&[("/a", 0, 2)]);
    rig.narrow(socket, None);
    let messages = rig.received(socket);
    assert_eq!(numbers(&messages), [1, 2]);
    rig.send(socket, &connect_ack(&id, 3));
    assert!(rig.received(socket).is_empty());
    assert_eq!(rig.shard.queue_bytes(), 0);
    rig.end();
}

#[test]
fn a_frame_takes_as_much_as_clients_do_and_a_large_event_alone() {
    let mut rig = Rig::with(Settings { queue_bytes: 1 << 20, ..settings() });
    let socket = rig.open();
    rig.send(socket, &handshake_with_ack());
    let id = client_id(&rig.received(socket));
    rig.subscribed(&id, "/a");
    let (small, large) = (format!("\"{}\"", "x".repeat(25_000)), format!("\"{}\"", "x".repeat(100_000)));
    let values: Vec<_> = [&small, &small, &small, &large].into_iter().zip(0..).collect();
    let records: Vec<_> = values.iter().map(|(value, offset)| ("/a", 0, *offset, value.as_str())).collect();
    rig.values(&records);
    let mut counts = Vec::new();
    for batch in 0..4 {
        rig.send(socket, &connect_ack(&id, batch));
        counts.push(rig.received(socket).iter().filter(|message| message.get("data").is_some()).count());
    }
    assert_eq!(counts, [2, 1, 1, 0]);
    rig.end();
}

#[test]
fn a_client_that_never_acknowledges_is_a_slow_one() {
    let mut rig = Rig::new();
    let id = rig.acker();
    rig.subscribed(&id, "/a");
    let half = format!("\"{}\"", "x".repeat(4_000));
    for (offset, messages) in [(0, 2), (1, 3), (2, 4)] {
        rig.values(&[("/a", 0, offset, &half)]);
        assert_eq!(rig.call(&connect_ack(&id, 1)).len(), messages);
    }
    rig.values(&[("/a", 0, 3, &half)]);
    assert_eq!(rig.call(&connect_ack(&id, 1))[0]["error"], "402:slow_consumer:session_unknown");
    assert_eq!(rig.shard.stats().slow_consumers, 1);
    rig.end();
}

#[test]
fn an_event_larger_than_the_queue_passes() {
    let mut rig = Rig::new();
    let id = rig.acker();
    rig.subscribed(&id, "/a");
    let large = format!("\"{}\"", "x".repeat(20_000));
    for (batch, offset) in [(1, 0), (2, 1)] {
        let http = rig.post(&connect_ack(&id, batch));
        rig.values(&[("/a", 0, offset, &large)]);
        assert_eq!(rig.response(http).unwrap().len(), 2);
    }
    assert_eq!(rig.shard.stats().slow_consumers, 0);
    rig.end();
}

#[test]
fn who_asks_again_and_again_and_acknowledges_nothing_is_paced() {
    let mut rig = Rig::new();
    let id = rig.acker();
    rig.subscribed(&id, "/a");
    rig.records(&[("/a", 0, 1)]);
    let mut at_once = 0;
    for _ in 0..20 {
        let http = rig.post(&connect_ack(&id, 1));
        if rig.response(http).is_some() {
            at_once += 1;
        } else {
            rig.after(500);
            assert_eq!(numbers(&rig.response(http).unwrap()), [1]);
        }
    }
    assert!(at_once < 20, "{at_once}");
    rig.end();
}

#[test]
fn a_session_whose_batch_is_being_read_does_not_expire() {
    let mut rig = Rig::new();
    let id = rig.acker();
    rig.subscribed(&id, "/a");
    rig.records(&[("/a", 0, 1)]);
    rig.takes = false;
    let http = rig.post(&connect_ack(&id, 1));
    assert!(rig.response(http).is_some());
    rig.after(300_000);
    assert_eq!(rig.shard.stats().sessions, 1);
    rig.tell(Input::Taken(http));
    rig.after(59_000);
    assert_eq!(rig.shard.stats().sessions, 1);
    rig.after(2_000);
    assert_eq!(rig.shard.stats().sessions, 0);
    rig.end();
}

#[test]
fn a_new_session_on_the_same_socket_gets_nothing_of_the_one_before() {
    let mut rig = Rig::new();
    let socket = rig.open();
    rig.send(socket, &handshake_with_ack());
    let first = client_id(&rig.received(socket));
    rig.subscribed(&first, "/a");
    rig.send(socket, &connect_ack(&first, 0));
    assert_eq!(batch_of(&rig.received(socket)), Some(1));
    rig.send(socket, &connect_ack(&first, 1));
    rig.narrow(socket, Some(5));
    rig.records(&[("/a", 0, 1)]);
    rig.send(socket, &handshake_with_ack());
    rig.narrow(socket, None);
    let messages = rig.received(socket);
    let second = messages.last().unwrap()["clientId"].as_str().unwrap().to_owned();
    rig.subscribed(&second, "/a");
    rig.records(&[("/a", 0, 2)]);
    rig.send(socket, &connect_ack(&second, 0));
    let messages = rig.received(socket);
    assert_eq!((numbers(&messages), batch_of(&messages)), (vec![2], Some(1)));
    // The first one polls on.
    assert_eq!(numbers(&rig.call(&connect_ack(&first, 1))), [1, 2]);
    rig.end();
}
