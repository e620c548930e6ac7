//! WebSockets on streams of HTTP/2 (RFC 8441), and WebSockets over TLS whose client does not read.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::Full;
use hyper::ext::Protocol;
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio_websockets::{ClientBuilder, Message, WebSocketStream};

use crate::http2::{Connection, plain};
use crate::rig::{Secure, block_on};
use crate::support::bayeux::{Client, Transport};
use crate::support::eventually;
use crate::support::gateway::Gateway;

/// A WebSocket on a stream.
struct Socket(WebSocketStream<TokioIo<Upgraded>>);

/// Asks for a stream with `protocol`.
async fn ask(
    connection: &Connection,
    protocol: &'static str,
    headers: &[(&str, &str)],
) -> Response<hyper::body::Incoming> {
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri("http://gateway/cometd")
        .extension(Protocol::from_static(protocol));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut sender = connection.sender.clone();
    // That the gateway takes such requests is in its settings, which come first.
    let settled = Request::get("http://gateway/").body(Full::<Bytes>::default()).unwrap();
    sender.send_request(settled).await.unwrap();
    sender.send_request(request.body(Full::default()).unwrap()).await.unwrap()
}

// === impl Socket ===

impl Socket {
    async fn open(connection: &Connection) -> Self {
        let headers = [
            ("sec-websocket-version", "13"),
            ("sec-websocket-protocol", "cometd, other"),
            ("origin", connection.root),
        ];
        let response = ask(connection, "websocket", &headers).await;
        assert_eq!(response.status(), 200, "{response:?}");
        assert_eq!(response.headers()["sec-websocket-protocol"], "cometd");
        let upgraded = hyper::upgrade::on(response).await.unwrap();
        Self(ClientBuilder::new().take_over(TokioIo::new(upgraded)))
    }

    async fn say(&mut self, message: &Value) {
        self.0.send(Message::text(json!([message]).to_string())).await.unwrap();
    }

    async fn next(&mut self) -> Value {
        let next =
            tokio::time::timeout(Duration::from_secs(20), self.0.next()).await.expect("something comes");
        let message = next.expect("the socket is open").unwrap();
        if let Some((code, _)) = message.as_close() {
            return json!({ "closed": u16::from(code) });
        }
        serde_json::from_slice::<Value>(message.as_payload()).unwrap()[0].clone()
    }

    async fn request(&mut self, message: &Value) -> Value {
        self.say(message).await;
        loop {
            let reply = self.next().await;
            if reply.get("successful").is_some() {
                return reply;
            }
        }
    }

    /// Publishes what the session hears itself, and awaits reply and event, which come in any order.
    async fn echo(&mut self, id: &str, data: &Value) {
        self.say(&publish(id, "/chat/a", data)).await;
        let mut came = [self.next().await, self.next().await];
        came.sort_by_key(|message| message.get("data").is_none());
        assert_eq!(came[0], json!({ "channel": "/chat/a", "data": data }));
        assert_eq!(came[1]["successful"], true);
    }

    /// A session on it, with a subscription.
    async fn session(&mut self, channel: &str) -> String {
        let shake = json!({ "channel": "/meta/handshake", "version": "1.0", "supportedConnectionTypes": ["websocket"], "id": "1" });
        let id = self.request(&shake).await["clientId"].as_str().unwrap().to_owned();
        self.request(&connect(&id, 0)).await;
        let subscribe =
            json!({ "channel": "/meta/subscribe", "clientId": id, "subscription": channel, "id": "3" });
        assert_eq!(self.request(&subscribe).await["successful"], true);
        id
    }
}

