use std::time::Duration;

use super::client::{HANDSHAKE, UPGRADE, Wire, client_id, connect, frame, subscribe};
use super::driver::{Running, run, start};
use crate::config::Settings;

fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.bayeux.timeout = Duration::from_secs(5);
    settings.limits.body = 100_000;
    settings
}

/// A session on a socket, subscribed to a channel and with a held connect.
async fn session(server: &Running, channel: &str) -> (Wire, String) {
    session_on(Wire::websocket(server.address).await, channel).await
}

async fn session_on(mut wire: Wire, channel: &str) -> (Wire, String) {
    wire.text(HANDSHAKE).await;
    let client = client_id(&wire.next_text().await);
    for message in [connect(&client), subscribe(&client, channel)] {
        wire.text(&message).await;
        assert!(wire.next_text().await.contains(r#""successful":true"#));
    }
    wire.text(&connect(&client)).await;
    (wire, client)
}

#[test]
fn records_are_pushed_one_a_frame() {
    run(async {
        let server = start(&settings());
        let (mut wire, _) = session(&server, "/a/*").await;
        server.driver.records(&[("/a/1", "1"), ("/b", "0"), ("/a/2", r#"{"x":[1,2]}"#)]);
        assert_eq!(wire.next_text().await, r#"[{"channel":"/a/1","data":1}]"#);
        assert_eq!(wire.next_text().await, r#"[{"channel":"/a/2","data":{"x":[1,2]}}]"#);
    });
}

#[test]
fn what_the_client_sent_with_its_upgrade_is_read() {
    run(async {
        let server = start(&settings());
        let mut wire = Wire::open(server.address).await;
        wire.say([UPGRADE.as_bytes(), &frame(0x81, HANDSHAKE.as_bytes())].concat()).await;
        assert_eq!(wire.reply().await.status, 101);
        assert_eq!(client_id(&wire.next_text().await).len(), 35);
    });
}

#[test]
fn odd_frames_are_tolerated() {
    run(async {
        let server = start(&settings());
        let (mut wire, _) = session(&server, "/a").await;
        wire.frame(0x89, b"are you there").await;
        assert_eq!(wire.next().await, (0x8A, b"are you there".to_vec()));
        wire.frame(0x82, &[0, 1, 2]).await;
        wire.frame(0x8A, b"").await;
        wire.text("[]").await;
        assert_eq!(wire.next_text().await, "[]");
        wire.text("{\"channel\":").await;
        let error = wire.next_text().await;
        let error: serde_json::Value = serde_json::from_str(&error).unwrap();
        assert_eq!(error[0]["successful"], false);
        assert!(error[0]["error"].as_str().unwrap().starts_with("400::"));
        server.driver.records(&[("/a", "1")]);
        assert_eq!(wire.next_text().await, r#"[{"channel":"/a","data":1}]"#);
    });
}

#[test]
fn broken_frames_close_with_their_code() {
    run(async {
        let server = start(&settings());
        for (bytes, code) in [
            (b"\x81\x02[]".to_vec(), 1002),
            (frame(0xC1, b"[]"), 1002),
            (frame(0x81, &[0xFF]), 1007),
            (frame(0x81, &vec![b' '; 100_001]), 1009),
        ] {
            let (mut wire, _) = session(&server, "/a").await;
            wire.say(bytes).await;
            assert_eq!(wire.next_close().await, code);
            assert!(wire.ended().await);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(server.driver.stats().sockets, 0);
        assert_eq!(server.driver.stats().sessions, 4, "the sessions live on");
    });
}

#[test]
fn a_session_outlives_its_socket() {
    run(async {
        let server = start(&settings());
        let (mut wire, client) = session(&server, "/a").await;
        wire.frame(0x88, &1000_u16.to_be_bytes()).await;
        assert_eq!(wire.next_close().await, 1000);
        drop(wire);
        server.driver.records(&[("/a", "1")]);
        let mut wire = Wire::websocket(server.address).await;
        wire.text(&connect(&client)).await;
        let first = wire.next_text().await;
        assert!(first.contains(r#""data":1"#), "{first}");
    });
}

#[test]
fn a_disconnect_is_answered_and_then_closed() {
    run(async {
        let server = start(&settings());
        let (mut wire, client) = session(&server, "/a").await;
        wire.text(&format!(r#"[{{"channel":"/meta/disconnect","clientId":"{client}","id":"d"}}]"#)).await;
        assert!(wire.next_text().await.contains("/meta/connect"));
        assert!(wire.next_text().await.contains("/meta/disconnect"));
        assert_eq!(wire.next_close().await, 1000);
        assert!(wire.ended().await);
    });
}

#[test]
fn a_client_that_does_not_read_is_ended_and_disturbs_nobody() {
    run(async {
        let server = start(&settings());
        let (stuck, _) = session(&server, "/a").await;
        let (mut other, _) = session(&server, "/a").await;
        let value = format!("\"{}\"", "x".repeat(60_000));
        let mut sent = 0;
        while server.driver.stats().slow_consumers == 0 {
            server.driver.records(&[("/a", &value)]);
            assert!(other.next_text().await.len() > 60_000);
            sent += 1;
            assert!(sent < 1000, "60 MB are queued");
        }
        assert_eq!(server.driver.stats().sessions, 1);
        server.driver.records(&[("/a", "1")]);
        assert_eq!(other.next_text().await, r#"[{"channel":"/a","data":1}]"#);
        drop(stuck);
    });
}

#[test]
fn requests_of_a_client_that_does_not_read_wait() {
    run(async {
        let server = start(&settings());
        let mut wire = Wire::websocket(server.address).await;
        let pings = frame(0x89, &[b'x'; 125]).repeat(1000);
        let flood = async {
            // The kernel's buffers take some; then nobody reads any more.
            loop {
                wire.say(&pings).await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_millis(500), flood).await.is_err());
        let mut pongs = 0;
        while tokio::time::timeout(Duration::from_millis(200), wire.next())
            .await
            .is_ok_and(|(first, _)| first == 0x8A)
        {
            pongs += 1;
        }
        assert!(pongs > 1000, "{pongs}");
    });
}

#[test]
fn a_socket_moves_to_the_shard_of_its_session() {
    run(async {
        let here = start(&settings());
        let there = start(&settings());
        let mut polling = Wire::open(there.address).await;
        let client = client_id(&polling.post(HANDSHAKE).await.body);
        *here.driver.elsewhere.borrow_mut() = Some(there.server.clone());
        let mut wire = Wire::websocket(here.address).await;
        // The idle ping stays, the first message moves, and what follows it in the same packet moves along.
        wire.text("[]").await;
        assert_eq!(wire.next_text().await, "[]");
        let both =
            [frame(0x81, connect(&client).as_bytes()), frame(0x81, subscribe(&client, "/a").as_bytes())];
        wire.say(both.concat()).await;
        assert!(wire.next_text().await.contains(r#""successful":true"#));
        assert!(wire.next_text().await.contains(r#""subscription":"/a""#));
        assert_eq!((here.driver.stats().sockets, there.driver.stats().sockets), (0, 1));
        there.driver.records(&[("/a", "1")]);
        assert_eq!(wire.next_text().await, r#"[{"channel":"/a","data":1}]"#);
    });
}

#[test]
fn bad_upgrades_are_refused() {
    run(async {
        let server = start(&settings());
        for (from, to, status) in [
            ("version: 13", "version: 8", 426),
            ("GET", "POST", 400),
            ("dGhl", "", 400),
            ("ion: Upgrade", "ion: x", 400),
        ] {
            let mut wire = Wire::open(server.address).await;
            wire.say(UPGRADE.replacen(from, to, 1)).await;
            assert_eq!(wire.reply().await.status, status, "{to}");
        }
        let mut wire = Wire::open(server.address).await;
        wire.say(UPGRADE.replacen("connection", "origin: http://evil.example\r\nconnection", 1)).await;
        assert_eq!(wire.reply().await.status, 403);
        assert_eq!(server.driver.stats().sockets, 0);
    });
}

#[test]
fn half_a_message_ends_its_socket() {
    run(async {
        let mut settings = settings();
        settings.limits.body_timeout = Duration::from_millis(100);
        let server = start(&settings);
        let text = frame(0x81, HANDSHAKE.as_bytes());
        let mut fragment = text.clone();
        fragment[0] = 1;
        for half in [&text[..1], &text[..20], &fragment[..]] {
            let mut wire = Wire::websocket(server.address).await;
            // A whole one, and half of another.
            wire.say([&text[..], half].concat()).await;
            client_id(&wire.next_text().await);
            assert_eq!(wire.next_close().await, 1008);
            assert!(wire.ended().await);
        }
        assert_eq!(server.metrics.refused_timeout.get(), 3);
        // One that comes piece by piece, but in time; and then nothing for long.
        let mut wire = Wire::websocket(server.address).await;
        for piece in text.chunks(40) {
            wire.say(piece).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let client = client_id(&wire.next_text().await);
        tokio::time::sleep(Duration::from_millis(150)).await;
        wire.text(&connect(&client)).await;
        assert!(wire.next_text().await.contains(r#""successful":true"#));
    });
}

/// The payload of a compressed frame.
fn inflate(compressed: &[u8]) -> String {
    let mut text = Vec::with_capacity(1 << 20);
    let whole = [compressed, &[0, 0, 0xFF, 0xFF]].concat();
    flate2::Decompress::new(false).decompress_vec(&whole, &mut text, flate2::FlushDecompress::Sync).unwrap();
    String::from_utf8(text).unwrap()
}

/// A message with something to compress in it.
fn padded(message: &str) -> String {
    message.replace("\"id\"", &format!("{}\"id\"", " ".repeat(500)))
}

/// A text message as a client compresses it.
fn compressed(text: &str) -> Vec<u8> {
    let server = crate::stream::compressed_text_frame(text.as_bytes()).unwrap();
    let header = if server[1] < 126 { 2 } else { 4 };
    frame(0xC1, &server[header..])
}

#[test]
fn large_events_are_compressed_for_those_who_take_it() {
    run(async {
        let server = start(&settings());
        let (wire, answer) = Wire::compressed(server.address).await;
        let expected = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        assert_eq!(answer.as_deref(), Some(expected));
        let (mut wire, client) = session_on(wire, "/a").await;
        let (mut plain, _) = session(&server, "/a").await;
        let large = format!("\"{}\"", "é".repeat(2000));
        let event = format!(r#"[{{"channel":"/a","data":{large}}}]"#);
        // Again and again: no frame depends on those before it.
        for _ in 0..3 {
            server.driver.records(&[("/a", "1"), ("/a", &large)]);
            assert_eq!(wire.next_text().await, r#"[{"channel":"/a","data":1}]"#);
            let (first, payload) = wire.next().await;
            assert_eq!((first, inflate(&payload)), (0xC1, event.clone()));
            assert!(payload.len() < 200);
            assert_eq!(plain.next_text().await, r#"[{"channel":"/a","data":1}]"#);
            assert_eq!(plain.next_text().await, event);
        }
        // What the client compresses is read, between what it does not.
        wire.say([frame(0x89, b"?"), compressed(&padded(&subscribe(&client, "/b")))].concat()).await;
        assert_eq!(wire.next().await.0, 0x8A);
        assert!(wire.next_text().await.contains(r#""subscription":"/b""#));
        wire.text(&subscribe(&client, "/c")).await;
        assert!(wire.next_text().await.contains(r#""subscription":"/c""#));
    });
}

#[test]
fn nothing_is_compressed_unless_both_want_it() {
    run(async {
        let mut settings = settings();
        settings.bayeux.websocket.compression = false;
        let off = start(&settings);
        assert_eq!(Wire::compressed(off.address).await.1, None);
        for server in [off, start(&self::settings())] {
            let (mut wire, _) = session(&server, "/a").await;
            server.driver.records(&[("/a", &format!("\"{}\"", "x".repeat(5000)))]);
            assert!(wire.next_text().await.len() > 5000);
            wire.say(compressed(&"[]".repeat(500))).await;
            assert_eq!(wire.next_close().await, 1002);
        }
    });
}

#[test]
fn a_bomb_is_refused() {
    run(async {
        let server = start(&settings());
        let (mut wire, _) = Wire::compressed(server.address).await;
        wire.say(compressed(&" ".repeat(100_001))).await;
        assert_eq!(wire.next_close().await, 1009);
        assert_eq!(server.metrics.refused_too_large.get(), 1);
        let (mut wire, _) = Wire::compressed(server.address).await;
        wire.frame(0xC1, &[0x07]).await;
        assert_eq!(wire.next_close().await, 1007);
        assert_eq!(server.metrics.refused_malformed.get(), 1);
    });
}

#[test]
fn a_socket_that_moves_stays_compressed() {
    run(async {
        let here = start(&settings());
        let there = start(&settings());
        let mut polling = Wire::open(there.address).await;
        let client = client_id(&polling.post(HANDSHAKE).await.body);
        *here.driver.elsewhere.borrow_mut() = Some(there.server.clone());
        let (mut wire, _) = Wire::compressed(here.address).await;
        wire.text(&connect(&client)).await;
        assert!(wire.next_text().await.contains(r#""successful":true"#));
        wire.say(compressed(&padded(&subscribe(&client, "/a")))).await;
        assert!(wire.next_text().await.contains(r#""subscription":"/a""#));
        there.driver.records(&[("/a", &format!("\"{}\"", "x".repeat(5000)))]);
        assert_eq!(wire.next().await.0, 0xC1);
    });
}

#[test]
fn a_client_that_closes_behind_half_a_frame_gets_the_other_half_and_its_close() {
    run(async {
        let server = start(&settings());
        let (mut wire, _) = session(&server, "/a").await;
        let value = format!("\"{}\"", "x".repeat(60_000));
        let mut sent = 0;
        while server.driver.queued() == 0 {
            server.driver.records(&[("/a", &value)]);
            sent += 1;
        }
        server.driver.records(&[("/a", &value)]);
        wire.frame(0x88, &1000_u16.to_be_bytes()).await;
        let mut whole = 0;
        let close = loop {
            match wire.next().await {
                (0x81, text) => {
                    assert_eq!(text.len(), 60_000 + r#"[{"channel":"/a","data":""}]"#.len());
                    whole += 1;
                }
                (0x88, close) => break close,
                (other, _) => panic!("{other:x}"),
            }
        };
        assert_eq!(close, 1000_u16.to_be_bytes());
        assert!(wire.ended().await);
        assert!(whole <= sent, "the last one is for the next socket");
    });
}
