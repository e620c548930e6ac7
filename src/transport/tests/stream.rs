//! Event streams.

use std::time::Duration;

use super::client::{HANDSHAKE, Reply, Wire, client_id, connect, subscribe};
use super::driver::{Running, run, start};
use crate::config::Settings;

fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.bayeux.timeout = Duration::from_secs(1);
    settings.origins = vec!["https://app.example.com".to_owned()];
    settings
}

/// A session subscribed to `/a`, and its stream.
async fn streamer(server: &Running) -> (String, Wire, Wire) {
    let mut wire = Wire::open(server.address).await;
    let client = client_id(&wire.post(HANDSHAKE).await.body);
    wire.post(&subscribe(&client, "/a")).await;
    let (reply, stream) = open(server, &client, "").await;
    assert_eq!(reply.status, 200);
    (client, wire, stream)
}

async fn open(server: &Running, client: &str, lines: &str) -> (Reply, Wire) {
    let mut stream = Wire::open(server.address).await;
    let head = format!("GET /cometd/{client} HTTP/1.1\r\nhost: gateway\r\naccept: text/event-stream\r\n");
    stream.say(format!("{head}{lines}\r\n")).await;
    let reply = stream.head().await;
    if reply.status == 200 {
        assert_eq!(stream.block().await, "retry: 3000");
    }
    (reply, stream)
}

#[test]
fn events_come_as_blocks_of_one_line() {
    run(async {
        let server = start(&settings());
        let (client, mut wire, mut stream) = streamer(&server).await;
        assert_eq!(server.driver.stats().streams, 1);
        server.driver.records(&[("/a", "1"), ("/a", "{\n\"x\":\r\n2}"), ("/b", "3")]);
        assert_eq!(stream.block().await, r#"data: [{"channel":"/a","data":1}]"#);
        assert_eq!(stream.block().await, r#"data: [{"channel":"/a","data":{ "x":  2}}]"#);
        // A connect is answered at once and brings none.
        let connect = connect(&client).replace("long-polling", "eventsource");
        server.driver.records(&[("/a", "4")]);
        for _ in 0..2 {
            assert_eq!(
                wire.post(&connect).await.body,
                r#"[{"channel":"/meta/connect","id":"c","successful":true,"advice":{"reconnect":"retry","interval":1000,"timeout":0}}]"#
            );
        }
        assert_eq!(stream.block().await, r#"data: [{"channel":"/a","data":4}]"#);
        assert_eq!(stream.block().await, ":", "a sign of life in silence");
        wire.post(&connect.replace("/meta/connect", "/meta/disconnect")).await;
        drop(stream);
        while server.driver.stats().streams > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(server.metrics.http_2xx.get(), 6);
    });
}

#[test]
fn a_broken_stream_gives_back_what_it_did_not_write() {
    run(async {
        let server = start(&settings());
        let (client, mut wire, stream) = streamer(&server).await;
        drop(stream);
        while server.driver.stats().streams > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        server.driver.records(&[("/a", "1")]);
        let (_, mut second) = open(&server, &client, "").await;
        assert_eq!(second.block().await, r#"data: [{"channel":"/a","data":1}]"#);
        // A newer stream takes over, and so does polling.
        let (_, mut third) = open(&server, &client, "").await;
        assert!(second.ended().await);
        server.driver.records(&[("/a", "2")]);
        assert_eq!(third.block().await, r#"data: [{"channel":"/a","data":2}]"#);
        wire.post(&connect(&client)).await;
        assert!(third.ended().await);
        server.driver.records(&[("/a", "3")]);
        assert!(wire.post(&connect(&client)).await.body.starts_with(r#"[{"channel":"/a","data":3},"#));
    });
}

#[test]
fn a_stream_of_no_session_says_so_and_ends() {
    run(async {
        let server = start(&settings());
        let (reply, mut stream) = open(&server, "unknown", "origin: https://app.example.com\r\n").await;
        assert_eq!(reply.header("content-type"), Some("text/event-stream;charset=utf-8"));
        assert_eq!(reply.header("access-control-allow-origin"), Some("https://app.example.com"));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        assert_eq!(reply.header("connection"), Some("close"));
        assert!(reply.header("date").is_some_and(|date| date.ends_with("GMT")));
        let gone = r#"data: [{"channel":"/meta/connect","successful":false,"error":"402::session_unknown","advice":{"reconnect":"handshake","interval":0}}]"#;
        assert_eq!(stream.block().await, gone);
        assert!(stream.ended().await);
        let (client, _, stream) = streamer(&server).await;
        // Another browser's.
        let (_, mut other) = open(&server, &client, "cookie: BAYEUX_BROWSER=other\r\n").await;
        assert_eq!(other.block().await, gone);
        drop(stream);
        let (reply, _) = open(&server, &client, "origin: https://evil.example\r\n").await;
        assert_eq!(reply.status, 403);
    });
}

#[test]
fn a_stream_goes_on_at_the_shard_of_its_session() {
    run(async {
        let (here, there) = (start(&settings()), start(&settings()));
        let mut wire = Wire::open(there.address).await;
        let client = client_id(&wire.post(HANDSHAKE).await.body);
        wire.post(&subscribe(&client, "/a")).await;
        *here.driver.elsewhere.borrow_mut() = Some(there.server.clone());
        let (_, mut stream) = open(&here, &client, "").await;
        there.driver.records(&[("/a", "1")]);
        assert_eq!(stream.block().await, r#"data: [{"channel":"/a","data":1}]"#);
        assert_eq!((here.driver.stats().streams, there.driver.stats().streams), (0, 1));
    });
}

#[test]
fn a_transport_that_is_off_is_refused() {
    run(async {
        let mut settings = settings();
        settings.bayeux.transports = vec![crate::config::ConnectionType::WebSocket];
        let server = start(&settings);
        let (reply, mut stream) = open(&server, "any", "").await;
        assert_eq!(reply.status, 403);
        drop(stream.reply_body(&reply).await);
        for (head, name) in [
            ("POST /cometd", "long-polling"),
            ("GET /cometd?message=[]", "callback-polling"),
            ("GET /cometd?message=[]&jsonp=f", "callback-polling"),
        ] {
            let reply = stream.request(head, "[]").await;
            assert_eq!(
                (reply.status, reply.body),
                (403, format!("{name} is switched off (bayeux.transports)\n"))
            );
        }
    });
}