/// Waits until so many WebSockets are left.
async fn eventually_gone(gateway: &Gateway, left: f64) {
    let end = Instant::now() + Duration::from_secs(10);
    while gateway.metric("halley_websockets", &[]) > left {
        assert!(Instant::now() < end, "more than {left} WebSockets are left");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn connect(id: &str, timeout: u32) -> Value {
    json!({ "channel": "/meta/connect", "clientId": id, "connectionType": "websocket", "id": "2", "advice": { "timeout": timeout } })
}

fn publish(id: &str, channel: &str, data: &Value) -> Value {
    json!({ "channel": channel, "clientId": id, "data": data, "id": "4" })
}

async fn meet(connection: &Connection) {
    let (mut a, mut b) = (Socket::open(connection).await, Socket::open(connection).await);
    let (first, second) = (a.session("/chat/a").await, b.session("/chat/b").await);
    for size in [10, 100, 70_000, 300_000] {
        let data = json!("é".repeat(size));
        a.say(&publish(&first, "/chat/b", &data)).await;
        assert_eq!(b.next().await, json!({ "channel": "/chat/b", "data": data }));
        assert_eq!(a.next().await["successful"], true);
        b.say(&publish(&second, "/chat/a", &data)).await;
        assert_eq!(a.next().await, json!({ "channel": "/chat/a", "data": data }));
        assert_eq!(b.next().await["successful"], true);
    }
    // The close handshake, on a stream as on a connection.
    a.0.close().await.unwrap();
    assert!(a.0.next().await.is_none_or(|last| last.unwrap().is_close()));
    assert_eq!(b.request(&connect(&second, 0)).await["successful"], true);
}

/// RFC 8441: two WebSockets on one cleartext connection.
#[test]
fn websockets_share_a_plain_connection() {
    let gateway = plain("shards: 2");
    block_on(async { meet(&Connection::plain(&gateway).await).await });
    eventually(Duration::from_secs(10), "both are gone", || gateway.metric("halley_websockets", &[]) == 0.0);
}

/// RFC 8441 over TLS.
#[test]
fn websockets_share_a_secure_connection() {
    let secure = Secure::start("shards: 2");
    block_on(async { meet(&Connection::secure(&secure).await).await });
}

/// The session may live on another shard than the connection: the stream's end goes there, the connection stays.
#[test]
fn a_stream_goes_to_the_shard_of_its_session() {
    let gateway = plain("shards: 4");
    block_on(async {
        let home = Connection::plain(&gateway).await;
        let mut first = Socket::open(&home).await;
        let id = first.session("/chat/a").await;
        // Connections go to the shards in turn.
        let mut others = Vec::new();
        for _ in 0..4 {
            let away = Connection::plain(&gateway).await;
            let mut socket = Socket::open(&away).await;
            assert_eq!(socket.request(&connect(&id, 0)).await["successful"], true);
            for n in 0..50 {
                assert_eq!(socket.request(&publish(&id, "/chat/b", &json!(n))).await["successful"], true);
            }
            others.push((away, socket));
        }
        let (_, socket) = others.last_mut().unwrap();
        socket.echo(&id, &json!("x".repeat(200_000))).await;
    });
    eventually(Duration::from_secs(10), "all are gone", || gateway.metric("halley_websockets", &[]) == 0.0);
}

/// What asks wrongly is told so: another protocol, another version, another origin.
#[test]
fn bad_requests_for_a_stream_are_refused() {
    let gateway = plain("");
    block_on(async {
        let connection = Connection::plain(&gateway).await;
        let version = ("sec-websocket-version", "13");
        for (protocol, headers, status) in [
            ("websocket", &[][..], 426),
            ("websocket", &[("sec-websocket-version", "8")], 426),
            ("websocket", &[version, ("origin", "http://evil.example")], 403),
            ("telnet", &[version], 405),
        ] {
            assert_eq!(ask(&connection, protocol, headers).await.status(), status, "{protocol} {headers:?}");
        }
    });
}

/// A stream that is reset, and a connection that breaks, end their WebSockets; their sessions stay for a while.
#[test]
fn a_lost_stream_ends_its_websocket() {
    let gateway = plain("shards: 2");
    block_on(async {
        let connection = Connection::plain(&gateway).await;
        let mut lost = Socket::open(&connection).await;
        let id = lost.session("/chat/a").await;
        drop(lost);
        let mut next = Socket::open(&connection).await;
        assert_eq!(next.request(&connect(&id, 0)).await["successful"], true);
        next.echo(&id, &json!(1)).await;
        eventually_gone(&gateway, 1.0).await;
        assert_eq!(gateway.metric("halley_sessions", &[]), 1.0);
    });
    eventually(Duration::from_secs(10), "the connection is gone", || {
        gateway.metric("halley_websockets", &[]) == 0.0
    });
}

/// A drain closes WebSockets on streams with 1001, and the process ends in time.
#[test]
fn a_shutdown_closes_websockets_on_streams() {
    let mut gateway = plain("drain: 5s");
    block_on(async {
        let connection = Connection::plain(&gateway).await;
        let mut socket = Socket::open(&connection).await;
        socket.session("/chat/a").await;
        gateway.terminate();
        while socket.next().await != json!({ "closed": 1001 }) {}
    });
    assert!(gateway.wait(Duration::from_secs(10)).success());
}

/// B33: a WebSocket keeps its connection, however long nothing else happens on it.
#[test]
fn an_idle_websocket_keeps_its_connection() {
    let gateway = plain("limits: { header_timeout: 200ms }");
    block_on(async {
        let connection = Connection::plain(&gateway).await;
        let mut socket = Socket::open(&connection).await;
        let id = socket.session("/chat/a").await;
        let reply = socket.request(&connect(&id, 1500)).await;
        assert_eq!(reply["successful"], true);
        assert!(!connection.sender.is_closed());
    });
}

/// Publishes until the client that does not read is ended, while another one of the same kind gets everything.
fn publish_past(gateway: &Gateway, reader: &mut Client) {
    let data = json!("x".repeat(60_000));
    let mut slowest = Duration::ZERO;
    let mut sent = 0;
    while gateway.metric("halley_slow_consumer_disconnects_total", &[]) == 0.0 {
        let asked = Instant::now();
        assert_eq!(reader.publish("/chat/a", &data)["successful"], true);
        assert_eq!(reader.expect_event().1, data);
        slowest = slowest.max(asked.elapsed());
        sent += 1;
        assert!(sent < 1000, "60 MB are queued");
    }
    println!("ended after {sent} events of 60 kB; the slowest for the other client took {slowest:?}");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
}

/// A client that never reads its WebSocket over TLS holds a bounded amount of memory, is ended, and delays nobody.
#[test]
fn a_client_that_does_not_read_its_tls_is_ended() {
    let secure = Secure::start("shards: 1");
    let (deaf, reading) = (secure.bridge(), secure.bridge());
    let mut stuck = Client::subscribed(deaf.addr(), Transport::WebSocket, "/chat/a");
    let mut reader = Client::subscribed(reading.addr(), Transport::WebSocket, "/chat/a");
    publish_past(&secure.gateway, &mut reader);
    stuck.stream().set_nodelay(true).unwrap();
}

/// The same with a WebSocket on a stream, whose window is full.
#[test]
fn a_client_that_does_not_read_its_stream_is_ended() {
    let gateway = plain("shards: 1");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (connection, mut stuck) = runtime.block_on(async {
        let connection = Connection::plain(&gateway).await;
        let mut stuck = Socket::open(&connection).await;
        stuck.session("/chat/a").await;
        (connection, stuck)
    });
    let mut reader = Client::subscribed(gateway.addr(), Transport::WebSocket, "/chat/a");
    publish_past(&gateway, &mut reader);
    // The connection is as good as ever.
    runtime.block_on(async {
        let mut other = Socket::open(&connection).await;
        other.session("/chat/b").await;
        drop(stuck.0.close().await);
    });
}
