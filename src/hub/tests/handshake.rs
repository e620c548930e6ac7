//! Handshakes, clientIds and the browser cookie.

use serde_json::json;

use super::rig::*;
use crate::hub::{Addresses, Settings};

#[test]
fn a_good_reply_has_all_that_clients_need() {
    let mut rig = Rig::new();
    let http = rig.post(&handshake());
    let reply = rig.response(http).unwrap().remove(0);
    assert_eq!(reply["successful"], true);
    assert_eq!(reply["id"], "h");
    assert_eq!(reply["version"], "1.0");
    assert_eq!(
        reply["supportedConnectionTypes"],
        json!(["websocket", "eventsource", "long-polling", "cross-origin-long-polling", "callback-polling"])
    );
    assert_eq!(reply["advice"], json!({"reconnect": "retry", "interval": 0, "timeout": 30_000}));
    let id = reply["clientId"].as_str().unwrap();
    assert_eq!(crate::hub::shard_of(id), Some(3));
    let browser = rig.cookie(http).unwrap();
    assert!(!browser.contains(id));
    rig.end();
}

#[test]
fn companions_of_a_handshake_are_neither_processed_nor_answered() {
    let mut rig = Rig::new();
    let id = rig.poller();
    let replies = rig.call(&together(&[
        subscribe(&id, &json!("/a")),
        handshake(),
        publish(&id, "p", "/a", &json!(1)),
        disconnect(&id),
    ]));
    assert_eq!(replies.len(), 1);
    assert_eq!(replies[0]["channel"], "/meta/handshake");
    assert!(rig.asked.is_empty() && rig.produced.is_empty());
    assert_eq!(rig.shard.stats().sessions, 2);
    rig.end();
}

#[test]
fn without_a_common_type_it_fails_for_good() {
    let mut rig = Rig::new();
    let reply = rig.call(&json!([{"channel": "/meta/handshake", "supportedConnectionTypes": ["flash"]}]));
    assert_eq!(reply[0]["successful"], false);
    assert_eq!(reply[0]["error"], "301::connection_types_not_supported");
    assert_eq!(reply[0]["advice"], json!({"reconnect": "none"}));
    assert_eq!(reply[0]["supportedConnectionTypes"][0], "websocket");
    assert!(reply[0].get("clientId").is_none() && reply[0].get("id").is_none());
    assert_eq!((rig.shard.stats().sessions, rig.shard.stats().handshakes_refused), (0, 1));
    rig.end();
}

#[test]
fn a_browsers_cookie_is_adopted_and_not_set_again() {
    let mut rig = Rig::new();
    rig.browser = Some("mine");
    let http = rig.post(&handshake());
    assert_eq!(rig.cookie(http), None);
    rig.end();
}

#[test]
fn another_cookie_than_the_sessions_does_not_know_it() {
    let mut rig = Rig::new();
    rig.browser = Some("mine");
    let id = client_id(&rig.call(&handshake()));
    rig.browser = Some("theirs");
    for request in [
        subscribe(&id, &json!("/a")),
        unsubscribe(&id, &json!("/a")),
        publish(&id, "p", "/a", &json!(1)),
        disconnect(&id),
    ] {
        let reply = rig.call(&request).remove(0);
        assert_eq!(reply["error"], "402::session_unknown");
        assert!(reply.get("advice").is_none());
    }
    let reply = rig.call(&connect(&id)).remove(0);
    assert_eq!(reply["error"], "402::session_unknown");
    assert_eq!(reply["advice"], json!({"reconnect": "handshake", "interval": 0}));
    // Without any cookie, and with its own, the session is there.
    for browser in [None, Some("mine")] {
        rig.browser = browser;
        assert_eq!(rig.call(&connect_for(&id, 0))[0]["successful"], true);
    }
    rig.end();
}

#[test]
fn a_session_without_cookie_is_bound_to_the_first_that_comes() {
    let mut rig = Rig::new();
    let socket = rig.open();
    rig.send(socket, &handshake());
    let id = client_id(&rig.received(socket));
    rig.browser = Some("mine");
    assert_eq!(rig.call(&connect(&id))[0]["successful"], true);
    rig.browser = Some("theirs");
    assert_eq!(rig.call(&connect(&id))[0]["successful"], false);
    rig.end();
}

#[test]
fn a_stale_client_id_in_a_handshake_is_ignored_and_waits_for_nothing() {
    let mut rig = Rig::new();
    let id = rig.poller();
    // The old session waits for Kafka; the new one need not.
    let waiting = rig.post(&subscribe(&id, &json!("/a")));
    let again = rig.call(&json!([{"channel": "/meta/handshake", "id": 1, "clientId": id,
        "supportedConnectionTypes": ["long-polling"], "advice": {"timeout": 60_000}, "ext": {"x": []}}]));
    assert_ne!(client_id(&again), id);
    assert_eq!(again[0]["id"], 1);
    rig.grant();
    assert!(rig.response(waiting).is_some());
    rig.end();
}

#[test]
fn sessions_that_never_connect_make_room_oldest_first() {
    let mut rig = Rig::new();
    let stays = rig.poller();
    let first = client_id(&rig.call(&handshake()));
    let second = client_id(&rig.call(&handshake()));
    for _ in 0..MAX_UNCONNECTED - 1 {
        rig.call(&handshake());
    }
    assert_eq!(rig.call(&connect(&first))[0]["error"], "402::session_unknown");
    assert_eq!(rig.call(&connect(&second))[0]["successful"], true);
    assert_eq!((rig.shard.stats().sessions, rig.shard.stats().expired), (MAX_UNCONNECTED + 1, 1));
    for n in 0..20_000 {
        let id = client_id(&rig.call(&handshake()));
        if n % 1000 == 0 {
            assert_eq!(rig.call(&connect(&id))[0]["successful"], true);
        }
    }
    // What was is not remembered either.
    assert_eq!(rig.shard.stats().sessions, MAX_UNCONNECTED + 22);
    assert!(rig.shard.newcomers.len() < 2_000 && rig.shard.timers.len() < 2_000);
    assert_eq!(rig.call(&connect_for(&stays, 0))[0]["successful"], true);
    rig.after(60_000);
    assert_eq!((rig.shard.unconnected, rig.shard.newcomers.len() < 2_000), (0, true));
    rig.end();
}

#[test]
fn sessions_of_an_address_are_counted_over_the_shards() {
    let shared = Addresses::new(2);
    let counted = || Rig::with(Settings { addresses: Some(shared.clone()), ..settings() });
    let (mut one, mut other) = (counted(), counted());
    let first = client_id(&one.call(&handshake()));
    client_id(&other.call(&handshake()));
    for rig in [&mut one, &mut other] {
        let refused = rig.call(&handshake());
        let expected = json!([{"channel": "/meta/handshake", "id": "h", "successful": false, "error": "503::too_many_sessions"}]);
        assert_eq!(json!(refused), expected);
        assert_eq!(
            (rig.shard.stats().handshakes_refused, rig.shard.stats().limited.sessions_per_address),
            (1, 1)
        );
    }
    other.peer = [10, 0, 0, 1].into();
    client_id(&other.call(&handshake()));
    other.peer = one.peer;
    one.call(&disconnect(&first));
    client_id(&other.call(&handshake()));
    // What expires gives its place back, too.
    other.after(100_000);
    assert_eq!(other.shard.stats().sessions, 0);
    client_id(&one.call(&handshake()));
    client_id(&one.call(&handshake()));
    one.end();
    other.end();
}
