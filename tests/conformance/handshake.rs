//! Handshakes: what they may hold, what they are answered, and what there is without one.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::raw::{Raw, SOON, gateway};
use crate::support::bayeux::{BOTH, Transport};
use crate::support::gateway::{Gateway, Setup, keyed};

/// The fields of replies that clients know; one client ends on any other.
const FIELDS: [&str; 9] = [
    "channel",
    "id",
    "successful",
    "error",
    "version",
    "minimumVersion",
    "clientId",
    "supportedConnectionTypes",
    "advice",
];

fn fields(message: &Value) -> HashSet<&str> {
    message.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// R17, R31, R44, R45, R46, R49, R52, W25, W27: a handshake may say much, little, or what nobody knows; the reply is the same.
#[test]
fn handshakes_are_taken_as_clients_make_them() {
    let gateway = gateway("");
    let types = json!(["websocket", "flash", "long-polling"]);
    for transport in BOTH {
        for (what, more) in [
            ("nothing else", json!({})),
            ("an old version", json!({ "version": "0.9", "minimumVersion": "0.9" })),
            ("a version with letters", json!({ "version": "1.0beta.2-a_b", "minimumVersion": "1.0beta" })),
            ("a version to come", json!({ "version": "9.9" })),
            ("no version", json!({ "version": null })),
            (
                "types by another order",
                json!({ "supportedConnectionTypes": ["in-process", transport.name()] }),
            ),
            ("a clientId of long ago", json!({ "clientId": "1gone2gone3gone4gone5" })),
            ("advice", json!({ "advice": { "timeout": 60_000, "interval": 0 } })),
            ("odd advice", json!({ "advice": [1] })),
            ("extensions", json!({ "ext": { "com.example.token": "x", "n": [1, { "a": null }] } })),
            ("an extension that is none", json!({ "ext": "text" })),
            ("a timestamp", json!({ "timestamp": "Sun, 22 Nov 2026 20:44:25 GMT" })),
            ("fields of old", json!({ "connectionId": "7", "json-comment-filtered": true, "authToken": 1 })),
            ("data", json!({ "data": { "a": 1 } })),
        ] {
            let mut message = json!({
                "channel": "/meta/handshake", "version": "1.0", "supportedConnectionTypes": types, "id": "h",
            });
            for (key, value) in more.as_object().expect("an object") {
                if value.is_null() {
                    message.as_object_mut().expect("an object").remove(key);
                } else {
                    message[key] = value.clone();
                }
            }
            let reply = Raw::connect(gateway.addr(), transport).one(&message);
            assert_eq!((&reply["successful"], &reply["id"]), (&json!(true), &json!("h")), "{what}: {reply}");
            assert_eq!(reply["version"], "1.0", "{what}");
            assert_ne!(reply["clientId"], "1gone2gone3gone4gone5");
            let odd: Vec<_> = fields(&reply).into_iter().filter(|field| !FIELDS.contains(field)).collect();
            assert!(odd.is_empty(), "{what}: {odd:?}");
        }
    }
}

/// R8, R33, R37, R50, R51, B6, B95, W19: the client is told to give up, and what there would be.
#[test]
fn without_a_common_type_the_handshake_fails_for_good() {
    for (transports, transport, asked) in [
        ("all", Transport::LongPolling, json!(["flash", "iframe"])),
        ("all", Transport::WebSocket, json!([])),
        ("[long-polling]", Transport::LongPolling, json!(["websocket"])),
        ("[websocket]", Transport::WebSocket, json!(["long-polling"])),
    ] {
        let gateway = gateway(&format!("bayeux: {{ transports: {transports} }}"));
        let mut raw = Raw::connect(gateway.addr(), transport);
        let reply = raw.one(&json!({
            "channel": "/meta/handshake", "version": "1.0", "supportedConnectionTypes": asked, "id": "h",
        }));
        assert_eq!((&reply["channel"], &reply["id"]), (&json!("/meta/handshake"), &json!("h")), "{reply}");
        assert_eq!(reply["successful"], false, "{reply}");
        assert_eq!(reply["error"], "301::connection_types_not_supported");
        assert_eq!(reply["advice"]["reconnect"], "none", "{reply}");
        assert_eq!(reply.get("clientId"), None);
        assert_eq!(reply["version"], "1.0");
        assert!(!reply["supportedConnectionTypes"].as_array().expect("what there is").is_empty(), "{reply}");
    }
}

/// R48, B1: the reply to the handshake is the only one, and the companions' work is not done.
#[test]
fn companions_of_a_handshake_are_neither_done_nor_answered() {
    let gateway = gateway("");
    for transport in BOTH {
        let (mut raw, id) = Raw::session(gateway.addr(), transport);
        let handshake = json!({
            "channel": "/meta/handshake", "version": "1.0",
            "supportedConnectionTypes": ["websocket", "long-polling"], "id": "h",
        });
        let subscribe =
            json!({ "channel": "/meta/subscribe", "clientId": id, "subscription": "/chat/a", "id": "s" });
        let publish = json!({ "channel": "/chat/a", "clientId": id, "data": 1, "id": "p" });
        for batch in [
            json!([handshake, subscribe, publish]),
            json!([subscribe, publish, handshake]),
            json!([handshake, handshake]),
        ] {
            let replies = raw.all(&batch);
            assert_eq!(replies.len(), 1, "{replies:?}");
            assert_eq!((&replies[0]["id"], &replies[0]["successful"]), (&json!("h"), &json!(true)));
        }
        // Not subscribed: what is published goes to nobody.
        let (mut other, other_id) = Raw::session(gateway.addr(), Transport::LongPolling);
        other.one(&json!({ "channel": "/chat/a", "clientId": other_id, "data": 2 }));
        let mut connect = raw.connect_message(&id);
        connect["advice"] = json!({ "timeout": 0 });
        let all = raw.all(&connect);
        assert_eq!(all.len(), 1, "no events: {all:?}");
    }
}

/// R10, R62, B7, W18: everything that wants a session is answered without one; only the connect has advice.
#[test]
fn without_a_session_everything_is_402() {
    let gateway = gateway("");
    for transport in BOTH {
        for client_id in [json!(null), json!("never-given"), json!(""), json!(7)] {
            let mut batch = json!([
                { "channel": "/meta/subscribe", "subscription": ["/chat/a"], "id": "1" },
                { "channel": "/meta/unsubscribe", "subscription": "/chat/a", "id": "2" },
                { "channel": "/chat/a", "data": {}, "id": "3" },
                { "channel": "/meta/disconnect", "id": "4" },
                { "channel": "/meta/connect", "connectionType": transport.name(), "id": "5" },
            ]);
            if !client_id.is_null() {
                for message in batch.as_array_mut().expect("an array") {
                    message["clientId"] = client_id.clone();
                }
            }
            let replies = Raw::connect(gateway.addr(), transport).replies(&batch);
            for (n, reply) in replies.iter().enumerate() {
                assert_eq!(reply["id"], (n + 1).to_string());
                assert_eq!(reply["successful"], false);
                assert_eq!(reply["error"], "402::session_unknown", "{reply}");
                let advice = (n == 4).then(|| json!({ "reconnect": "handshake", "interval": 0 }));
                assert_eq!(reply.get("advice"), advice.as_ref(), "{reply}");
            }
            assert_eq!(replies.len(), 5);
            assert_eq!(replies[0]["subscription"], json!(["/chat/a"]));
            assert_eq!(replies[1]["subscription"], "/chat/a");
        }
    }
}

/// R18: of a thousand clientIds none is like another, and each has room for 128 random bits.
#[test]
fn client_ids_never_repeat() {
    let gateway = gateway("");
    let mut raw = Raw::connect(gateway.addr(), Transport::LongPolling);
    let mut seen = HashSet::new();
    for _ in 0..1000 {
        let reply = raw.one(&json!({
            "channel": "/meta/handshake", "version": "1.0", "supportedConnectionTypes": ["long-polling"],
        }));
        let id = reply["clientId"].as_str().expect("a string").to_owned();
        // 26 digits of base 32 hold 130 bits.
        assert!(id.len() >= 26 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
        assert!(seen.insert(id));
    }
}

/// R71: with a session's cookie and without its clientId nothing is allowed.
#[test]
fn a_cookie_alone_is_no_proof() {
    let gateway = gateway("");
    let mut raw = Raw::connect(gateway.addr(), Transport::LongPolling);
    let handshake =
        br#"[{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["long-polling"]}]"#;
    let response = raw.http().post("/cometd", handshake).unwrap();
    let cookie = response.header("set-cookie").expect("a cookie").split(';').next().unwrap().to_owned();
    for message in [
        json!([{ "channel": "/meta/subscribe", "subscription": "/chat/a" }]),
        json!([{ "channel": "/chat/a", "data": 1 }]),
        json!([{ "channel": "/meta/connect", "connectionType": "long-polling" }]),
    ] {
        let response =
            raw.http().post_with("/cometd", &[("Cookie", &cookie)], message.to_string().as_bytes()).unwrap();
        assert_eq!(response.json()[0]["error"], "402::session_unknown");
    }
}

/// W19: a gateway that goes down refuses for now: without advice, clients try again by themselves.
#[test]
fn a_handshake_is_refused_for_now_while_the_gateway_goes_down() {
    let mut gateway = Gateway::with(&Setup {
        // No broker is there: a publish waits for one, and its socket is not closed meanwhile.
        kafka: "127.0.0.1:1".to_owned(),
        routes: &keyed("orders"),
        settings: "drain: 5s\npublish: { timeout: 3s }",
    });
    let (mut raw, id) = Raw::session(gateway.addr(), Transport::WebSocket);
    raw.send(&json!({ "channel": "/orders/1", "clientId": id, "data": 1, "id": "p" }).to_string());
    gateway.terminate();
    let refused = loop {
        let reply = raw.one(&json!({
            "channel": "/meta/handshake", "version": "1.0", "supportedConnectionTypes": ["websocket"],
        }));
        if reply["successful"] == false {
            break reply;
        }
    };
    assert_eq!(refused["error"], "503::draining");
    assert_eq!(refused.get("advice"), None);
    let publish = raw.until_replies(SOON);
    assert_eq!((&publish[0]["id"], &publish[0]["successful"]), (&json!("p"), &json!(false)), "{publish:?}");
    assert_eq!(gateway.wait(SOON).code(), Some(0));
}
