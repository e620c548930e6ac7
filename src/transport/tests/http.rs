use std::time::{Duration, Instant};

use super::client::{HANDSHAKE, UPGRADE, Wire, client_id, connect, frame, subscribe};
use super::driver::{run, start};
use crate::config::Settings;

fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.bayeux.timeout = Duration::from_millis(200);
    settings.limits.body = 1000;
    settings.limits.body_timeout = Duration::from_millis(50);
    settings.limits.header_timeout = Duration::from_millis(300);
    settings.origins = vec!["https://app.example.com".to_owned()];
    settings
}

/// How long a connect is held, in tests of connections: hyper waits itself, or it is put away.
const HOLDS: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(1200)];

/// Settings by which a connect is held longer than that.
fn patient() -> Settings {
    let mut settings = settings();
    settings.bayeux.timeout = Duration::from_secs(2);
    settings.limits.header_timeout = Duration::from_secs(5);
    settings
}

/// A session that has connected once and is subscribed to a channel.
async fn session(wire: &mut Wire, channel: &str) -> String {
    let client = client_id(&wire.post(HANDSHAKE).await.body);
    wire.post(&connect(&client)).await;
    assert!(wire.post(&subscribe(&client, channel)).await.body.contains(r#""successful":true"#));
    client
}

#[test]
fn a_record_ends_a_held_connect() {
    run(async {
        let server = start(&settings());
        let mut wire = Wire::open(server.address).await;
        let reply = wire.post(HANDSHAKE).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("content-type"), Some("application/json;charset=UTF-8"));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        let cookie = reply.header("set-cookie").unwrap();
        assert!(
            cookie.starts_with("BAYEUX_BROWSER=") && cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax")
        );
        let client = client_id(&reply.body);
        wire.post(&connect(&client)).await;
        wire.post(&subscribe(&client, "/a")).await;
        wire.send("POST /cometd/connect", &connect(&client)).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        server.driver.records(&[("/a", "1"), ("/a", "2"), ("/b", "3")]);
        let reply = wire.reply().await;
        assert!(
            reply.body.starts_with(r#"[{"channel":"/a","data":1},{"channel":"/a","data":2},{"#),
            "{reply:?}"
        );
        assert!(!server.driver.written.borrow().contains(&false));
        // Nothing more: the next one is held to its end.
        let reply = wire.post(&connect(&client)).await;
        assert!(reply.body.starts_with(r#"[{"channel":"/meta/connect""#), "{reply:?}");
    });
}

#[test]
fn a_client_that_leaves_a_held_connect_loses_nothing() {
    run(async {
        for hold in HOLDS {
            let server = start(&patient());
            let mut wire = Wire::open(server.address).await;
            let client = session(&mut wire, "/a").await;
            let mut other = Wire::open(server.address).await;
            other.send("POST /cometd", &connect(&client)).await;
            tokio::time::sleep(hold).await;
            drop(other);
            while server.driver.written.borrow().last() != Some(&false) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            server.driver.records(&[("/a", "1")]);
            assert!(wire.post(&connect(&client)).await.body.starts_with(r#"[{"channel":"/a","data":1},"#));
        }
    });
}

#[test]
fn every_kind_of_body_is_read() {
    run(async {
        let server = start(&settings());
        let mut wire = Wire::open(server.address).await;
        let object = HANDSHAKE.trim_matches(['[', ']']);
        let form = HANDSHAKE.replace('"', "%22").replace('[', "%5b").replace(',', "%2C");
        for (head, body) in [
            ("POST /cometd", HANDSHAKE.to_owned()),
            ("POST /cometd/58.0/handshake?x=y", object.to_owned()),
            ("POST /cometd/", format!("message={form}")),
            ("POST /cometd/", format!("message={form}&message={object}")),
            ("POST /cometd/", format!("x=[]&message=[]&message={form}&message=[{object},{object}]&y=")),
        ] {
            let reply = wire.request(head, &body).await;
            assert_eq!(client_id(&reply.body).len(), 35, "{reply:?}");
        }
        let chunked = format!(
            "POST /cometd HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\nexpect: 100-continue\r\ncookie:\r\n\r\n\
             {:x}\r\n{HANDSHAKE}\r\n0\r\n\r\n",
            HANDSHAKE.len()
        );
        wire.say(chunked).await;
        assert_eq!(wire.reply().await.status, 100);
        assert_eq!(wire.reply().await.status, 200);
        assert_eq!(wire.post("[]").await.body, "[]");
    });
}

#[test]
fn what_is_wrong_is_told_with_a_status() {
    run(async {
        let server = start(&settings());
        for (head, body, status, hint) in [
            ("GET /", "", 404, "Bayeux is at /cometd"),
            ("GET /cometdx", "", 404, "Bayeux is at /cometd"),
            ("GET /cometd", "", 400, "POST"),
            ("PUT /cometd", "", 405, "POST"),
            ("POST /cometd", "", 400, "empty"),
            ("POST /cometd", "[{]", 400, "JSON"),
            ("POST /cometd", "hello", 400, "neither"),
            ("POST /cometd", &"[".repeat(900), 400, "deep"),
            ("POST /cometd", &"x".repeat(1001), 413, "limits.body"),
        ] {
            let mut wire = Wire::open(server.address).await;
            let reply = wire.request(head, body).await;
            assert_eq!(reply.status, status, "{head} {reply:?}");
            assert!(reply.body.contains(hint), "{reply:?}");
            assert_eq!(reply.header("content-type"), Some("text/plain;charset=UTF-8"));
        }
        let metrics = &server.metrics;
        assert_eq!((metrics.http_4xx.get(), metrics.refused_malformed.get()), (9, 4));
        assert_eq!(metrics.refused_too_large.get(), 1);
    });
}

#[test]
fn other_paths_may_have_files() {
    run(async {
        let server = start(&settings());
        let mut wire = Wire::open(server.address).await;
        let reply = wire.request("GET /page?x", "").await;
        assert_eq!((reply.status, reply.body.as_str()), (200, "<p>"));
        assert_eq!(reply.header("content-type"), Some("text/html"));
        assert_eq!(wire.request("POST /page", "").await.status, 404);
    });
}

#[test]
fn half_sent_requests_end() {
    run(async {
        let server = start(&settings());
        let mut body = Wire::open(server.address).await;
        body.say("POST /cometd HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n[").await;
        assert_eq!(body.reply().await.status, 408);
        let mut head = Wire::open(server.address).await;
        head.say("POST /cometd HTTP/1.1\r\nhost").await;
        let mut silent = Wire::open(server.address).await;
        assert!(silent.ended().await);
        assert!(head.ended().await);
        // Half a body and half a head; not the silent one.
        assert_eq!(server.metrics.refused_timeout.get(), 2);
        let mut large = Wire::open(server.address).await;
        large.say(format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(40_000))).await;
        assert_eq!(large.reply().await.status, 431);
    });
}

#[test]
fn origins_are_checked() {
    run(async {
        let server = start(&settings());
        let mut wire = Wire::open(server.address).await;
        let with_origin =
            |line: &str, origin: &str| format!("{line} HTTP/1.1\r\nhost: gateway\r\norigin: {origin}\r\n");
        wire.say(with_origin("OPTIONS /cometd/connect", "https://app.example.com")).await;
        wire.say("access-control-request-headers: x-mine\r\n\r\n").await;
        let reply = wire.reply().await;
        assert_eq!(reply.status, 204);
        assert_eq!(reply.header("access-control-allow-origin"), Some("https://app.example.com"));
        assert_eq!(reply.header("access-control-allow-headers"), Some("x-mine"));
        wire.say(with_origin("POST /cometd", "https://app.example.com")).await;
        wire.say(format!("content-length: {}\r\n\r\n{HANDSHAKE}", HANDSHAKE.len())).await;
        let reply = wire.reply().await;
        assert_eq!(reply.header("access-control-allow-origin"), Some("https://app.example.com"));
        assert_eq!(reply.header("access-control-allow-credentials"), Some("true"));
        for line in ["OPTIONS /cometd", "POST /cometd", "GET /cometd"] {
            let mut wire = Wire::open(server.address).await;
            wire.say(with_origin(line, "https://evil.example")).await;
            wire.say("connection: upgrade\r\nupgrade: websocket\r\n\r\n").await;
            let reply = wire.reply().await;
            assert_eq!(reply.status, 403, "{line}");
            assert_eq!(reply.header("access-control-allow-origin"), None);
        }
        assert_eq!((server.driver.stats().handshakes, server.metrics.refused_origin.get()), (1, 3));
    });
}

#[test]
fn connections_end_when_the_gateway_goes_down() {
    run(async {
        for hold in HOLDS {
            let server = start(&patient());
            let mut idle = Wire::open(server.address).await;
            let client = session(&mut idle, "/a").await;
            let mut held = Wire::open(server.address).await;
            held.send("POST /cometd", &connect(&client)).await;
            tokio::time::sleep(hold).await;
            // The driver of these tests does not answer for the drain.
            server.drain.send_replace(true);
            assert!(idle.ended().await);
            let reply = held.reply().await;
            assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
            assert!(held.ended().await);
        }
    });
}

#[test]
fn a_parked_poll_is_small() {
    // The future of a connection, of which one lives as long as each long-polling client.
    run(async {
        let server = start(&settings());
        let (stream, peer) = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let peer = stream.peer_addr().unwrap();
            (stream, peer)
        };
        let size = size_of_val(&server.server.clone().serve(stream.into(), peer));
        assert!(size < 1024, "{size} bytes");
    });
}

/// The head of a POST with these further lines, and its body.
fn post(version: &str, lines: &str, body: &str) -> String {
    let length = body.len();
    format!("POST /cometd HTTP/{version}\r\nhost: x\r\n{lines}content-length: {length}\r\n\r\n{body}")
}

#[test]
fn a_request_is_not_queued_behind_a_held_connect() {
    run(async {
        for hold in HOLDS {
            let server = start(&patient());
            let mut wire = Wire::open(server.address).await;
            let client = session(&mut wire, "/a").await;
            let connect = connect(&client);
            // More than hyper reads at once, and a part that comes later.
            let pad = format!("x-pad: {}\r\n", "y".repeat(6000));
            let [first, second, third] =
                ["/b", "/c", "/d"].map(|channel| post("1.1", &pad, &subscribe(&client, channel)));
            let (early, late) = third.split_at(3000);
            wire.say(post("1.1", "", &connect)).await;
            tokio::time::sleep(hold).await;
            let sent = Instant::now();
            wire.say([&first, &second, early].concat()).await;
            assert!(wire.reply().await.body.starts_with(r#"[{"channel":"/meta/connect","#));
            for channel in ["/b", "/c"] {
                let reply = wire.reply().await;
                assert!(reply.body.contains(&format!(r#""subscription":"{channel}""#)), "{reply:?}");
            }
            assert!(sent.elapsed() < Duration::from_millis(500));
            wire.say(late).await;
            assert!(wire.reply().await.body.contains(r#""subscription":"/d""#));
            assert!(!server.driver.written.borrow().contains(&false));
        }
    });
}

#[test]
fn what_is_sent_with_a_connect_ends_its_hold_soon() {
    run(async {
        let server = start(&patient());
        let mut wire = Wire::open(server.address).await;
        let client = session(&mut wire, "/a").await;
        let sent = Instant::now();
        wire.say([&post("1.1", "", &connect(&client)), UPGRADE].concat()).await;
        wire.say(frame(0x81, HANDSHAKE.as_bytes())).await;
        assert!(wire.reply().await.body.starts_with(r#"[{"channel":"/meta/connect""#));
        assert_eq!(wire.reply().await.status, 101);
        assert_eq!(client_id(&wire.next_text().await).len(), 35);
        assert!(sent.elapsed() < Duration::from_millis(1500));
        assert!(!server.driver.written.borrow().contains(&false));
    });
}

#[test]
fn whoever_sends_too_far_ahead_is_cut_off() {
    run(async {
        let mut settings = patient();
        settings.limits.pipelined = 3;
        let server = start(&settings);
        let mut wire = Wire::open(server.address).await;
        let client = session(&mut wire, "/a").await;
        wire.say(post("1.1", "", &connect(&client))).await;
        tokio::time::sleep(HOLDS[1]).await;
        wire.say(post("1.1", "", "[]").repeat(4)).await;
        assert!(wire.ended().await);
        assert_eq!(server.metrics.refused_pipelined.get(), 1);
        assert_eq!(server.driver.written.borrow().last(), Some(&false));
    });
}

#[test]
fn a_held_connect_is_answered_as_its_request_wants() {
    run(async {
        for hold in HOLDS {
            let server = start(&patient());
            for (version, lines, connection, stays) in [
                ("1.1", "", None, true),
                ("1.1", "connection: close\r\n", Some("close"), false),
                ("1.0", "connection: keep-alive\r\n", Some("keep-alive"), true),
                ("1.0", "", None, false),
            ] {
                let mut wire = Wire::open(server.address).await;
                let client = session(&mut wire, "/a").await;
                let lines = format!("origin: https://app.example.com\r\n{lines}");
                wire.say(post(version, &lines, &connect(&client))).await;
                tokio::time::sleep(hold).await;
                server.driver.records(&[("/a", "1")]);
                let reply = wire.reply().await;
                assert!(reply.body.starts_with(r#"[{"channel":"/a","data":1},"#));
                assert_eq!(reply.header("connection"), connection, "{version} {lines}");
                assert_eq!(reply.header("access-control-allow-origin"), Some("https://app.example.com"));
                assert!(reply.header("date").is_some());
                if stays {
                    assert_eq!(wire.post("[]").await.body, "[]");
                } else {
                    assert!(wire.ended().await, "{version} {lines}");
                }
            }
            assert_eq!(server.metrics.http_2xx.get(), 4 * 4 + 2);
        }
    });
}
