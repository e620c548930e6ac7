//! One HTTP/2 connection: many requests at a time, each a stream of its own. Clients come to it by ALPN, or in plain by prior knowledge.
//!
//! hyper bounds headers, streams and windows. What it does not know is when nobody uses the connection, and when a client leaves a
//! response unread: each stream's [`Ticket`] tells that.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioTimer;
use slab::Slab;
use tokio::time::sleep;

use super::eventsource;
use super::http::{Arrival, Reply, Server};
use super::response::Body;
use crate::net::{Io, WRITE_STALL};

/// What every connection begins with (RFC 9113 §3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Requests and WebSockets at a time. What shares a connection among clients, as proxies do, opens one more.
const STREAMS: u32 = 256;
/// Bytes of bodies that a client may send ahead: of a request, and of all.
const STREAM_WINDOW: u32 = 256 * 1024;
const WINDOW: u32 = 1024 * 1024;
/// Bytes that wait in a stream for its client to take them, beyond the frame that a write begins.
const UNSENT: usize = 64 * 1024;
/// Requests that a client took back before they were looked at, and streams that were reset for its mistakes; a connection with more
/// ends (CVE-2023-44487, CVE-2025-8671).
const TAKEN_BACK: usize = 20;
const MISTAKES: usize = 256;
/// How often a silent client is asked whether it is there, and how long it may take to say so.
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(20);

/// Spawns what hyper wants to run on this thread.
#[derive(Clone, Copy)]
struct Here;

/// Keeps a connection from ending because nobody uses it. May be held on any thread.
#[derive(Clone, Debug)]
pub(super) struct Hold {
    _count: Arc<()>,
}

/// What is open on one connection.
#[derive(Debug)]
struct Streams {
    /// Requests under way; those with a response, when the client last took some of it.
    requests: RefCell<Slab<Option<Instant>>>,
    holds: Arc<()>,
    /// When it was last seen in use.
    used: Cell<Instant>,
}

/// A request under way, until its response is written or given up.
#[derive(Debug)]
pub(super) struct Ticket {
    streams: Rc<Streams>,
    key: usize,
}

/// Why a connection should end.
enum Why {
    /// Nothing is open.
    Idle,
    /// The client does not take a response.
    Stalled,
}

// === impl Server ===

impl Server {
    /// Serves a connection to its end. WebSockets go on in tasks of their own, which end with it.
    pub(super) async fn multiplexed(self: Rc<Self>, io: Io, peer: SocketAddr) {
        self.metrics.http2_connections.inc();
        let mut drain = self.drain.clone();
        let mut builder = http2::Builder::new(Here);
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(u32::try_from(self.settings.header_bytes).unwrap_or(u32::MAX))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_send_buf_size(UNSENT)
            .max_pending_accept_reset_streams(TAKEN_BACK)
            .max_local_error_reset_streams(MISTAKES)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PONG)
            .enable_connect_protocol();
        let streams = Rc::new(Streams::new());
        let arrival = Arrival { address: peer.ip(), secure: io.is_secure(), shared: Some(streams.hold()) };
        let (server, shared) = (self.clone(), streams.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            let (server, ticket) = (server.clone(), Ticket::new(&shared));
            name_host(&mut request);
            // In a box, since it takes much more room than what waits for the answer.
            let receiving = Box::pin(server.clone().receive(request, arrival.clone()));
            async move {
                let mut response = server.answered(receiving).await;
                server.count(response.status());
                response.body_mut().follow(ticket);
                Ok::<_, Infallible>(response)
            }
        });
        let mut connection = pin!(builder.serve_connection(io, service));
        let mut ending = false;
        loop {
            tokio::select! {
                biased;
                result = &mut connection => {
                    if let Err(error) = result {
                        tracing::debug!(peer = %peer.ip(), %error, "connection ended");
                    }
                    return;
                }
                _ = drain.wait_for(|draining| *draining), if !ending => {}
                why = streams.watch(self.settings.header_timeout) => match why {
                    Why::Idle if !ending => {}
                    Why::Idle => return,
                    Why::Stalled => {
                        tracing::info!(peer = %peer.ip(), "connection closed: the client does not read");
                        return;
                    }
                }
            }
            // No new streams; those that are open finish.
            ending = true;
            connection.as_mut().graceful_shutdown();
        }
    }

    /// The response to a request that is being received.
    async fn answered(&self, receiving: impl Future<Output = Reply>) -> Response<Body> {
        let (mut posted, verdict) = match receiving.await {
            Reply::Now(response) => return response,
            Reply::Later(posted, verdict) => (posted, verdict),
            Reply::Stream(_) => return eventsource::not_multiplexed(),
        };
        let answer = posted.wait().await;
        let mut response = posted.response(self, answer);
        verdict.allow(response.headers_mut());
        response
    }
}

/// Puts the authority of the request where HTTP/1.1 has it. Where both are given, the authority counts (RFC 9113 §8.3.1).
fn name_host(request: &mut Request<Incoming>) {
    let host = request.uri().authority().and_then(|host| HeaderValue::try_from(host.as_str()).ok());
    if let Some(host) = host {
        request.headers_mut().insert(header::HOST, host);
    }
}

// === impl Streams ===

impl Streams {
    fn new() -> Self {
        Self { requests: RefCell::default(), holds: Arc::new(()), used: Cell::new(Instant::now()) }
    }

    fn hold(&self) -> Hold {
        Hold { _count: self.holds.clone() }
    }

    /// Waits until nothing was open for `idle`, or a client does not go on to take a response.
    async fn watch(&self, idle: Duration) -> Why {
        loop {
            sleep(idle.min(WRITE_STALL / 4)).await;
            let now = Instant::now();
            let since = |at: Instant| now.saturating_duration_since(at);
            let requests = self.requests.borrow();
            if requests.iter().any(|(_, taken)| taken.is_some_and(|at| since(at) >= WRITE_STALL)) {
                return Why::Stalled;
            }
            // One is held for the requests to come.
            if !requests.is_empty() || Arc::strong_count(&self.holds) > 2 {
                self.used.set(now);
            } else if since(self.used.get()) >= idle {
                return Why::Idle;
            }
        }
    }
}

// === impl Ticket ===

impl Ticket {
    fn new(streams: &Rc<Streams>) -> Self {
        let key = streams.requests.borrow_mut().insert(None);
        Self { streams: streams.clone(), key }
    }

    /// There is a response, or the client took some of it.
    pub(super) fn taken(&self) {
        if let Some(taken) = self.streams.requests.borrow_mut().get_mut(self.key) {
            *taken = Some(Instant::now());
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.streams.requests.borrow_mut().try_remove(self.key);
        self.streams.used.set(Instant::now());
    }
}

// === impl Here ===

impl<F: Future + 'static> hyper::rt::Executor<F> for Here {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}
