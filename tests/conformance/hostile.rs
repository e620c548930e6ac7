//! Those who send rubbish, half of something, or nothing: told what is wrong or cut off, while others notice nothing.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::bayeux::{BOTH, Client, Transport};
use crate::support::gateway::{Gateway, LOCAL, Setup};
use crate::support::http::Http;
use crate::support::kafka::Kafka;
use crate::support::records::Writer;
use crate::support::ws::{self, Ws};
use crate::support::{eventually, unique};

/// Clients of both transports that live through whatever else happens.
struct Witnesses(Vec<Client>);

// === impl Witnesses ===

impl Witnesses {
    fn new(gateway: &Gateway) -> Self {
        Self(BOTH.map(|transport| Client::subscribed(gateway.addr(), transport, "/chat/witness")).into())
    }

    /// Everyone still gets what anyone publishes, and quickly.
    fn undisturbed(&mut self, after: &str) {
        for writer in 0..self.0.len() {
            let asked = Instant::now();
            let reply = self.0[writer].publish("/chat/witness", &json!(after));
            assert_eq!(reply["successful"], true, "after {after}: {reply}");
            for reader in &mut self.0 {
                assert_eq!(reader.expect_event(), ("/chat/witness".to_owned(), json!(after)));
            }
            assert!(asked.elapsed() < Duration::from_secs(1), "after {after}: {:?}", asked.elapsed());
        }
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(6)
}

fn local(settings: &str) -> Gateway {
    Gateway::local(LOCAL, settings)
}

fn handshake(types: &str) -> String {
    format!(
        r#"[{{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["{types}"],"id":"1"}}]"#
    )
}

/// B48, B60: others notice nothing of it.
#[test]
fn bad_bodies_are_refused_with_a_reason() {
    let gateway = local("limits: { body: 64KiB, batch: 10, depth: 16 }");
    let mut witnesses = Witnesses::new(&gateway);
    let deep = format!(r#"[{{"channel":"/chat/a","data":{}1{}}}]"#, "[".repeat(40), "]".repeat(40));
    let many = json!(vec![json!({ "channel": "/meta/connect" }); 11]).to_string();
    for (what, body) in [
        ("not JSON", &b"hello"[..]),
        ("half of JSON", br#"[{"channel":"/meta/hand"#),
        ("text behind JSON", br#"[{"channel":"/meta/connect"}] x"#),
        ("no object", b"[1]"),
        ("a number", b"7"),
        ("bad UTF-8", b"[{\"channel\":\"/chat/\xff\",\"data\":1}]"),
        ("too deep", deep.as_bytes()),
        ("too many", many.as_bytes()),
        ("nothing", b""),
    ] {
        let mut http = Http::connect(gateway.addr());
        let response = http.post("/cometd", body).unwrap();
        assert!(matches!(response.status, 400 | 413), "{what}: {} {}", response.status, response.text());
        assert!(!response.body.is_empty(), "{what}: the sender is told why");
        witnesses.undisturbed(what);
    }
    // A message that is wrong by itself is answered; its neighbours are done.
    let mut http = Http::connect(gateway.addr());
    let response = http
        .post(
            "/cometd",
            br#"[{"id":"1"},{"channel":"no slash","id":"2"},{"channel":"/meta/nothing","id":"3"}]"#,
        )
        .unwrap();
    let replies = response.json();
    assert_eq!(replies.as_array().map(Vec::len), Some(3), "{replies}");
    for reply in replies.as_array().unwrap() {
        assert_eq!(reply["successful"], false, "{replies}");
        assert!(reply["error"].is_string(), "{replies}");
    }
    let log = gateway.log();
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn an_oversized_body_is_413_announced_or_not() {
    let gateway = local("limits: { body: 64KiB }");
    let mut witnesses = Witnesses::new(&gateway);
    // Announced: refused before it is sent.
    let mut http = Http::connect(gateway.addr());
    http.send_raw(b"POST /cometd HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 10000000\r\n\r\n")
        .unwrap();
    assert_eq!(http.response(soon()).unwrap().status, 413);
    // Not announced: refused when it has become too much.
    let mut http = Http::connect(gateway.addr());
    http.send_raw(b"POST /cometd HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    let chunk = [&b"2000\r\n"[..], &[b' '; 0x2000], b"\r\n"].concat();
    for _ in 0..20 {
        if http.send_raw(&chunk).is_err() {
            break;
        }
    }
    if let Ok(response) = http.response(soon()) {
        assert_eq!(response.status, 413);
    }
    // Just within.
    let mut http = Http::connect(gateway.addr());
    let body = handshake("long-polling");
    let padded = format!("{body}{}", " ".repeat(64 * 1024 - body.len()));
    assert_eq!(http.post("/cometd", padded.as_bytes()).unwrap().status, 200);
    witnesses.undisturbed("oversized bodies");
}

#[test]
fn requests_of_other_kinds_get_their_status() {
    let gateway = local("");
    let mut witnesses = Witnesses::new(&gateway);
    for (request, statuses) in [
        ("GET /cometd HTTP/1.1\r\nHost: h\r\n\r\n", &[400][..]),
        ("PUT /cometd HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", &[400, 405]),
        ("GET /elsewhere HTTP/1.1\r\nHost: h\r\n\r\n", &[404]),
        ("GET /cometdx HTTP/1.1\r\nHost: h\r\n\r\n", &[404]),
        (
            "GET /cometd HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            &[400, 426],
        ),
        (
            "GET /cometd HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\r\n",
            &[400],
        ),
        ("NONSENSE\r\n\r\n", &[400]),
        ("POST /cometd HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n", &[400]),
    ] {
        let mut http = Http::connect(gateway.addr());
        http.send_raw(request.as_bytes()).unwrap();
        let status = http.response(soon()).unwrap_or_else(|error| panic!("{error}: {request}")).status;
        assert!(statuses.contains(&status), "{status}: {request}");
    }
    let mut http = Http::connect(gateway.addr());
    let long = format!("GET /cometd HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(200_000));
    let _ = http.send_raw(long.as_bytes());
    if let Ok(response) = http.response(soon()) {
        assert!(matches!(response.status, 400 | 431), "{}", response.status);
    }
    witnesses.undisturbed("odd requests");
}

#[test]
fn half_sent_requests_and_silent_sockets_are_cut_off() {
    let gateway = local("limits: { header_timeout: 1s, body_timeout: 1s }");
    let mut witnesses = Witnesses::new(&gateway);
    let mut silent = Http::connect(gateway.addr());
    let mut half_head = Http::connect(gateway.addr());
    half_head.send_raw(b"POST /cometd HTTP/1.1\r\nHost: h\r\nContent-Le").unwrap();
    let mut half_body = Http::connect(gateway.addr());
    half_body.send_raw(b"POST /cometd HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n[{").unwrap();
    let mut drip = Http::connect(gateway.addr());
    drip.send_raw(b"POST /cometd HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n").unwrap();
    let end = soon();
    let mut dripped = false;
    while Instant::now() < end {
        if drip.send_raw(b" ").is_err() {
            dripped = true;
            break;
        }
        witnesses.undisturbed("a drip");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(dripped || drip.closed(soon()), "a body that drips in is cut off");
    assert!(half_head.closed(soon()), "half a head is cut off");
    assert!(half_body.closed(soon()), "half a body is cut off");
    assert!(silent.closed(soon()), "a socket that says nothing is cut off");
    // One that resets in the middle harms nobody.
    for _ in 0..20 {
        let mut gone = Http::connect(gateway.addr());
        gone.send_raw(b"POST /cometd HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n[{").unwrap();
    }
    witnesses.undisturbed("half requests");
}

#[test]
fn broken_websocket_frames_end_that_socket_only() {
    let gateway = local("limits: { body: 64KiB }");
    let mut witnesses = Witnesses::new(&gateway);
    let hello = handshake("websocket");
    let big = vec![b' '; 70 * 1024];
    let mut fragment = ws::frame(ws::TEXT, b"[{\"channel\":", true);
    fragment[0] &= 0x7f;
    let two_starts = [fragment.clone(), ws::frame(ws::TEXT, b"[]", true)].concat();
    let mut rsv = ws::frame(ws::TEXT, b"[]", true);
    rsv[0] |= 0x40;
    let mut long_ping = ws::frame(ws::PING, &[b'x'; 126], true);
    long_ping[0] = 0x80 | ws::PING;
    let mut huge = vec![0x81, 0x80 | 127];
    huge.extend_from_slice(&u64::MAX.to_be_bytes());
    huge.extend_from_slice(b"mask");
    for (what, bytes, code) in [
        ("an unmasked frame", ws::frame(ws::TEXT, hello.as_bytes(), false), 1002),
        ("an oversized message", ws::frame(ws::TEXT, &big, true), 1009),
        ("an oversized length", huge, 1009),
        ("bad UTF-8", ws::frame(ws::TEXT, b"[{\"channel\":\"\xff\"}]", true), 1007),
        ("an RSV bit", rsv, 1002),
        ("a reserved opcode", ws::frame(3, b"x", true), 1002),
        ("a second start of a message", two_starts, 1002),
        ("a continuation of nothing", ws::frame(0, b"x", true), 1002),
        ("a ping of 126 bytes", long_ping, 1002),
    ] {
        let mut ws = Ws::connect(gateway.addr(), "/cometd");
        ws.send_text(&hello).unwrap();
        ws.receive(soon()).unwrap();
        let _ = ws.send_raw(&bytes);
        let close = ws.closed(soon()).unwrap_or_else(|error| panic!("{what}: {error}"));
        if let Some(close) = close {
            let allowed = [Some(code), Some(if what.contains("length") { 1002 } else { code })];
            assert!(allowed.contains(&close.close_code()), "{what}: {:?}", close.close_code());
        } else if !what.contains("oversized") {
            panic!("{what}: closed without a close frame");
        }
        witnesses.undisturbed(what);
    }
}

#[test]
fn bad_messages_on_a_websocket_are_answered_or_end_it_with_a_reason() {
    let gateway = local("");
    let mut witnesses = Witnesses::new(&gateway);
    for what in ["hello", "[1]", "[{", r#"{"channel":7}"#, "null"] {
        let mut ws = Ws::connect(gateway.addr(), "/cometd");
        ws.send_text(&handshake("websocket")).unwrap();
        ws.receive(soon()).unwrap();
        ws.send_text(what).unwrap();
        let frame = ws.receive(soon()).unwrap_or_else(|error| panic!("{what}: {error}"));
        match frame.opcode {
            ws::TEXT => {
                assert!(String::from_utf8_lossy(&frame.payload).contains(r#""error":"#), "{what}: {frame:?}");
            }
            ws::CLOSE => {
                assert!(
                    frame.close_code().is_some() && !frame.close_reason().is_empty(),
                    "{what}: {frame:?}"
                );
            }
            _ => panic!("{what}: {frame:?}"),
        }
        witnesses.undisturbed(what);
    }
    // Fragments, pings between them, and [] are fine.
    let mut ws = Ws::connect(gateway.addr(), "/cometd");
    let hello = handshake("websocket");
    let (one, two) = hello.as_bytes().split_at(20);
    let mut first = ws::frame(ws::TEXT, one, true);
    first[0] &= 0x7f;
    ws.send_raw(&[first, ws::frame(ws::PING, b"between", true), ws::frame(0, two, true)].concat()).unwrap();
    let mut seen = [ws.receive(soon()).unwrap(), ws.receive(soon()).unwrap()];
    seen.sort_by_key(|frame| frame.opcode);
    assert!(String::from_utf8_lossy(&seen[0].payload).contains("clientId"));
    assert_eq!((seen[1].opcode, &*seen[1].payload), (ws::PONG, &b"between"[..]));
    ws.send_raw(&ws::frame(ws::CLOSE, &1000_u16.to_be_bytes(), true)).unwrap();
    assert_eq!(ws.closed(soon()).unwrap().and_then(|frame| frame.close_code()), Some(1000));
    // A handshake that vanishes, byte by byte resets, a thousand of them.
    for n in 0..200 {
        let mut gone = Ws::connect(gateway.addr(), "/cometd");
        let _ = gone.stream().write_all(&ws::frame(ws::TEXT, hello.as_bytes(), true)[..n % 60]);
    }
    witnesses.undisturbed("vanishing sockets");
}

/// B26, B74: its session ends once, whatever waits for it is forgotten.
#[test]
fn a_client_that_never_reads_is_disconnected_and_counted_and_delays_nobody() {
    // Of 40 kB each: far more than the socket's buffers and the queue together hold.
    const RECORDS: usize = 1200;
    let kafka = Kafka::shared();
    let topic = unique("flood");
    kafka.create_topic(&topic, 1);
    let routes = format!(
        r#"
routes:
  - name: chat
    channel: "/chat/{{room}}"
    local: true
    publish:
  - name: flood
    channel: "/flood/{{key}}"
    topic: {topic}
    key: "{{key}}"
"#
    );
    let gateway = Gateway::with(&Setup {
        kafka: kafka.bootstrap(),
        routes: &routes,
        settings: "queue: { bytes: 256KiB }",
    });
    let mut witnesses = Witnesses::new(&gateway);
    let mut healthy = Client::subscribed(gateway.addr(), Transport::WebSocket, "/flood/*");
    let mut deaf = Client::subscribed(gateway.addr(), Transport::WebSocket, "/flood/*");
    let mut away = Client::subscribed(gateway.addr(), Transport::LongPolling, "/flood/*");
    let before = gateway.process().resident();
    let writer = Writer::new(kafka);
    let value = format!("{:?}", "x".repeat(40_000));
    let mut count = 0;
    for n in 0..RECORDS {
        writer.send(&topic, Some(b"k"), Some(value.as_bytes()));
        // Never more at once than a queue holds: who reads is not slow.
        if n % 4 == 3 {
            writer.flush();
            while count <= n {
                let until = Instant::now() + Duration::from_secs(20);
                healthy
                    .receive(until, |_| {
                        count += 1;
                        if count > n {
                            std::ops::ControlFlow::Break(())
                        } else {
                            std::ops::ControlFlow::Continue(())
                        }
                    })
                    .expect("the healthy client gets every record");
            }
        }
        if n % 200 == 0 {
            witnesses.undisturbed("a flood");
        }
    }
    eventually(Duration::from_secs(10), "both slow clients are counted", || {
        gateway.metric("halley_slow_consumer_disconnects_total", &[]) >= 2.0
    });
    // The one that comes back late is told to begin anew; the deaf one's socket is closed.
    let reply = loop {
        match away.connect_reply(Duration::from_secs(5)) {
            Ok(reply) if reply["successful"] == false => break reply,
            Ok(_) => {}
            Err(error) => panic!("no connect is refused: {error}"),
        }
    };
    assert_eq!(reply["advice"]["reconnect"], "handshake", "{reply}");
    let end = loop {
        match deaf.event(Duration::from_secs(5)) {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_ne!(end.kind(), std::io::ErrorKind::TimedOut, "the socket of the deaf client is closed");
    let after = gateway.process().resident();
    println!("resident before the flood {} MiB, after {} MiB", before >> 20, after >> 20);
    assert!(after < before + (64 << 20), "memory does not grow with slow clients");
    witnesses.undisturbed("slow clients");
}
