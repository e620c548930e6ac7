//! Connects: held, answered, replaced, and what becomes of a session without them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::raw::{Raw, SOON, gateway};
use crate::support::bayeux::{BOTH, Client, Transport};
use crate::support::http::Http;
use crate::support::{eventually, ws};

const AT_ONCE: Duration = Duration::from_millis(500);

fn with(mut message: Value, field: &str, value: Value) -> Value {
    message[field] = value;
    message
}

/// R3, R34, R35, R38, R55, W1, W2, W4, W16, W26, B16, B65: held a little less than advised, then answered without events, on either
/// transport.
#[test]
fn a_connect_is_held_until_its_time_is_over() {
    let gateway = gateway("bayeux: { timeout: 2s }");
    for transport in BOTH {
        let (mut raw, id) = Raw::session(gateway.addr(), transport);
        let mut shortest = Duration::MAX;
        for _ in 0..3 {
            let asked = Instant::now();
            let all = raw.all(&json!([with(raw.connect_message(&id), "id", json!("c"))]));
            let held = asked.elapsed();
            let advice = json!({ "reconnect": "retry", "interval": 0, "timeout": 2000 });
            assert_eq!(
                all,
                [json!({ "channel": "/meta/connect", "id": "c", "successful": true, "advice": advice })]
            );
            assert!(held > Duration::from_millis(1800), "{transport:?}: {held:?}");
            shortest = shortest.min(held);
        }
        // On a busy machine an answer may come late all the same.
        assert!(shortest < Duration::from_secs(2), "{transport:?}: {shortest:?}");
    }
}

/// R36, B17: what the client asks for holds for that connect, up to what is advised; the advice stays the gateway's.
#[test]
fn a_client_says_how_long_its_connect_is_held() {
    let gateway = gateway("bayeux: { timeout: 2s }");
    for transport in BOTH {
        let (mut raw, id) = Raw::session(gateway.addr(), transport);
        for (asked, least, most) in [
            (json!(0), 0, 500),
            (json!(1000), 900, 1500),
            (json!(60_000), 1800, 2500),
            (json!("no number"), 1800, 2500),
        ] {
            let connect = with(raw.connect_message(&id), "advice", json!({ "timeout": asked }));
            let since = Instant::now();
            let reply = raw.one(&connect);
            let held = since.elapsed().as_millis();
            assert!((least..=most).contains(&held), "{transport:?}, {asked}: {held} ms");
            assert_eq!(reply["advice"], json!({ "reconnect": "retry", "interval": 0, "timeout": 2000 }));
        }
    }
}

/// R38, R57: a pause between connects is advised as it is configured, and the next connect may come after it.
#[test]
fn the_interval_is_advised() {
    let gateway = gateway("bayeux: { timeout: 1s, interval: 250ms }");
    for transport in BOTH {
        let mut raw = Raw::connect(gateway.addr(), transport);
        let reply = raw.one(&json!({
            "channel": "/meta/handshake", "version": "1.0", "supportedConnectionTypes": [transport.name()],
        }));
        let advice = json!({ "reconnect": "retry", "interval": 250, "timeout": 1000 });
        assert_eq!(reply["advice"], advice);
        let connect = raw.connect_message(reply["clientId"].as_str().expect("a string"));
        for _ in 0..2 {
            let reply = raw.one(&connect);
            assert_eq!((&reply["successful"], &reply["advice"]), (&json!(true), &advice));
        }
    }
}

/// R40: what the connect calls its type makes no difference.
#[test]
fn the_type_of_a_connect_is_how_it_came() {
    let gateway = gateway("bayeux: { timeout: 1s }");
    for transport in BOTH {
        let (mut raw, id) = Raw::session(gateway.addr(), transport);
        for connection_type in [json!(null), json!("flash"), json!("callback-polling"), json!(7)] {
            let mut connect = with(raw.connect_message(&id), "connectionType", connection_type.clone());
            connect["advice"] = json!({ "timeout": 0 });
            if connection_type.is_null() {
                connect.as_object_mut().expect("an object").remove("connectionType");
            }
            assert_eq!(raw.one(&connect)["successful"], true, "{connection_type}");
        }
    }
}

