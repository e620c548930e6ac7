//! HTTP requests as odd as clients make them, and those that are too odd.

use std::time::{Duration, Instant};

use serde_json::json;

use super::raw::{Raw, SOON, gateway, messages};
use crate::support::bayeux::{BOTH, Client, Transport};
use crate::support::http::Http;
use crate::support::ws::Ws;

const HANDSHAKE: &str =
    r#"[{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["long-polling"],"id":"1"}]"#;

/// W13, W28, B94: what follows the mount, also what looks like a file, and headers that mean nothing here are no reason to refuse.
#[test]
fn paths_and_headers_are_taken_as_they_come() {
    let gateway = gateway("");
    for path in [
        "/cometd",
        "/cometd/",
        "/cometd/handshake",
        "/cometd/58.0",
        "/cometd/58.0/connect",
        "/cometd/cometd.jsp",
        "/cometd/a%20b",
        "/cometd?x=1&y",
    ] {
        for headers in [
            &[][..],
            &[("Authorization", "OAuth 00Dx!token"), ("Cookie", "")],
            &[
                ("Authorization", "Basic"),
                ("Cookie", "JSESSIONID=1; a=\"b\"; =; BAYEUX"),
                ("Accept", "text/html"),
            ],
            &[
                ("Pragma", "no-cache"),
                ("X-Requested-With", "XMLHttpRequest"),
                ("Accept-Encoding", "gzip, br"),
            ],
        ] {
            let mut http = Http::connect(gateway.addr());
            let response = http.post_with(path, headers, HANDSHAKE.as_bytes()).unwrap();
            assert_eq!(messages(&response)[0]["successful"], true, "{path} {headers:?}");
            let ws = Ws::try_connect(gateway.addr(), path, headers);
            assert!(ws.is_ok(), "{path} {headers:?}: {:?}", ws.err());
        }
    }
}

