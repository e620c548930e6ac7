//! What clients may do with a WebSocket, and what they see, on a gateway without any Kafka.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::bayeux::{Client, Transport};
use crate::support::gateway::{Gateway, LOCAL};
use crate::support::http::Http;
use crate::support::unique;
use crate::support::ws::{self, Ws};

const OFFER: (&str, &str) = ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits");

fn gateway(settings: &str) -> Gateway {
    Gateway::local(LOCAL, settings)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

/// Asks on a socket and waits for the one frame of replies.
fn ask(ws: &mut Ws, messages: &Value) -> Value {
    ws.send_text(&messages.to_string()).unwrap();
    next(ws)
}

/// The next text message.
fn next(ws: &mut Ws) -> Value {
    let frame = ws.receive(soon()).unwrap();
    assert_eq!(frame.opcode, ws::TEXT, "{frame:?}");
    serde_json::from_slice(&frame.payload).unwrap()
}

/// A session on a socket, past its first connect.
fn session(ws: &mut Ws) -> String {
    let reply = ask(
        ws,
        &json!([{ "channel": "/meta/handshake", "version": "1.0", "supportedConnectionTypes": ["websocket"] }]),
    );
    let id = reply[0]["clientId"].as_str().expect("a clientId").to_owned();
    let reply = ask(ws, &json!([connect(&id, "first")]));
    assert_eq!(reply[0]["successful"], true, "{reply}");
    id
}

fn connect(id: &str, message: &str) -> Value {
    json!({ "channel": "/meta/connect", "clientId": id, "connectionType": "websocket", "id": message })
}

fn subscribe(id: &str, channel: &str) -> Value {
    json!({ "channel": "/meta/subscribe", "clientId": id, "subscription": channel, "id": "s" })
}

fn publish(id: &str, channel: &str, data: &Value) -> Value {
    json!({ "channel": channel, "clientId": id, "data": data, "id": "p" })
}

/// B69, W14: the replies to all messages of a frame come in one frame, in order; a frame may hold one bare object.
#[test]
fn the_replies_to_a_batch_are_one_frame() {
    let gateway = gateway("");
    let mut ws = Ws::connect(gateway.addr(), "/cometd");
    let id = session(&mut ws);
    let batch: Vec<Value> = (0..50)
        .map(|n| match n % 2 {
            0 => json!({ "channel": "/meta/subscribe", "clientId": id, "subscription": format!("/chat/{n}"), "id": n }),
            _ => json!({ "channel": "/chat/elsewhere", "clientId": id, "data": n, "id": n }),
        })
        .collect();
    let replies = ask(&mut ws, &json!(batch));
    let ids: Vec<&Value> = replies.as_array().unwrap().iter().map(|reply| &reply["id"]).collect();
    assert_eq!(json!(ids), json!((0..50).collect::<Vec<_>>()));
    let reply = ask(&mut ws, &publish(&id, "/chat/elsewhere", &json!(1)));
    assert_eq!((reply.as_array().map(Vec::len), &reply[0]["successful"]), (Some(1), &json!(true)));
}

/// W15: a frame of replies stays below 64 KiB, however many there are; an event travels alone, in one frame whatever its size.
#[test]
fn frames_stay_below_64_kib_unless_one_event_is_larger() {
    let gateway = gateway("");
    let mut ws = Ws::connect(gateway.addr(), "/cometd");
    let id = session(&mut ws);
    let long = "x".repeat(300);
    let batch: Vec<Value> = (0..500)
        .map(|n| json!({ "channel": "/meta/unsubscribe", "clientId": id, "subscription": format!("/chat/{long}{n}"), "id": n }))
        .collect();
    ws.send_text(&json!(batch).to_string()).unwrap();
    let mut ids = Vec::new();
    let mut frames = 0;
    while ids.len() < 500 {
        let frame = ws.receive(soon()).unwrap();
        assert!(frame.payload.len() < 64 * 1024);
        frames += 1;
        let replies: Vec<Value> = serde_json::from_slice(&frame.payload).unwrap();
        ids.extend(replies.iter().map(|reply| reply["id"].as_u64().unwrap()));
    }
    assert_eq!(ids, (0..500).collect::<Vec<_>>());
    assert!(frames > 1);
    assert_eq!(ask(&mut ws, &json!([subscribe(&id, "/chat/1")]))[0]["successful"], true);
    let mut other = Client::open(gateway.addr(), Transport::LongPolling);
    for size in [10, 70_000, 10] {
        assert_eq!(other.publish("/chat/1", &json!("x".repeat(size)))["successful"], true);
        let event = next(&mut ws);
        assert_eq!(
            (event.as_array().map(Vec::len), event[0]["data"].as_str().map(str::len)),
            (Some(1), Some(size))
        );
    }
}

/// B70, W14: messages are compressed if both sides want it (RFC 7692), without context take-over, and large events only.
#[test]
fn compression_is_a_matter_of_both_sides() {
    let on = gateway("bayeux: { websocket: { compression: true } }");
    let off = gateway("bayeux: { websocket: { compression: false } }");
    let large = json!({ "text": "comet ".repeat(1000), "n": unique("c") });
    for (gateway, offers, expected) in [(&on, true, true), (&on, false, false), (&off, true, false)] {
        let offer = if offers { &[OFFER][..] } else { &[] };
        let mut ws = Ws::try_connect(gateway.addr(), "/cometd", offer).unwrap();
        let answer = ws.header("sec-websocket-extensions").map(str::to_owned);
        let agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        assert_eq!(answer.as_deref(), expected.then_some(agreed));
        let id = session(&mut ws);
        let subscribe = json!([subscribe(&id, "/chat/1")]).to_string();
        ws.send_raw(&if expected {
            ws::compressed(&subscribe)
        } else {
            ws::frame(ws::TEXT, subscribe.as_bytes(), true)
        })
        .unwrap();
        assert_eq!(next(&mut ws)[0]["successful"], true);
        let mut other = Client::open(gateway.addr(), Transport::WebSocket);
        for (data, compressed) in [(json!(1), false), (large.clone(), expected), (large.clone(), expected)] {
            assert_eq!(other.publish("/chat/1", &data)["successful"], true);
            let frame = ws.receive(soon()).unwrap();
            assert_eq!(frame.compressed, compressed);
            let event: Value = serde_json::from_slice(&frame.payload).unwrap();
            assert_eq!(event, json!([{ "channel": "/chat/1", "data": data }]));
        }
    }
    // One that was not offered is a reserved bit.
    let mut ws = Ws::connect(on.addr(), "/cometd");
    ws.send_raw(&ws::compressed("[]")).unwrap();
    assert_eq!(ws.closed(soon()).unwrap().unwrap().close_code(), Some(1002));
}

/// RFC 7692 §7.1: what cannot be kept is declined, and the connection goes on without compression.
#[test]
fn offers_of_compression_that_cannot_be_kept_are_declined() {
    let gateway = gateway("bayeux: { websocket: { compression: true } }");
    for (offer, answered) in [
        ("permessage-deflate; server_max_window_bits=10", false),
        ("permessage-deflate; server_max_window_bits=10, permessage-deflate", true),
        ("permessage-deflate; unheard_of", false),
        ("permessage-bzip2, x-webkit-deflate-frame", false),
    ] {
        let offer = [("Sec-WebSocket-Extensions", offer)];
        let mut ws = Ws::try_connect(gateway.addr(), "/cometd", &offer).unwrap();
        assert_eq!(ws.header("sec-websocket-extensions").is_some(), answered, "{offer:?}");
        session(&mut ws);
    }
}

/// A few bytes that would become very many end their socket when they reach `limits.body`; nobody else notices.
#[test]
fn a_compressed_bomb_is_refused() {
    let gateway = gateway("bayeux: { websocket: { compression: true } }\nlimits: { body: 64KiB }");
    let mut other = Client::subscribed(gateway.addr(), Transport::WebSocket, "/chat/1");
    let before = gateway.process().resident();
    // A thousandth of that, which is within the limit.
    let bomb = ws::compressed(&" ".repeat(50_000_000));
    for _ in 0..5 {
        let mut ws = Ws::try_connect(gateway.addr(), "/cometd", &[OFFER]).unwrap();
        ws.send_raw(&bomb).unwrap();
        assert_eq!(ws.closed(soon()).unwrap().unwrap().close_code(), Some(1009));
    }
    assert!(gateway.process().resident() < before + (8 << 20));
    assert!(gateway.metric("halley_requests_refused_total", &[r#"reason="too_large""#]) >= 5.0);
    assert_eq!(other.publish("/chat/1", &json!(1))["successful"], true);
    assert_eq!(other.expect_event().1, json!(1));
}

/// B71: a mount, what is below it, a second one, and the root.
#[test]
fn sockets_open_on_every_path_of_a_mount() {
    let gateway = gateway("bayeux: { path: [/cometd, /push/bayeux] }");
    for (path, found) in [
        ("/cometd", true),
        ("/cometd/", true),
        ("/cometd/58.0/x", true),
        ("/push/bayeux?a=b", true),
        ("/push/bayeux/1", true),
        ("/push", false),
        ("/cometdx", false),
        ("/", false),
    ] {
        match Ws::try_connect(gateway.addr(), path, &[]) {
            Ok(mut ws) => {
                assert!(found, "{path}");
                session(&mut ws);
            }
            Err(error) => assert!(!found && error.to_string() == "status 404", "{path}: {error}"),
        }
    }
    let gateway = self::gateway("bayeux: { path: / }");
    for path in ["/", "/anything", "/any/thing"] {
        session(&mut Ws::connect(gateway.addr(), path));
    }
}

/// W14: any subprotocol may be offered, a socket may be idle before its handshake, `[]` and pings are answered, and binary messages
/// are passed over.
#[test]
fn odd_but_harmless_clients_are_served() {
    let gateway = gateway("");
    for (offered, answered) in [("cometd", "cometd"), ("v1.bayeux, v2.bayeux", "v1.bayeux")] {
        let ws = Ws::try_connect(gateway.addr(), "/cometd", &[("Sec-WebSocket-Protocol", offered)]).unwrap();
        assert_eq!(ws.header("sec-websocket-protocol"), Some(answered));
    }
    let mut ws = Ws::connect(gateway.addr(), "/cometd");
    assert_eq!(ws.header("sec-websocket-protocol"), None);
    assert_eq!(
        ws.receive(Instant::now() + Duration::from_millis(300)).unwrap_err().kind(),
        std::io::ErrorKind::TimedOut
    );
    ws.send_raw(&ws::frame(ws::PING, b"there?", true)).unwrap();
    let pong = ws.receive(soon()).unwrap();
    assert_eq!((pong.opcode, &pong.payload[..]), (ws::PONG, &b"there?"[..]));
    assert_eq!(ask(&mut ws, &json!([])), json!([]));
    ws.send_raw(&ws::frame(ws::BINARY, &[0xff, 0x00], true)).unwrap();
    session(&mut ws);
}

/// RFC 6455 §5.5.1, §7.4: a close is answered with its code; one with a code that may not be sent is a violation.
#[test]
fn a_close_is_answered_with_its_code() {
    let gateway = gateway("");
    for (payload, answer) in [
        (vec![], None),
        (1000_u16.to_be_bytes().to_vec(), Some(1000)),
        ([&1001_u16.to_be_bytes()[..], b"the page is left"].concat(), Some(1001)),
        (3000_u16.to_be_bytes().to_vec(), Some(3000)),
        (4999_u16.to_be_bytes().to_vec(), Some(4999)),
        (vec![3], Some(1002)),
        (1005_u16.to_be_bytes().to_vec(), Some(1002)),
        (1006_u16.to_be_bytes().to_vec(), Some(1002)),
        (2000_u16.to_be_bytes().to_vec(), Some(1002)),
        ([&1000_u16.to_be_bytes()[..], &[0xff]].concat(), Some(1007)),
    ] {
        let mut ws = Ws::connect(gateway.addr(), "/cometd");
        ws.send_raw(&ws::frame(ws::CLOSE, &payload, true)).unwrap();
        let close = ws.closed(soon()).unwrap().expect("a close frame");
        assert_eq!(close.close_code(), answer, "{payload:?}");
    }
}

/// RFC 6455 §4.2: an upgrade that is not one is refused with what is wrong.
#[test]
fn bad_upgrades_get_a_status() {
    let gateway = gateway("");
    let good = "GET /cometd HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    for (from, to, status) in [
        ("Host: h\r\n", "Host: h\r\n", 101),
        ("Host: h\r\n", "", 400),
        ("Host: h\r\n", "Host: h\r\nHost: h\r\n", 400),
        ("Version: 13", "Version: 12", 426),
        ("Version: 13", "Version: 14", 426),
        ("Sec-WebSocket-Version: 13\r\n", "", 426),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 400),
        ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZQ==", 400),
        (
            "dGhlIHNhbXBsZSBub25jZQ==",
            "dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
            400,
        ),
        ("Connection: Upgrade", "Connection: keep-alive", 400),
        ("GET", "PUT", 400),
    ] {
        let mut http = Http::connect(gateway.addr());
        http.send_raw(good.replacen(from, to, 1).as_bytes()).unwrap();
        let response = http.response(soon()).unwrap();
        assert_eq!(response.status, status, "{to}: {}", response.text());
        if status == 426 {
            assert_eq!(response.header("sec-websocket-version"), Some("13"));
        }
        assert!(status == 101 || !response.body.is_empty(), "the sender is told why");
    }
}
