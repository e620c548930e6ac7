//! HTTP/2: by prior knowledge and by ALPN, many requests over one connection, and what happens to those who abuse that.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

use crate::rig::{CA, Client as Shake, Secure, block_on, connect};
use crate::support::bayeux::{Client, Transport};
use crate::support::eventually;
use crate::support::gateway::{Gateway, LOCAL};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub fn plain(settings: &str) -> Gateway {
    Gateway::local(LOCAL, settings)
}

/// A connection, as an HTTP/2 client has it.
#[derive(Clone)]
pub struct Connection {
    pub sender: SendRequest<Full<Bytes>>,
    /// `https://gateway` or `http://gateway`.
    pub root: &'static str,
}

/// A session over a connection, whose requests may be under way together.
pub struct Session {
    connection: Connection,
    id: String,
    cookie: String,
}

// === impl Connection ===

impl Connection {
    pub async fn over<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        stream: S,
        root: &'static str,
    ) -> Self {
        let (sender, connection) =
            http2::Builder::new(TokioExecutor::new()).handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self { sender, root }
    }

    pub async fn plain(gateway: &Gateway) -> Self {
        Self::over(tokio::net::TcpStream::connect(gateway.addr()).await.unwrap(), "http://gateway").await
    }

    pub async fn secure(secure: &Secure) -> Self {
        let config = secure.papers.client(Shake { alpn: &[b"h2", b"http/1.1"], ..Shake::default() });
        let stream = connect(secure.addr(), config).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        Self::over(stream, "https://gateway").await
    }

    /// Starts a POST.
    fn post(&mut self, body: &Value, cookie: &str) -> JoinHandle<hyper::Result<Response<Bytes>>> {
        let request = Request::post(format!("{}/cometd", self.root))
            .header("cookie", cookie)
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body.to_string())))
            .unwrap();
        let sent = self.sender.send_request(request);
        tokio::spawn(async move {
            let (parts, body) = sent.await?.into_parts();
            Ok(Response::from_parts(parts, body.collect().await?.to_bytes()))
        })
    }
}

fn messages(response: &Response<Bytes>) -> Value {
    assert_eq!(response.status(), 200, "{response:?}");
    serde_json::from_slice(response.body()).unwrap()
}

// === impl Session ===

impl Session {
    async fn open(connection: &Connection) -> Self {
        Self::of_browser(connection, "").await
    }

    /// A session of the browser with this cookie; of a new one without.
    async fn of_browser(connection: &Connection, cookie: &str) -> Self {
        let mut connection = connection.clone();
        let handshake = json!([{ "channel": "/meta/handshake", "version": "1.0", "supportedConnectionTypes": ["long-polling"], "id": "1" }]);
        let response = connection.post(&handshake, cookie).await.unwrap().unwrap();
        let given = response.headers().get("set-cookie").map(|given| given.to_str().unwrap());
        let cookie = given.unwrap_or(cookie).split(';').next().unwrap().to_owned();
        let id = messages(&response)[0]["clientId"].as_str().unwrap().to_owned();
        let session = Self { connection, id, cookie };
        session.settled(json!({ "channel": "/meta/connect", "connectionType": "long-polling", "advice": { "timeout": 0 } })).await;
        session
    }

    pub async fn subscribed(connection: &Connection, channel: &str) -> Self {
        let session = Self::open(connection).await;
        session.settled(json!({ "channel": "/meta/subscribe", "subscription": channel })).await;
        session
    }

    /// Starts a request of one message.
    fn ask(&self, mut message: Value) -> JoinHandle<hyper::Result<Response<Bytes>>> {
        message["clientId"] = json!(self.id);
        message["id"] = json!("2");
        self.connection.clone().post(&json!([message]), &self.cookie)
    }

    /// A request that must succeed.
    async fn settled(&self, message: Value) -> Value {
        let replies = messages(&self.ask(message).await.unwrap().unwrap());
        assert_eq!(replies[0]["successful"], true, "{replies}");
        replies
    }

    pub fn hold(&self) -> JoinHandle<hyper::Result<Response<Bytes>>> {
        self.ask(json!({ "channel": "/meta/connect", "connectionType": "long-polling" }))
    }

    async fn publish(&self, channel: &str, data: Value) {
        self.settled(json!({ "channel": channel, "data": data })).await;
    }
}