/// W8, B15: with or without advice, on either transport.
#[test]
fn the_first_connect_is_never_held() {
    let gateway = gateway("");
    for transport in BOTH {
        for advice in
            [None, Some(json!({})), Some(json!({ "timeout": 20_000 })), Some(json!({ "timeout": 0 }))]
        {
            let (mut raw, id) = Raw::shaken(gateway.addr(), transport);
            let mut connect = raw.connect_message(&id);
            if let Some(advice) = advice {
                connect["advice"] = advice;
            }
            let asked = Instant::now();
            assert_eq!(raw.one(&connect)["successful"], true);
            assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
        }
    }
}

/// R54, W9, B21: the older connect is answered where it came from, the newer one is held, and events go to the newer.
#[test]
fn a_newer_connect_on_another_transport_takes_over() {
    let gateway = gateway("");
    for (older, newer) in [(BOTH[0], BOTH[1]), (BOTH[1], BOTH[0]), (BOTH[0], BOTH[0]), (BOTH[1], BOTH[1])] {
        let (mut first, id) = Raw::session(gateway.addr(), older);
        first.one(&json!({ "channel": "/meta/subscribe", "clientId": id, "subscription": "/chat/a" }));
        first.send(&with(first.connect_message(&id), "id", json!("older")).to_string());
        first.expect_silence(Duration::from_millis(200));
        let mut second = Raw::connect(gateway.addr(), newer);
        second.send(&with(second.connect_message(&id), "id", json!("newer")).to_string());
        let released = first.until_replies(SOON);
        assert_eq!(released.len(), 1, "{released:?}");
        assert_eq!((&released[0]["id"], &released[0]["successful"]), (&json!("older"), &json!(true)));
        second.expect_silence(Duration::from_millis(200));
        let mut writer = Client::open(gateway.addr(), Transport::WebSocket);
        assert_eq!(writer.publish("/chat/a", &json!(1))["successful"], true);
        let event = second.receive(SOON).expect("the event comes");
        assert_eq!(event[0], json!({ "channel": "/chat/a", "data": 1 }), "{older:?}, {newer:?}");
    }
}

/// R54, B22, W10: a client that gave up a connect sends another; the events are in the newer one's answer, once.
#[test]
fn an_abandoned_connect_takes_no_events_along() {
    let gateway = gateway("");
    for round in 0..10 {
        let (mut raw, id) = Raw::session(gateway.addr(), Transport::LongPolling);
        raw.one(&json!({ "channel": "/meta/subscribe", "clientId": id, "subscription": "/chat/a" }));
        raw.send(&raw.connect_message(&id).to_string());
        // Some are abandoned when they are held already, some perhaps before.
        if round % 2 == 0 {
            raw.expect_silence(Duration::from_millis(50));
        }
        let connect = with(raw.connect_message(&id), "id", json!("again"));
        drop(raw);
        let mut writer = Client::open(gateway.addr(), Transport::WebSocket);
        assert_eq!(writer.publish("/chat/a", &json!(round))["successful"], true);
        let mut raw = Raw::connect(gateway.addr(), Transport::LongPolling);
        let all = raw.all(&connect);
        assert_eq!(all.len(), 2, "{all:?}");
        assert_eq!(all[0], json!({ "channel": "/chat/a", "data": round }));
        assert_eq!(all[1]["id"], "again");
        let all = raw.all(&with(connect, "advice", json!({ "timeout": 0 })));
        assert_eq!(all.len(), 1, "once: {all:?}");
    }
}

/// R9, R12, R37, R56, B3, B8, B25, B27, W3: whoever stays away is forgotten and told to shake hands, never to give up; the next
/// session has another id.
#[test]
fn a_session_that_stays_away_is_over() {
    let gateway = gateway("bayeux: { timeout: 1s, max_interval: 1s }");
    for transport in BOTH {
        // Never connected; connected and gone with its connection; connected, still there and silent.
        let (_unconnected, first) = Raw::shaken(gateway.addr(), transport);
        let (gone, second) = Raw::session(gateway.addr(), transport);
        let (silent, third) = Raw::session(gateway.addr(), transport);
        drop(gone);
        eventually(Duration::from_secs(10), "all three are over", || {
            gateway.metric("halley_sessions", &[]) == 0.0
        });
        let mut raw = Raw::connect(gateway.addr(), transport);
        for id in [&first, &second, &third] {
            let reply = raw.one(&raw.connect_message(id));
            assert_eq!(
                (&reply["successful"], &reply["error"]),
                (&json!(false), &json!("402::session_unknown"))
            );
            assert_eq!(reply["advice"], json!({ "reconnect": "handshake", "interval": 0 }));
        }
        drop(silent);
        let (mut raw, fourth) = Raw::session(gateway.addr(), transport);
        assert!(![first, second, third].contains(&fourth));
        assert_eq!(
            raw.one(&json!({ "channel": "/meta/disconnect", "clientId": fourth }))["successful"],
            true
        );
    }
}

