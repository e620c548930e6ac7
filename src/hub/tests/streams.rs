//! Event streams: where events go, and how a stream ends.

use std::time::Duration;

use serde_json::{Value, json};

use super::rig::*;
use crate::hub::SocketKey;

/// A connect whose events come by a stream.
fn tick(id: &str) -> Value {
    let mut connect = connect(id);
    connect[0]["connectionType"] = json!("eventsource");
    connect
}

fn streamer(rig: &mut Rig) -> (String, SocketKey) {
    let id = rig.poller();
    rig.subscribed(&id, "/a");
    let stream = rig.stream(&id);
    (id, stream)
}

#[test]
fn connects_neither_wait_nor_bring_events() {
    let mut rig = Rig::new();
    let (id, stream) = streamer(&mut rig);
    rig.values(&[("/a", 0, 1, "1"), ("/b", 0, 2, "2")]);
    for _ in 0..2 {
        let reply = rig.call(&tick(&id));
        assert_eq!(reply.len(), 1);
        assert_eq!(reply[0]["advice"], json!({"reconnect": "retry", "interval": 30_000, "timeout": 0}));
    }
    rig.values(&[("/a", 0, 3, "3")]);
    assert_eq!(numbers(&rig.received(stream)), [1, 3]);
    // Told to come every 30 s, it lives much longer than that.
    rig.after(80_000);
    assert_eq!(rig.call(&tick(&id))[0]["successful"], true);
    rig.end();
}

#[test]
fn without_a_stream_a_connect_brings_the_events() {
    let mut rig = Rig::new();
    let (id, stream) = streamer(&mut rig);
    rig.narrow(stream, Some(10));
    rig.values(&[("/a", 0, 1, "1"), ("/a", 0, 2, "2")]);
    rig.lose(stream);
    assert_eq!(numbers(&rig.call(&tick(&id))), [1, 2]);
    rig.values(&[("/a", 0, 3, "3")]);
    let stream = rig.stream(&id);
    assert_eq!(numbers(&rig.received(stream)), [3]);
    rig.end();
}

#[test]
fn the_latest_transport_has_the_events_and_the_stream_before_ends() {
    let mut rig = Rig::new();
    let (id, first) = streamer(&mut rig);
    let second = rig.stream(&id);
    assert_eq!(rig.closed.pop().map(|it| it.socket), Some(first));
    rig.values(&[("/a", 0, 1, "1")]);
    assert_eq!((numbers(&rig.received(first)), numbers(&rig.received(second))), (vec![], vec![1]));
    let held = rig.post(&connect(&id));
    assert_eq!(rig.closed.pop().map(|it| it.socket), Some(second));
    rig.values(&[("/a", 0, 2, "2")]);
    assert_eq!(numbers(&rig.response(held).unwrap()), [2]);
    rig.end();
}

#[test]
fn a_stream_tells_that_its_session_is_gone() {
    let mut rig = Rig::new();
    let gone = |error: &str| {
        json!([{"channel": "/meta/connect", "successful": false, "error": error,
            "advice": {"reconnect": "handshake", "interval": 0}}])
    };
    let (id, stream) = streamer(&mut rig);
    rig.after(200_000);
    assert_eq!(json!(rig.received(stream)), gone("402::session_unknown"));
    assert_eq!(rig.closed.pop().map(|it| it.socket), Some(stream));
    let late = rig.stream(&id);
    assert_eq!(json!(rig.received(late)), gone("402::session_unknown"));
    assert_eq!(rig.closed.pop().map(|it| it.socket), Some(late));
    // One that does not read is ended, and told when it comes back.
    let (id, slow) = streamer(&mut rig);
    rig.narrow(slow, Some(0));
    let large = format!("\"{}\"", "x".repeat(4000));
    for offset in 0..4 {
        rig.values(&[("/a", 0, offset, &large)]);
    }
    assert_eq!(rig.closed.pop().map(|it| (it.socket, it.code)), Some((slow, 1008)));
    assert_eq!(rig.shard.stats().slow_consumers, 1);
    let back = rig.stream(&id);
    assert_eq!(json!(rig.received(back)), gone("402:slow_consumer:session_unknown"));
    rig.end();
}

#[test]
fn a_disconnect_closes_the_stream() {
    let mut rig = Rig::new();
    let (id, stream) = streamer(&mut rig);
    assert_eq!(rig.call(&disconnect(&id))[0]["successful"], true);
    let closed = rig.closed.pop().unwrap();
    assert_eq!((closed.socket, closed.code), (stream, 1000));
    rig.end();
}

#[test]
fn a_gateway_that_goes_down_closes_streams() {
    let mut rig = Rig::new();
    let (id, stream) = streamer(&mut rig);
    rig.tell(crate::hub::Input::Drain(Duration::ZERO));
    assert_eq!(rig.closed.pop().map(|it| (it.socket, it.code)), Some((stream, 1001)));
    let late = rig.stream(&id);
    assert_eq!(rig.closed.pop().map(|it| it.socket), Some(late));
    rig.end();
}

#[test]
fn a_connect_by_a_transport_that_is_off_is_refused() {
    let types = vec![crate::bayeux::ConnectionType::LongPolling];
    let mut rig = Rig::with(crate::hub::Settings { types, ..settings() });
    let id = rig.poller();
    let refused = |reply: &[Value]| {
        assert_eq!(reply[0]["error"], "301::connection_types_not_supported");
        assert_eq!(reply[0]["advice"]["reconnect"], "handshake");
    };
    refused(&rig.call(&tick(&id)));
    // A handshake on a WebSocket names what is on; the session goes on with that.
    let socket = rig.open();
    rig.send(socket, &handshake());
    let reply = rig.received(socket);
    assert_eq!(reply[0]["supportedConnectionTypes"], json!(["long-polling"]));
    let id = client_id(&reply);
    rig.send(socket, &connect(&id));
    refused(&rig.received(socket));
    assert_eq!(rig.call(&connect(&id))[0]["successful"], true);
    rig.end();
}

#[test]
fn a_connect_in_the_way_of_another_request_is_answered() {
    let mut rig = Rig::new();
    let id = rig.poller();
    let held = rig.post(&connect(&id));
    rig.tell(crate::hub::Input::Hurry(held));
    assert_eq!(rig.response(held).unwrap()[0]["successful"], true);
    // Not again and again without a pause.
    let hurried = |rig: &mut Rig| {
        let held = rig.post(&connect(&id));
        rig.tell(crate::hub::Input::Hurry(held));
        held
    };
    let quick = (0..7).filter(|_| {
        let held = hurried(&mut rig);
        rig.response(held).is_some()
    });
    assert_eq!(quick.count(), 7);
    let held = hurried(&mut rig);
    rig.after(400);
    assert!(rig.response(held).is_none());
    rig.after(100);
    assert!(rig.response(held).is_some());
    rig.end();
}