/// The sessions of `count` clients share one connection; each has its poll held and gets its events.
async fn many_polls(connection: &Connection, count: usize) {
    let mut polls = Vec::new();
    for n in 0..count {
        let session = Session::subscribed(connection, &format!("/chat/{n}")).await;
        polls.push((session.hold(), session));
    }
    let publisher = Session::open(connection).await;
    // The last first: none waits for another.
    for n in (0..count).rev() {
        publisher.publish(&format!("/chat/{n}"), json!({ "text": "é", "n": n })).await;
        let (poll, session) = polls.pop().unwrap();
        let replies = messages(&poll.await.unwrap().unwrap());
        let events: Vec<&Value> =
            replies.as_array().unwrap().iter().filter(|reply| reply.get("data").is_some()).collect();
        assert_eq!(events, [&json!({ "channel": format!("/chat/{n}"), "data": { "text": "é", "n": n } })]);
        session.settled(json!({ "channel": "/meta/disconnect" })).await;
    }
}

/// All of Bayeux over one cleartext connection, by prior knowledge.
#[test]
fn many_polls_are_held_on_one_plain_connection() {
    let gateway = plain("shards: 2");
    block_on(async { many_polls(&Connection::plain(&gateway).await, 40).await });
    assert_eq!(gateway.metric("halley_connections_accepted_total", &[]), 1.0);
    assert_eq!(gateway.metric("halley_http2_connections_total", &[]), 1.0);
}

/// The same over TLS, by ALPN.
#[test]
fn many_polls_are_held_on_one_secure_connection() {
    let secure = Secure::start("shards: 2");
    block_on(async { many_polls(&Connection::secure(&secure).await, 40).await });
    assert_eq!(secure.gateway.metric("halley_http2_connections_total", &[]), 1.0);
}

/// B37: however many pages of a browser there are, each may hold a poll: they share a connection.
#[test]
fn every_page_of_a_browser_holds_a_poll() {
    let gateway = plain("bayeux: { timeout: 2s, clients_per_browser: 1 }");
    block_on(async {
        let connection = Connection::plain(&gateway).await;
        let first = Session::open(&connection).await;
        let second = Session::of_browser(&connection, &first.cookie).await;
        let third = Session::of_browser(&connection, &first.cookie).await;
        let asked = Instant::now();
        for poll in [first.hold(), second.hold(), third.hold()] {
            let replies = messages(&poll.await.unwrap().unwrap());
            assert_eq!(replies[0]["advice"], json!({ "reconnect": "retry", "interval": 0, "timeout": 2000 }));
            assert!(asked.elapsed() > Duration::from_millis(1500), "{:?}", asked.elapsed());
        }
    });
}

/// HTTP/1.1 and HTTP/2 clients meet; a large event goes over a window that is smaller than it.
#[test]
fn clients_of_both_versions_meet() {
    let gateway = plain("shards: 2");
    let mut old = Client::subscribed(gateway.addr(), Transport::LongPolling, "/chat/*");
    let large = json!("x".repeat(300_000));
    block_on(async {
        let session = Session::subscribed(&Connection::plain(&gateway).await, "/chat/*").await;
        session.publish("/chat/a", large.clone()).await;
        let replies = messages(&session.hold().await.unwrap().unwrap());
        assert!(replies.as_array().unwrap().iter().any(|reply| reply["data"] == large));
    });
    assert_eq!(old.expect_event(), ("/chat/a".to_owned(), large));
}

/// A poll that its client takes back is lost, so that its events go to the next one.
#[test]
fn events_of_a_poll_that_is_taken_back_come_with_the_next() {
    let gateway = plain("shards: 2");
    block_on(async {
        let connection = Connection::plain(&gateway).await;
        let publisher = Session::open(&Connection::plain(&gateway).await).await;
        for n in 0..20 {
            let session = Session::subscribed(&connection, "/chat/a").await;
            let held = session.hold();
            publisher.publish("/chat/other", json!(n)).await;
            held.abort();
            assert!(held.await.unwrap_err().is_cancelled());
            // The reset is on its way before this.
            session.settled(json!({ "channel": "/chat/b", "data": 0 })).await;
            publisher.publish("/chat/a", json!(n)).await;
            let replies = messages(&session.hold().await.unwrap().unwrap());
            assert!(replies.as_array().unwrap().iter().any(|reply| reply["data"] == json!(n)), "{replies}");
            session.settled(json!({ "channel": "/meta/disconnect" })).await;
        }
    });
}