/// W24: by default there is no pause between connects, and a client that waits longer before its next attempt than CometD's ten seconds
/// finds its session.
#[test]
fn a_client_that_waits_before_it_tries_again_finds_its_session() {
    let gateway = gateway("");
    let mut waiting = BOTH.map(|transport| Raw::session(gateway.addr(), transport));
    std::thread::sleep(Duration::from_secs(12));
    for (raw, id) in &mut waiting {
        let reply = raw.one(&with(raw.connect_message(id), "advice", json!({ "timeout": 0 })));
        assert_eq!((&reply["successful"], &reply["advice"]["interval"]), (&json!(true), &json!(0)));
    }
}

/// B34: neither the time for a request's head nor that for a body ends a connection whose connect is held.
#[test]
fn a_held_connect_outlives_what_an_idle_connection_may() {
    let gateway = gateway("bayeux: { timeout: 3s }\nlimits: { header_timeout: 1s, body_timeout: 1s }");
    for transport in BOTH {
        let (mut raw, id) = Raw::session(gateway.addr(), transport);
        for _ in 0..2 {
            let asked = Instant::now();
            assert_eq!(raw.one(&raw.connect_message(&id))["successful"], true);
            assert!(asked.elapsed() > Duration::from_millis(2500), "{:?}", asked.elapsed());
        }
    }
}

/// B87: thousands of sessions expire while another's events are not late.
#[test]
fn thousands_of_sessions_expire_cheaply() {
    const SESSIONS: usize = 5000;
    let gateway = gateway("bayeux: { max_interval: 2s }");
    let mut witness = Client::subscribed(gateway.addr(), Transport::WebSocket, "/chat/w");
    let mut http = Http::connect(gateway.addr());
    let handshake =
        br#"[{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["long-polling"]}]"#;
    for _ in 0..SESSIONS {
        assert_eq!(http.post("/cometd", handshake).unwrap().status, 200);
    }
    let mut slowest = Duration::ZERO;
    eventually(Duration::from_secs(20), "all but the witness are over", || {
        let asked = Instant::now();
        assert_eq!(witness.publish("/chat/w", &json!(1))["successful"], true);
        witness.expect_event();
        slowest = slowest.max(asked.elapsed());
        gateway.metric("halley_sessions", &[]) <= 1.0
    });
    assert!(slowest < Duration::from_secs(1), "a publish and its event took {slowest:?}");
}

/// R7, B10: on a WebSocket events come as they happen, whether a connect is held or not.
#[test]
fn events_stream_on_a_websocket_with_and_without_a_connect() {
    let gateway = gateway("");
    let (mut raw, id) = Raw::shaken(gateway.addr(), Transport::WebSocket);
    raw.one(&json!({ "channel": "/meta/subscribe", "clientId": id, "subscription": "/chat/a" }));
    let mut writer = Client::open(gateway.addr(), Transport::LongPolling);
    for (n, connect) in [false, true, false].into_iter().enumerate() {
        if connect {
            raw.one(&raw.connect_message(&id));
            raw.send(&raw.connect_message(&id).to_string());
        }
        assert_eq!(writer.publish("/chat/a", &json!(n))["successful"], true);
        assert_eq!(raw.receive(SOON).unwrap(), [json!({ "channel": "/chat/a", "data": n })]);
    }
    raw.expect_silence(Duration::from_millis(200));
}

