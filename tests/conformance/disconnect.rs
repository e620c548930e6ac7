//! Disconnects: what is answered, in which order, and what is left.

use std::time::{Duration, Instant};

use serde_json::json;

use super::raw::{Raw, SOON, gateway};
use crate::support::bayeux::{BOTH, Transport};
use crate::support::eventually;

/// R12, R37, R58, W22: the held connect is answered first, with the advice `none`; then the disconnect; then the session is gone.
#[test]
fn the_held_connect_is_answered_before_the_disconnect() {
    let gateway = gateway("");
    for transport in BOTH {
        let (mut raw, id) = Raw::session(gateway.addr(), transport);
        let mut connect = raw.connect_message(&id);
        connect["id"] = json!("c");
        raw.send(&connect.to_string());
        raw.expect_silence(Duration::from_millis(200));
        let disconnect = json!({ "channel": "/meta/disconnect", "clientId": id, "id": "d" });
        let all = match transport {
            Transport::WebSocket => {
                let mut all = raw.all(&disconnect);
                all.extend(raw.receive(SOON).expect("the other reply"));
                all
            }
            Transport::LongPolling => {
                let reply = Raw::connect(gateway.addr(), transport).one(&disconnect);
                [raw.until_replies(SOON), vec![reply]].concat()
            }
        };
        assert_eq!(
            all,
            [
                json!({ "channel": "/meta/connect", "id": "c", "successful": true, "advice": { "reconnect": "none" } }),
                json!({ "channel": "/meta/disconnect", "id": "d", "successful": true }),
            ]
        );
        let mut late = Raw::connect(gateway.addr(), transport);
        let reply = late.one(&connect);
        assert_eq!(reply["error"], "402::session_unknown");
        assert_eq!(late.one(&disconnect)["error"], "402::session_unknown", "nothing is left to disconnect");
    }
    eventually(SOON, "no session is left", || gateway.metric("halley_sessions", &[]) == 0.0);
}

/// W22, B67: the client may close the WebSocket itself; if it does not, the gateway does.
#[test]
fn a_websocket_is_closed_after_its_disconnect() {
    let gateway = gateway("");
    let (mut raw, id) = Raw::session(gateway.addr(), Transport::WebSocket);
    let asked = Instant::now();
    assert_eq!(raw.one(&json!({ "channel": "/meta/disconnect", "clientId": id }))["successful"], true);
    let close = raw.ws().closed(Instant::now() + SOON).expect("it is closed");
    assert_eq!(close.and_then(|frame| frame.close_code()), Some(1000));
    assert!(
        asked.elapsed() > Duration::from_secs(1),
        "the client had time to close it: {:?}",
        asked.elapsed()
    );
}

/// B45, B46: in one request, what went before the disconnect is done once, and what follows it is 402.
#[test]
fn what_follows_a_disconnect_is_unknown() {
    let gateway = gateway("");
    for transport in BOTH {
        let (mut reader, reader_id) = Raw::session(gateway.addr(), Transport::WebSocket);
        reader
            .one(&json!({ "channel": "/meta/subscribe", "clientId": reader_id, "subscription": "/chat/a" }));
        let (mut raw, id) = Raw::session(gateway.addr(), transport);
        raw.one(&json!({ "channel": "/meta/subscribe", "clientId": id, "subscription": "/chat/a" }));
        let replies = raw.replies(&json!([
            { "channel": "/chat/a", "clientId": id, "data": "before", "id": "1" },
            { "channel": "/meta/disconnect", "clientId": id, "id": "2" },
            { "channel": "/chat/a", "clientId": id, "data": "after", "id": "3" },
            { "channel": "/meta/subscribe", "clientId": id, "subscription": "/chat/b", "id": "4" },
        ]));
        let errors: Vec<_> = replies.iter().map(|reply| reply["error"].as_str()).collect();
        assert_eq!(errors, [None, None, Some("402::session_unknown"), Some("402::session_unknown")]);
        assert_eq!(reader.receive(SOON).unwrap(), [json!({ "channel": "/chat/a", "data": "before" })]);
        reader.expect_silence(Duration::from_millis(200));
        eventually(SOON, "its subscriptions went with it", || {
            gateway.metric("halley_subscriptions", &[]) <= 1.0
        });
        drop(reader);
        let mut close = Raw::connect(gateway.addr(), Transport::LongPolling);
        close.one(&json!({ "channel": "/meta/disconnect", "clientId": reader_id }));
    }
}
