//! Bayeux over TLS, as over plain connections.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::rig::Secure;
use crate::support::bayeux::{BOTH, Client, Transport};
use crate::support::eventually;
use crate::support::http::Http;
use crate::support::ws::Ws;

const HANDSHAKE: &[u8] = br#"[{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["long-polling"],"id":"1"}]"#;

/// Both transports over TLS: handshake, subscribe, publish, events both ways, held connects, disconnect.
#[test]
fn both_transports_work() {
    let secure = Secure::start("shards: 2");
    let bridge = secure.bridge();
    for (reader, writer) in [(BOTH[0], BOTH[1]), (BOTH[1], BOTH[0]), (BOTH[0], BOTH[0])] {
        let mut reader = Client::subscribed(bridge.addr(), reader, "/chat/*");
        let mut writer = Client::subscribed(bridge.addr(), writer, "/chat/other");
        for text in ["é 世界".to_owned(), "x".repeat(200_000)] {
            let data = json!({ "text": text });
            assert_eq!(writer.publish("/chat/room", &data)["successful"], true);
            assert_eq!(reader.expect_event(), ("/chat/room".to_owned(), data));
        }
        writer.expect_silence(Duration::from_millis(100));
        assert_eq!(reader.disconnect()["successful"], true);
    }
    assert!(secure.gateway.metric("halley_tls_handshakes_total", &["accepted"]) >= 6.0);
}

/// A WebSocket over TLS goes to the shard of the session that it names first, with its TLS session, whatever shard it came in on.
#[test]
fn a_websocket_moves_to_the_shard_of_its_session() {
    let secure = Secure::start("shards: 4");
    let bridge = secure.bridge();
    for _ in 0..4 {
        let reply = &Http::connect(bridge.addr()).post("/cometd", HANDSHAKE).unwrap().json()[0];
        let id = reply["clientId"].as_str().unwrap();
        for round in ["1", "2"] {
            let mut ws = Ws::connect(bridge.addr(), "/cometd");
            let connect = json!([{ "channel": "/meta/connect", "clientId": id, "connectionType": "websocket", "id": round, "advice": { "timeout": 0 } }]);
            ws.send_text(&connect.to_string()).unwrap();
            let frame = ws.receive(Instant::now() + Duration::from_secs(10)).unwrap();
            let replies: serde_json::Value = serde_json::from_slice(&frame.payload).unwrap();
            assert_eq!(
                (&replies[0]["successful"], &replies[0]["id"]),
                (&json!(true), &json!(round)),
                "{replies}"
            );
        }
    }
}

/// W23: over TLS the browser's cookie is `Secure`, and only pages from `https` are of the same origin.
#[test]
fn what_is_said_over_tls_is_for_tls() {
    let secure = Secure::start("");
    let bridge = secure.bridge();
    let mut http = Http::connect(bridge.addr());
    let response = http.post("/cometd", HANDSHAKE).unwrap();
    let cookie = response.header("set-cookie").unwrap();
    assert!(cookie.contains("; Secure"), "{cookie}");
    for (scheme, status) in [("https", 200), ("http", 403)] {
        // The bridge passes on what the client takes for the host: its own address.
        let origin = format!("{scheme}://{}", bridge.addr());
        let response = http.post_with("/cometd", &[("Origin", &origin)], HANDSHAKE).unwrap();
        assert_eq!(response.status, status, "{origin}");
        let socket = Ws::try_connect(bridge.addr(), "/cometd", &[("Origin", &origin)]);
        assert_eq!(socket.is_ok(), status == 200, "{origin}");
    }
}

/// A client without TLS at a port with TLS is told so by TLS's own means, counted, and disturbs nobody.
#[test]
fn plain_clients_are_refused() {
    let secure = Secure::start("limits: { header_timeout: 1s }");
    let mut http = Http::connect(secure.addr());
    http.send_raw(b"POST /cometd HTTP/1.1\r\nhost: gateway\r\ncontent-length: 2\r\n\r\n[]").unwrap();
    assert!(http.closed(Instant::now() + Duration::from_secs(10)));
    eventually(Duration::from_secs(5), "it is counted", || {
        secure.gateway.metric("halley_tls_handshakes_total", &["failed"]) > 0.0
    });
    // One that says nothing, and one that stops within its first message.
    let mut silent = Http::connect(secure.addr());
    let mut half = Http::connect(secure.addr());
    half.send_raw(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).unwrap();
    for http in [&mut silent, &mut half] {
        assert!(http.closed(Instant::now() + Duration::from_secs(10)));
    }
    eventually(Duration::from_secs(5), "both are counted", || {
        secure.gateway.metric("halley_tls_handshakes_total", &["timeout"]) >= 2.0
    });
    Client::open(secure.bridge().addr(), Transport::LongPolling).disconnect();
}

