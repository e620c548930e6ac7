//! A small HTTP/1.1 server: few connections, short requests, nothing that waits.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Body;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioTimer;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use super::state::State;
use crate::net::Io;
use crate::telemetry::{self, Every};

/// Connections at a time. One more ends the oldest, so that silent ones never keep a health check out.
const CONNECTIONS: usize = 64;
/// Time for a request's head, between requests, and without progress while an answer is written.
const PATIENCE: Duration = Duration::from_secs(10);
/// Of a request's head. hyper takes no less.
const HEADER_BYTES: usize = 8192;
/// Pause after an accept that failed: the process may be out of sockets.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves `/healthz`, `/readyz` and `/metrics` until it is dropped.
pub async fn serve(listener: TcpListener, state: Arc<State>) {
    static FAILED: Every = Every::new(Duration::from_secs(10));
    let mut open = JoinSet::new();
    let mut oldest_first = VecDeque::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                while open.try_join_next().is_some() {}
                oldest_first.retain(|connection: &AbortHandle| !connection.is_finished());
                if oldest_first.len() >= CONNECTIONS
                    && let Some(oldest) = oldest_first.pop_front()
                {
                    oldest.abort();
                }
                oldest_first.push_back(open.spawn(connection(stream, Arc::clone(&state))));
            }
            Err(error) => {
                if let Some(suppressed) = FAILED.due(Instant::now()) {
                    tracing::warn!(%error, suppressed, "cannot accept connections on the admin address");
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, state: Arc<State>) {
    let service = service_fn(|request| std::future::ready(Ok::<_, Infallible>(answer(&request, &state))));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(Io::new(stream, PATIENCE), service);
    // A connection that breaks is the peer's affair.
    let _ = connection.await;
}

fn answer<B: Body>(request: &Request<B>, state: &State) -> Response<Full<Bytes>> {
    const TEXT: &str = "text/plain; charset=utf-8";
    let path = request.uri().path();
    if !matches!(path, "/healthz" | "/readyz" | "/metrics") {
        return response(StatusCode::NOT_FOUND, TEXT, "not found\n".into());
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "method not allowed\n".into());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match path {
        "/metrics" => response(StatusCode::OK, telemetry::CONTENT_TYPE, state.metrics().text()),
        "/readyz" => {
            let (ready, why) = state.readiness();
            let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            response(status, "application/json", why)
        }
        _ => response(StatusCode::OK, TEXT, "ok\n".into()),
    }
}

fn response(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