/// R66, R67, B58: UTF-8 needs no word; a body in another charset is refused, not garbled; forms hold messages, arrays, or several of both.
#[test]
fn bodies_are_utf8_as_json_or_as_a_form() {
    let gateway = gateway("");
    for content_type in
        ["", "Content-Type: application/json\r\n", "Content-Type: application/json;charset=utf-8\r\n"]
    {
        let mut reader = Client::subscribed(gateway.addr(), Transport::WebSocket, "/chat/a");
        let (mut raw, id) = Raw::session(gateway.addr(), Transport::LongPolling);
        let body = format!(r#"[{{"channel":"/chat/a","clientId":"{id}","data":"κόσμε é 🦀"}}]"#);
        let request = format!(
            "POST /cometd HTTP/1.1\r\nHost: h\r\n{content_type}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        raw.http().send_raw(request.as_bytes()).unwrap();
        assert_eq!(raw.until_replies(SOON)[0]["successful"], true);
        assert_eq!(reader.expect_event().1, json!("κόσμε é 🦀"));
    }
    let (mut raw, id) = Raw::session(gateway.addr(), Transport::LongPolling);
    let body =
        [format!(r#"[{{"channel":"/chat/a","clientId":"{id}","data":""#).as_bytes(), b"\xea\xfc", b"\"}]"]
            .concat();
    let head = format!(
        "POST /cometd HTTP/1.1\r\nHost: h\r\nContent-Type: application/json;charset=ISO-8859-7\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    raw.http().send_raw(&[head.as_bytes(), &body].concat()).unwrap();
    assert_eq!(raw.http().response(Instant::now() + SOON).unwrap().status, 415);

    let message = |n: u8| json!({ "channel": "/chat/a", "clientId": id, "data": "a b+é&=", "id": n });
    let field = |value: &serde_json::Value| format!("message={}", encoded(&value.to_string()));
    let form = [
        field(&message(1)),
        field(&json!([message(2), message(3)])),
        "other=x".to_owned(),
        field(&json!([message(4)])),
    ]
    .join("&");
    let mut reader = Client::subscribed(gateway.addr(), Transport::LongPolling, "/chat/a");
    let request = format!(
        "POST /cometd HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    );
    raw.http().send_raw(request.as_bytes()).unwrap();
    let ids: Vec<_> = raw.until_replies(SOON).iter().map(|reply| reply["id"].clone()).collect();
    assert_eq!(ids, [json!(1), json!(2), json!(3), json!(4)]);
    for _ in 0..4 {
        assert_eq!(reader.expect_event().1, json!("a b+é&="));
    }
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| if byte == b' ' { "+".to_owned() } else { format!("%{byte:02x}") }).collect()
}

/// R29, R30, W5, B59, B60: an array or one bare object, answered by an array; what is neither, or names two channels, is refused as a
/// whole, and the session goes on.
#[test]
fn a_body_is_messages_or_refused() {
    let gateway = gateway("");
    let (mut raw, id) = Raw::session(gateway.addr(), Transport::LongPolling);
    for bad in [
        "{",
        "[{]",
        "nonsense",
        "7",
        "null",
        "\"text\"",
        "[[]]",
        "[null]",
        r#"{"channel":"/chat/a","channel":"/chat/b","data":1}"#,
        r#"[{"channel":"/meta/connect"}] and more"#,
    ] {
        let response = raw.http().post("/cometd", bad.as_bytes()).unwrap();
        assert_eq!(response.status, 400, "{bad}");
        assert!(!response.body.is_empty(), "{bad}: told why");
        let bare = json!({ "channel": "/chat/a", "clientId": id, "data": 1, "id": "1" });
        let reply = json!({ "channel": "/chat/a", "id": "1", "successful": true });
        let all = [raw.all(&bare), raw.all(&json!([bare]))];
        assert_eq!(all, [[reply.clone()], [reply]], "after {bad}");
    }
}

/// R68, W1, W12: a response is JSON in UTF-8, not to be cached or taken for anything else, and holds a message at least.
#[test]
fn a_response_is_plain_json() {
    let gateway = gateway("bayeux: { timeout: 1s }");
    let (mut raw, id) = Raw::session(gateway.addr(), Transport::LongPolling);
    for (body, status) in [
        (json!([raw.connect_message(&id)]), 200),
        (json!([{ "channel": "/chat/a", "clientId": id, "data": "é" }]), 200),
        (json!([{}]), 200),
        (json!([{ "channel": "/meta/connect", "clientId": "gone" }]), 200),
    ] {
        let response = raw.http().post("/cometd", body.to_string().as_bytes()).unwrap();
        assert_eq!(response.status, status);
        assert!(!messages(&response).is_empty());
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
        assert!(response.header("cache-control").is_some_and(|value| value.contains("no-store")));
    }
}

/// R32, B95: what is not offered is not listed, and not served either; an upgrade is accepted all the same, so that the client can be told.
#[test]
fn transports_that_are_off_are_not_there() {
    for (transports, on, off) in [("[long-polling]", BOTH[1], BOTH[0]), ("[websocket]", BOTH[0], BOTH[1])] {
        let gateway = gateway(&format!("bayeux: {{ transports: {transports} }}"));
        let handshake = json!({
            "channel": "/meta/handshake", "version": "1.0", "supportedConnectionTypes": ["websocket", "long-polling"],
        });
        let reply = Raw::connect(gateway.addr(), on).one(&handshake);
        assert_eq!(reply["supportedConnectionTypes"], json!([on.name()]));
        match off {
            Transport::WebSocket => {
                let mut raw = Raw::connect(gateway.addr(), off);
                let reply = raw.one(&handshake);
                assert_eq!(reply["supportedConnectionTypes"], json!([on.name()]));
                let id = reply["clientId"].as_str().expect("a clientId");
                let refused = raw.one(&raw.connect_message(id));
                assert_eq!(refused["error"], "301::connection_types_not_supported");
            }
            Transport::LongPolling => {
                let response = Http::connect(gateway.addr()).post("/cometd", HANDSHAKE.as_bytes()).unwrap();
                assert!(matches!(response.status, 400..=499), "{}", response.status);
            }
        }
    }
}

/// W7, R32: by default everything is listed, long-polling among it, whatever the client asked for.
#[test]
fn every_transport_that_is_on_is_listed() {
    let gateway = gateway("");
    for transport in BOTH {
        let reply = Raw::connect(gateway.addr(), transport).one(&json!({
            "channel": "/meta/handshake", "version": "1.0", "supportedConnectionTypes": [transport.name()],
        }));
        let types = reply["supportedConnectionTypes"].as_array().expect("an array").clone();
        assert!(BOTH.iter().all(|transport| types.contains(&json!(transport.name()))), "{types:?}");
    }
}

/// B72: where WebSockets are refused, the client falls back to polling, and may try the WebSocket again.
#[test]
fn a_refused_upgrade_leaves_polling() {
    let gateway = gateway("");
    let mut http = Http::connect(gateway.addr());
    let request = "GET /cometd HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 7\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    http.send_raw(request.as_bytes()).unwrap();
    let refused = http.response(Instant::now() + Duration::from_secs(5)).unwrap();
    assert_eq!(refused.status, 426);
    let response = Http::connect(gateway.addr()).post("/cometd", HANDSHAKE.as_bytes()).unwrap();
    let id = messages(&response)[0]["clientId"].clone();
    let mut raw = Raw::connect(gateway.addr(), Transport::WebSocket);
    let connect = raw.connect_message(id.as_str().expect("a string"));
    assert_eq!(raw.one(&connect)["successful"], true);
}