/// Handshakes as fast as two clients can: who is connected does not wait for them.
#[test]
fn a_flood_of_handshakes_delays_nobody() {
    const FLOOD: Duration = Duration::from_secs(2);
    let secure = Secure::start("shards: 1");
    let bridge = secure.bridge();
    let mut witness = Client::subscribed(bridge.addr(), Transport::WebSocket, "/chat/a");
    let until = Instant::now() + FLOOD;
    let (count, slowest) = std::thread::scope(|scope| {
        let flood = || {
            let mut count = 0;
            while Instant::now() < until {
                secure.shown();
                count += 1;
            }
            count
        };
        let floods = [scope.spawn(flood), scope.spawn(flood)];
        let mut slowest = Duration::ZERO;
        while Instant::now() < until {
            let asked = Instant::now();
            assert_eq!(witness.publish("/chat/a", &json!(1))["successful"], true);
            witness.expect_event();
            slowest = slowest.max(asked.elapsed());
        }
        (floods.into_iter().map(|flood| flood.join().unwrap()).sum::<u32>(), slowest)
    });
    println!("{count} handshakes in {FLOOD:?}; the slowest publish and event took {slowest:?}");
    assert!(count > 20 && slowest < Duration::from_secs(1), "{count} handshakes, {slowest:?}");
}

/// Held polls and WebSockets over TLS are let go when the gateway goes down, and the process ends in time.
#[test]
fn a_shutdown_lets_everybody_go() {
    let mut secure = Secure::start("drain: 5s");
    let bridge = secure.bridge();
    let mut poll = Client::subscribed(bridge.addr(), Transport::LongPolling, "/chat/a");
    let mut ws = Client::subscribed(bridge.addr(), Transport::WebSocket, "/chat/a");
    secure.gateway.terminate();
    let reply = poll.connect_reply(Duration::from_secs(10)).unwrap();
    assert_eq!(reply["advice"]["reconnect"], "retry", "{reply}");
    let error = ws.event(Duration::from_secs(10)).unwrap_err();
    assert!(error.to_string().contains("1001"), "{error}");
    drop((poll, ws));
    assert!(secure.gateway.wait(Duration::from_secs(10)).success());
}

/// A connection takes a place of `limits.sockets` from its first byte to its last, also one whose handshake fails, and one that became a WebSocket and moved.
#[test]
fn open_connections_are_bounded() {
    let secure = Secure::start("shards: 4\nlimits: { sockets: 2, header_timeout: 2s }");
    let bridge = secure.bridge();
    let works =
        || Http::try_connect(bridge.addr()).is_ok_and(|mut http| http.post("/cometd", HANDSHAKE).is_ok());
    for _ in 0..3 {
        // Those before may be on their way out still.
        let (mut http, mut id) = (None, String::new());
        eventually(Duration::from_secs(10), "there is room for one", || {
            let mut one = Http::connect(bridge.addr());
            let Ok(reply) = one.post("/cometd", HANDSHAKE) else { return false };
            reply.json()[0]["clientId"].as_str().unwrap().clone_into(&mut id);
            http = Some(one);
            true
        });
        let mut ws = Ws::connect(bridge.addr(), "/cometd");
        ws.send_text(
            &json!([{ "channel": "/meta/connect", "clientId": id, "connectionType": "websocket" }])
                .to_string(),
        )
        .unwrap();
        ws.receive(Instant::now() + Duration::from_secs(10)).unwrap();
        assert!(!works(), "there are two");
        drop((http, ws));
        eventually(Duration::from_secs(10), "there is room when they are gone", works);
        eventually(Duration::from_secs(10), "and for two", || {
            let [one, two] = [(); 2].map(|()| Http::try_connect(bridge.addr()));
            one.is_ok_and(|mut one| {
                one.post("/cometd", HANDSHAKE).is_ok()
                    && two.is_ok_and(|mut two| two.post("/cometd", HANDSHAKE).is_ok())
            })
        });
    }
    assert!(secure.gateway.metric("halley_connections_refused_total", &[]) > 2.5);
    // Who says nothing, or no TLS, has its place for a while.
    let silent = [(); 2].map(|()| Http::connect(secure.gateway.addr()));
    assert!(!works());
    eventually(Duration::from_secs(10), "there is room after the time-out of handshakes", works);
    drop(silent);
}