/// B33: an idle HTTP/2 connection is not ended while a connect is held on it, however short the idle time; without one it is.
#[test]
fn an_idle_time_shorter_than_a_hold_does_not_end_it() {
    let gateway = plain("bayeux: { timeout: 4s }\nlimits: { header_timeout: 300ms }");
    block_on(async {
        let connection = Connection::plain(&gateway).await;
        let session = Session::subscribed(&connection, "/chat/a").await;
        let asked = Instant::now();
        let replies = messages(&session.hold().await.unwrap().unwrap());
        assert_eq!(replies[0]["successful"], true, "{replies}");
        assert!(asked.elapsed() >= Duration::from_secs(3), "{:?}", asked.elapsed());
        // The same connection still serves.
        session.publish("/chat/b", json!(1)).await;
        let end = Instant::now() + Duration::from_secs(10);
        while !connection.sender.is_closed() {
            assert!(Instant::now() < end, "an unused connection ends");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
}

/// Host and origin are those of `:authority`.
#[test]
fn the_authority_is_the_host() {
    let gateway = plain("");
    block_on(async {
        let mut connection = Connection::plain(&gateway).await;
        for (origin, status) in [("http://gateway", 200), ("http://evil.example", 403)] {
            let request = Request::post("http://gateway/cometd")
                .header("origin", origin)
                .body(Full::new(Bytes::from_static(
                    b"[{\"channel\":\"/meta/connect\",\"clientId\":\"x\",\"id\":\"1\"}]",
                )))
                .unwrap();
            assert_eq!(connection.sender.send_request(request).await.unwrap().status(), status, "{origin}");
        }
    });
}

/// Held polls are answered when the gateway goes down, the connection ends after them, and so does the process.
#[test]
fn a_shutdown_lets_everybody_go() {
    let mut gateway = plain("drain: 5s");
    block_on(async {
        let connection = Connection::plain(&gateway).await;
        let session = Session::subscribed(&connection, "/chat/a").await;
        let held = session.hold();
        session.publish("/chat/b", json!(1)).await;
        gateway.terminate();
        let replies = messages(&held.await.unwrap().unwrap());
        assert_eq!(replies[0]["advice"]["reconnect"], "retry", "{replies}");
        let end = Instant::now() + Duration::from_secs(10);
        while !connection.sender.is_closed() {
            assert!(Instant::now() < end, "the connection ends");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(gateway.wait(Duration::from_secs(10)).success());
}

/// A head that is too large is refused by HTTP/2's own means, a body that is too large as over HTTP/1.1; the connection serves on.
#[test]
fn limits_hold() {
    let gateway = plain("limits: { header_bytes: 8KiB, body: 64KiB, body_timeout: 300ms }");
    block_on(async {
        let mut connection = Connection::plain(&gateway).await;
        let root = connection.root;
        let request = move |header: &str, body: Vec<u8>| {
            Request::post(format!("{root}/cometd"))
                .header("x", header)
                .body(Full::new(Bytes::from(body)))
                .unwrap()
        };
        let large = connection.sender.send_request(request(&"x".repeat(20_000), vec![])).await;
        assert!(large.is_err() || large.unwrap().status() == 431);
        let large = connection.sender.send_request(request("", vec![b' '; 100_000])).await.unwrap();
        assert_eq!(large.status(), StatusCode::PAYLOAD_TOO_LARGE);
        Session::open(&connection).await;
    });
}

/// A body that does not come is answered when `limits.body_timeout` is over; the connection serves on.
#[test]
fn half_a_body_is_answered() {
    let gateway = plain("limits: { body_timeout: 300ms }");
    let mut client = TcpStream::connect(gateway.addr()).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    // :method POST, :scheme http, :path /cometd, :authority x.
    let head = [&[0x83, 0x86, 0x44, 7][..], b"/cometd", &[0x41, 1, b'x']].concat();
    client
        .write_all(&[PREFACE, &frame(4, 0, 0, &[]), &frame(1, 0x4, 1, &head), &frame(0, 0, 1, b"[")].concat())
        .unwrap();
    let answer = |client: &mut TcpStream| loop {
        let mut head = [0; 9];
        client.read_exact(&mut head).unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        client.read_exact(&mut payload).unwrap();
        if head[3] == 1 {
            return u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        }
    };
    assert_eq!(answer(&mut client), 1);
    assert_eq!(gateway.metric("halley_requests_refused_total", &["timeout"]), 1.0);
    assert_eq!(gateway.metric("halley_http_requests_total", &["4xx"]), 1.0);
    client.write_all(&frame(1, 0x5, 3, &[0x82, 0x86, 0x84, 0x41, 1, b'x'])).unwrap();
    assert_eq!(answer(&mut client), 3);
}

/// CVE-2023-44487: a client that opens streams and takes them back at once is ended, and others are not slowed down.
#[test]
fn a_flood_of_resets_ends_its_connection() {
    let gateway = plain("");
    let mut witness = Client::subscribed(gateway.addr(), Transport::WebSocket, "/chat/a");
    let mut attacker = TcpStream::connect(gateway.addr()).unwrap();
    attacker.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    attacker.write_all(PREFACE).unwrap();
    attacker.write_all(&frame(4, 0, 0, &[])).unwrap();
    // :method POST, :scheme http, :path /, :authority x; all from the static table but the last.
    let head = [0x83, 0x86, 0x84, 0x41, 0x01, b'x'];
    let mut flood = Vec::new();
    for stream in (1..20_001_u32).step_by(2) {
        flood.extend(frame(1, 0x4, stream, &head));
        flood.extend(frame(3, 0, stream, &8_u32.to_be_bytes()));
    }
    // The gateway may have had enough before all is written.
    let _ = attacker.write_all(&flood);
    let mut answer = Vec::new();
    let ended = attacker.read_to_end(&mut answer);
    assert!(ended.is_ok() || ended.unwrap_err().kind() == std::io::ErrorKind::ConnectionReset);
    assert_eq!(witness.publish("/chat/a", &json!(1))["successful"], true);
    witness.expect_event();
}

/// A client that opens a response's stream and no window for it is ended, and what waited for it is free again.
#[test]
#[ignore = "half a minute: make soak"]
fn soak_a_response_that_is_not_taken_ends_its_connection() {
    let gateway = plain("");
    let mut witness = Client::subscribed(gateway.addr(), Transport::WebSocket, "/chat/a");
    let mut deaf = TcpStream::connect(gateway.addr()).unwrap();
    deaf.write_all(PREFACE).unwrap();
    // SETTINGS_INITIAL_WINDOW_SIZE 0.
    deaf.write_all(&frame(4, 0, 0, &[0, 4, 0, 0, 0, 0])).unwrap();
    deaf.write_all(&frame(1, 0x5, 1, &[0x82, 0x86, 0x84, 0x41, 0x01, b'x'])).unwrap();
    eventually(Duration::from_secs(10), "its request is answered", || {
        gateway.metric("halley_http_requests_total", &["4xx"]) == 1.0
    });
    eventually(Duration::from_secs(90), "its connection is ended", || {
        gateway.metric("halley_connections", &[]) == 0.0
    });
    assert!(gateway.log().contains("the client does not read"));
    assert_eq!(witness.publish("/chat/a", &json!(1))["successful"], true);
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Half a preface is no HTTP/2 and no HTTP/1.1, and is not waited for longer than a head.
#[test]
fn half_a_preface_ends() {
    let gateway = plain("limits: { header_timeout: 300ms }");
    for half in [&PREFACE[..1], &PREFACE[..20]] {
        let mut client = TcpStream::connect(gateway.addr()).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        client.write_all(half).unwrap();
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    }
    assert_eq!(gateway.metric("halley_requests_refused_total", &["timeout"]), 2.0);
}

/// curl: prior knowledge, ALPN, and HTTP/1.1 over TLS.
#[test]
fn curl_speaks_all_of_them() {
    let secure = Secure::start("");
    let gateway = plain("");
    let ca = secure.papers.path(CA);
    let (plain, tls) = (gateway.url(), format!("https://localhost:{}/cometd", secure.addr().port()));
    for (url, flag, version) in [
        (&plain, "--http1.1", "1.1"),
        (&plain, "--http2-prior-knowledge", "2"),
        (&tls, "--http1.1", "1.1"),
        (&tls, "--http2", "2"),
    ] {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", flag, "--cacert", ca.to_str().unwrap()])
            .args(["--write-out", "\n%{http_version} %{http_code}", "--header", "content-type: application/json"])
            .args(["--data", r#"[{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["long-polling"],"id":"1"}]"#])
            .arg(url)
            .output()
            .expect("curl is installed");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{flag}: {}", String::from_utf8_lossy(&output.stderr));
        let (body, status) = text.rsplit_once('\n').unwrap();
        assert_eq!(status, format!("{version} 200"), "{url}");
        let replies: Value = serde_json::from_str(body).unwrap();
        assert_eq!(replies[0]["successful"], true, "{replies}");
    }
}