/// B92, W9, W10: a reloaded page drops its connection, comes back with its clientId and ids that begin again, subscribes again, and has
/// missed nothing.
#[test]
fn a_page_that_is_reloaded_goes_on() {
    let gateway = gateway("");
    for (before, after) in [(BOTH[0], BOTH[0]), (BOTH[1], BOTH[1]), (BOTH[0], BOTH[1]), (BOTH[1], BOTH[0])] {
        let (mut raw, id) = Raw::session(gateway.addr(), before);
        let subscribe =
            json!({ "channel": "/meta/subscribe", "clientId": id, "subscription": "/chat/a", "id": "2" });
        assert_eq!(raw.one(&subscribe)["successful"], true);
        raw.send(&with(raw.connect_message(&id), "id", json!("3")).to_string());
        raw.expect_silence(Duration::from_millis(100));
        if before == Transport::WebSocket {
            let close = [&1000_u16.to_be_bytes()[..], b"Abort"].concat();
            raw.ws().send_raw(&ws::frame(ws::CLOSE, &close, true)).unwrap();
            raw.ws().closed(Instant::now() + SOON).unwrap();
        }
        drop(raw);
        let mut writer = Client::open(gateway.addr(), Transport::WebSocket);
        for n in 0..3 {
            assert_eq!(writer.publish("/chat/a", &json!(n))["successful"], true);
        }
        let mut raw = Raw::connect(gateway.addr(), after);
        let connect = with(raw.connect_message(&id), "id", json!("2"));
        raw.send(&json!([with(connect, "advice", json!({ "timeout": 0 }))]).to_string());
        let mut all = raw.until_replies(SOON);
        while all.len() < 4 {
            all.extend(raw.receive(SOON).expect("the rest comes"));
        }
        let events: Vec<&Value> = all.iter().filter_map(|message| message.get("data")).collect();
        assert_eq!(events, [&json!(0), &json!(1), &json!(2)], "{before:?}, {after:?}: {all:?}");
        assert_eq!(raw.one(&with(subscribe, "id", json!("3")))["successful"], true);
        assert_eq!(writer.publish("/chat/a", &json!(3))["successful"], true);
        raw.send(&raw.connect_message(&id).to_string());
        let event = raw.receive(SOON).expect("an event");
        assert_eq!(event[0], json!({ "channel": "/chat/a", "data": 3 }));
    }
}

/// B96: what a client was sent and did not look at is not sent again.
#[test]
fn what_was_delivered_does_not_come_again() {
    let gateway = gateway("");
    let (mut raw, id) = Raw::session(gateway.addr(), Transport::LongPolling);
    raw.one(&json!({ "channel": "/meta/subscribe", "clientId": id, "subscription": "/chat/a" }));
    let mut writer = Client::open(gateway.addr(), Transport::WebSocket);
    assert_eq!(writer.publish("/chat/a", &json!(1))["successful"], true);
    let connect = with(raw.connect_message(&id), "advice", json!({ "timeout": 0 }));
    assert_eq!(raw.all(&connect).len(), 2);
    // The same connect once more: its client did not like the answer.
    assert_eq!(raw.all(&connect).len(), 1);
}

/// W9: a session goes to a WebSocket that names it, while the first is still open, which is then good for another session.
#[test]
fn a_session_is_not_its_socket() {
    let gateway = gateway("");
    let (mut first, id) = Raw::session(gateway.addr(), Transport::WebSocket);
    first.one(&json!({ "channel": "/meta/subscribe", "clientId": id, "subscription": "/chat/a" }));
    let mut second = Raw::connect(gateway.addr(), Transport::WebSocket);
    let connect = with(second.connect_message(&id), "advice", json!({ "timeout": 0 }));
    assert_eq!(second.one(&connect)["successful"], true);
    let mut writer = Client::open(gateway.addr(), Transport::LongPolling);
    assert_eq!(writer.publish("/chat/a", &json!(1))["successful"], true);
    assert_eq!(second.receive(SOON).unwrap(), [json!({ "channel": "/chat/a", "data": 1 })]);
    first.expect_silence(Duration::from_millis(200));
    let reply = first.one(&json!({
        "channel": "/meta/handshake", "version": "1.0", "supportedConnectionTypes": ["websocket"],
    }));
    assert_eq!(reply["successful"], true);
    assert_ne!(reply["clientId"], id);
}
