//! What a client takes that only waits, over each way to connect. The figures are in docs/tls.md.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::http2::{Connection, Session};
use crate::rig::{Client as Shake, Secure, connect};
use crate::support::gateway::Gateway;
use crate::support::ws::{TEXT, frame};

const CLIENTS: usize = 1000;
/// Streams on one connection, as a proxy would have them.
const SHARE: usize = 100;
/// hyper is put away after a second, and the allocator gives its buffers back within ten.
const SETTLED: Duration = Duration::from_secs(15);

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

type Wire = Box<dyn Stream>;

/// A way to connect; what it returns keeps its clients waiting.
#[derive(Clone, Copy, Debug)]
enum Way {
    WebSocket { secure: bool },
    Poll { secure: bool },
    Http2 { secure: bool, share: usize },
}

async fn open(secure: &Secure, plain: &Gateway, config: Option<&Arc<ClientConfig>>) -> Wire {
    match config {
        Some(config) => Box::new(connect(secure.addr(), config.clone()).await.unwrap()),
        None => Box::new(tokio::net::TcpStream::connect(plain.addr()).await.unwrap()),
    }
}

/// The next response's body, or the next frame of fewer than 64 KiB.
async fn answer(wire: &mut Wire, websocket: bool) -> Value {
    let body = if websocket {
        let length = match wire.read_u16().await.unwrap() & 0x7f {
            126 => wire.read_u16().await.unwrap(),
            length => length,
        };
        let mut body = vec![0; length.into()];
        wire.read_exact(&mut body).await.unwrap();
        body
    } else {
        let head = head(wire).await;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        wire.read_exact(&mut body).await.unwrap();
        body
    };
    serde_json::from_slice::<Value>(&body).unwrap()[0].clone()
}

async fn head(wire: &mut Wire) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(wire.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn say(wire: &mut Wire, websocket: bool, message: &Value) {
    let body = json!([message]).to_string();
    let bytes = if websocket {
        frame(TEXT, body.as_bytes(), true)
    } else {
        format!("POST /cometd HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n{body}", body.len())
            .into_bytes()
    };
    wire.write_all(&bytes).await.unwrap();
}

/// A session with a subscription and a held connect, all on `wire`.
async fn wait(wire: &mut Wire, websocket: bool) {
    if websocket {
        let upgrade = "GET /cometd HTTP/1.1\r\nhost: h\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
            sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        wire.write_all(upgrade.as_bytes()).await.unwrap();
        assert!(head(wire).await.contains("101"));
    }
    let kind = if websocket { "websocket" } else { "long-polling" };
    let shake = json!({ "channel": "/meta/handshake", "version": "1.0", "supportedConnectionTypes": [kind], "id": "1" });
    say(wire, websocket, &shake).await;
    let id = answer(wire, websocket).await["clientId"].clone();
    let first = json!({ "channel": "/meta/connect", "connectionType": kind, "clientId": id, "id": "2", "advice": { "timeout": 0 } });
    say(wire, websocket, &first).await;
    answer(wire, websocket).await;
    say(
        wire,
        websocket,
        &json!({ "channel": "/meta/subscribe", "subscription": "/chat/a", "clientId": id, "id": "3" }),
    )
    .await;
    assert_eq!(answer(wire, websocket).await["successful"], true);
    say(
        wire,
        websocket,
        &json!({ "channel": "/meta/connect", "connectionType": kind, "clientId": id, "id": "4" }),
    )
    .await;
}

/// Bytes of resident memory for each of a thousand clients.
async fn measure(way: Way) -> u64 {
    let secure = Secure::start("shards: 1\nbayeux: { timeout: 10m }");
    let plain = crate::http2::plain("shards: 1\nbayeux: { timeout: 10m }");
    let (Way::WebSocket { secure: tls } | Way::Poll { secure: tls } | Way::Http2 { secure: tls, .. }) = way;
    let process = if tls { &secure.gateway } else { &plain };
    let alpn: &[&[u8]] = if matches!(way, Way::Http2 { .. }) { &[b"h2"] } else { &[b"http/1.1"] };
    let config = tls.then(|| secure.papers.client(Shake { alpn, ..Shake::default() }));
    // The first ones pay for what all share.
    let mut before = 0;
    let (mut wires, mut connections, mut polls) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..CLIENTS + SHARE {
        if n == SHARE {
            tokio::time::sleep(SETTLED).await;
            before = process.process().resident();
        }
        match way {
            Way::WebSocket { .. } | Way::Poll { .. } => {
                let mut wire = open(&secure, &plain, config.as_ref()).await;
                wait(&mut wire, matches!(way, Way::WebSocket { .. })).await;
                wires.push(wire);
            }
            Way::Http2 { share, .. } => {
                if n % share == 0 {
                    let wire = open(&secure, &plain, config.as_ref()).await;
                    let root = if tls { "https://gateway" } else { "http://gateway" };
                    connections.push(Connection::over(wire, root).await);
                }
                let session = Session::subscribed(connections.last().unwrap(), "/chat/a").await;
                polls.push((session.hold(), session));
            }
        }
    }
    tokio::time::sleep(SETTLED).await;
    assert!(polls.iter().all(|(poll, _)| !poll.is_finished()), "all are held");
    process.process().resident().saturating_sub(before) / CLIENTS as u64
}

/// A thousand clients that wait, each way; what each takes, in bytes, and what it may take.
#[test]
#[ignore = "minutes: make soak"]
fn soak_a_client_that_waits_takes_little() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut over = Vec::new();
    for (way, most) in [
        (Way::WebSocket { secure: false }, 6_000),
        (Way::Poll { secure: false }, 8_000),
        (Way::WebSocket { secure: true }, 20_000),
        (Way::Poll { secure: true }, 20_000),
        (Way::Http2 { secure: false, share: SHARE }, 10_000),
        (Way::Http2 { secure: false, share: 1 }, 60_000),
        (Way::Http2 { secure: true, share: 1 }, 70_000),
    ] {
        let takes = runtime.block_on(measure(way));
        println!("{way:?}: {takes} bytes each");
        if takes > most {
            over.push((way, takes));
        }
    }
    // Without optimisation futures are larger.
    assert!(cfg!(debug_assertions) || over.is_empty(), "{over:?}");
}
