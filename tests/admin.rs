//! The admin address over a real socket.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use halley::admin::{self, State};
use halley::telemetry::Metrics;

/// A server on a thread of its own, which ends with the test's process.
fn start(needs_kafka: bool) -> (SocketAddr, Arc<State>, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new());
    let state = Arc::new(State::new(Arc::clone(&metrics), needs_kafka));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let served = Arc::clone(&state);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        listener.set_nonblocking(true).unwrap();
        runtime.block_on(async {
            admin::serve(tokio::net::TcpListener::from_std(listener).unwrap(), served).await;
        });
    });
    (address, state, metrics)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Status, head and body.
fn request(address: SocketAddr, method: &str, path: &str) -> (u16, String, String) {
    let mut stream = connect(address);
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), head.to_lowercase(), body.to_owned())
}

#[test]
fn the_process_is_alive_from_the_start() {
    let (address, ..) = start(false);
    let (status, _, body) = request(address, "GET", "/healthz?x=1");
    assert_eq!((status, body.as_str()), (200, "ok\n"));
    let (status, head, body) = request(address, "HEAD", "/healthz");
    assert_eq!((status, body.as_str()), (200, ""));
    assert!(head.contains("content-length: 3"), "{head}");
}

#[test]
fn ready_once_routes_are_loaded_and_it_listens_until_it_drains() {
    let (address, state, metrics) = start(false);
    let ready = || {
        let (status, head, body) = request(address, "GET", "/readyz");
        assert!(head.contains("content-type: application/json"), "{head}");
        (status, body)
    };
    let body = |ready, routes, listening, draining, kafka| {
        format!(
            r#"{{"ready":{ready},"routes":{routes},"listening":{listening},"draining":{draining},"kafka":{kafka}}}"#
        )
    };
    assert_eq!(ready(), (503, body(false, false, false, false, false)));
    state.set_routes_loaded();
    assert_eq!(ready(), (503, body(false, true, false, false, false)));
    state.set_listening();
    assert_eq!(ready(), (200, body(true, true, true, false, false)));
    state.set_kafka(true);
    assert_eq!(ready(), (200, body(true, true, true, false, true)));
    assert_eq!(metrics.node.kafka_up.get(), 1);
    state.set_kafka(false);
    assert_eq!(ready().0, 200);
    assert_eq!(metrics.node.kafka_up.get(), 0);
    state.set_draining();
    assert_eq!(ready(), (503, body(false, true, true, true, false)));
}

#[test]
fn kafka_counts_if_it_is_to() {
    let (address, state, _) = start(true);
    state.set_routes_loaded();
    state.set_listening();
    assert_eq!(request(address, "GET", "/readyz").0, 503);
    state.set_kafka(true);
    assert_eq!(request(address, "GET", "/readyz").0, 200);
}

#[test]
fn metrics_are_served() {
    let (address, _, metrics) = start(false);
    metrics.shard().sessions.set(42);
    let (status, head, body) = request(address, "GET", "/metrics");
    assert_eq!(status, 200);
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(body.contains("\nhalley_sessions 42\n") && body.ends_with("# EOF\n"), "{body}");
}

#[test]
fn other_paths_and_methods_are_refused() {
    let (address, ..) = start(false);
    assert_eq!(request(address, "GET", "/").0, 404);
    assert_eq!(request(address, "GET", "/healthz/x").0, 404);
    let (status, head, _) = request(address, "POST", "/metrics");
    assert_eq!(status, 405);
    assert!(head.contains("allow: get, head"), "{head}");
}

#[test]
fn silent_connections_keep_nobody_out() {
    let (address, ..) = start(false);
    let silent: Vec<_> = (0..200).map(|_| connect(address)).collect();
    let begun = Instant::now();
    assert_eq!(request(address, "GET", "/healthz").0, 200);
    assert!(begun.elapsed() < Duration::from_secs(5));
    drop(silent);
}

#[test]
fn a_silent_connection_is_closed() {
    let (address, ..) = start(false);
    let mut silent = connect(address);
    assert_eq!(silent.read_to_end(&mut Vec::new()).unwrap(), 0);
}

#[test]
fn what_is_not_http_is_refused_and_disturbs_nobody() {
    let (address, ..) = start(false);
    let endless = vec![b'a'; 20_000];
    for bytes in [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", &b"GET /\r\n\r\n"[..], &endless] {
        let mut stream = connect(address);
        // The server may close before all is written.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{answer:?}");
    }
    assert_eq!(request(address, "GET", "/healthz").0, 200);
}
