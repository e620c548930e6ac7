//! Clients that do not take what is for them.

use std::time::Duration;

use serde_json::json;

use super::rig::*;

#[test]
fn a_poller_whose_queue_is_full_is_ended_and_told_why() {
    let mut rig = Rig::new();
    let (id, other) = (rig.poller(), rig.poller());
    rig.subscribed(&id, "/a");
    rig.subscribed(&other, "/b");
    for offset in 0..1_000 {
        rig.records(&[("/a", 0, offset)]);
    }
    rig.records(&[("/b", 0, 1_000)]);
    assert_eq!((rig.shard.stats().slow_consumers, rig.shard.stats().sessions), (1, 1));
    assert_eq!(rig.demand[&pattern("/a")], 0);
    let reply = rig.call(&connect(&id)).remove(0);
    assert_eq!(reply["error"], "402:slow_consumer:session_unknown");
    assert_eq!(reply["advice"], json!({"reconnect": "handshake", "interval": 0}));
    assert_eq!(numbers(&rig.call(&connect(&other))), [1_000]);
    rig.end();
}

#[test]
fn a_socket_that_does_not_read_is_closed() {
    let mut rig = Rig::new();
    let (id, socket) = rig.streamer();
    rig.subscribed(&id, "/a");
    rig.narrow(socket, Some(0));
    for offset in 0..1_000 {
        rig.records(&[("/a", 0, offset)]);
    }
    assert_eq!(rig.closed, [Closed { socket, code: 1008, grace: Duration::ZERO }]);
    assert_eq!((rig.shard.stats().slow_consumers, rig.shard.stats().sessions), (1, 0));
    assert!(rig.shard.queue_bytes() < 1_000);
    // The held connect is answered, for a client that reads after all.
    rig.narrow(socket, None);
    let received = rig.received(socket);
    assert_eq!(received[0]["error"], "402:slow_consumer:session_unknown");
    assert_eq!(received[0]["advice"]["reconnect"], "handshake");
    rig.end();
}

#[test]
fn a_socket_that_reads_is_not_slow_though_one_batch_is_larger_than_its_queue() {
    let mut rig = Rig::new();
    let (id, socket) = rig.streamer();
    rig.subscribed(&id, "/a");
    let offsets: Vec<_> = (0..1_000).map(|offset| ("/a", 0, offset)).collect();
    rig.records(&offsets);
    assert_eq!(numbers(&rig.received(socket)).len(), 1_000);
    assert_eq!(rig.shard.stats().slow_consumers, 0);
    rig.end();
}

#[test]
fn a_client_that_waits_is_not_slow() {
    let mut rig = Rig::new();
    let id = rig.poller();
    rig.subscribed(&id, "/a");
    let held = rig.post(&connect(&id));
    let offsets: Vec<_> = (0..1_000).map(|offset| ("/a", 0, offset)).collect();
    rig.records(&offsets);
    assert_eq!(numbers(&rig.response(held).unwrap()).len(), 1_000);
    rig.end();
}

#[test]
fn one_event_larger_than_the_queue_passes_an_empty_one() {
    let mut rig = Rig::new();
    let (id, socket) = rig.streamer();
    rig.subscribed(&id, "/a");
    let large = format!("\"{}\"", "x".repeat(50_000));
    rig.narrow(socket, Some(100));
    rig.values(&[("/a", 0, 1, large.as_str())]);
    assert_eq!(rig.shard.stats().sessions, 1);
    rig.narrow(socket, None);
    assert_eq!(rig.received(socket).len(), 1);
    rig.end();
}

#[test]
fn what_waits_for_positions_counts() {
    let mut rig = Rig::new();
    let id = rig.poller();
    let http = rig.post(&subscribe(&id, &json!("/a")));
    for offset in 0..1_000 {
        rig.records(&[("/a", 0, offset)]);
    }
    assert_eq!(rig.response(http).unwrap()[0]["error"], "403::subscribe_failed");
    assert_eq!(rig.shard.stats().slow_consumers, 1);
    rig.grant();
    assert_eq!(rig.demand[&pattern("/a")], 0);
    rig.end();
}

#[test]
fn what_waited_for_positions_can_be_too_much_for_a_stuck_socket() {
    let mut rig = Rig::new();
    let (id, socket) = rig.streamer();
    rig.send(socket, &subscribe(&id, &json!("/a")));
    rig.narrow(socket, Some(0));
    let large = format!("\"{}\"", "x".repeat(6_000));
    rig.values(&[("/a", 0, 1, large.as_str())]);
    rig.grant();
    rig.send(socket, &subscribe(&id, &json!("/*")));
    rig.values(&[("/a", 0, 2, large.as_str())]);
    assert_eq!(rig.shard.stats().slow_consumers, 1);
    rig.grant();
    assert_eq!(rig.shard.stats().sessions, 0);
    rig.end();
}
