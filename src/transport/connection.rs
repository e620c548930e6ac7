//! One connection. HTTP/1.1 is hyper's while there is something to read or to write, and next to nothing while an answer is awaited
//! for long.
//!
//! hyper keeps a buffer to read and one to write, and both are large beside a session. Most connections of long-polling clients wait
//! nearly all of their time, so hyper is put away then. When the answer is there, it starts anew with a request that stands for
//! the one that was read.

use std::cell::Cell;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::future::{pending, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use hyper::header::{self, HeaderMap};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, StatusCode, Version};
use hyper_util::rt::TokioTimer;
use memchr::memmem;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::eventsource::{self, Opening};
use super::http::{Arrival, Reply, Server};
use super::http2;
use super::origin::Verdict;
use super::poll::Posted;
use super::response::Body;
use crate::net::{Detached, Heard, Io, WRITE_STALL};

/// Answers that come within this time are waited for by hyper: to put it away and fetch it again costs ten microseconds.
const SOON: Duration = Duration::from_secs(1);

/// A request for which hyper is put away.
enum Held {
    /// The answer is awaited for long.
    Poll {
        posted: Posted,
        verdict: Verdict,
        /// What hyper must read to answer as the request wants to be answered.
        stand_in: Box<str>,
    },
    /// The answer has no end.
    Stream(Box<Opening>),
}

// === impl Server ===

impl Server {
    /// Serves a connection, accepted on whatever thread, to its end. A WebSocket goes on in a task of its own.
    pub async fn serve(self: Rc<Self>, stream: Detached, peer: SocketAddr) {
        let stream = match stream.attach() {
            Ok(stream) => stream,
            Err(error) => return tracing::warn!(%error, "cannot serve a connection"),
        };
        let mut io = Io::new(stream, WRITE_STALL);
        // In boxes, so that the others need not be as large.
        match Box::pin(self.is_multiplexed(&mut io)).await {
            Some(true) => return Box::pin(self.multiplexed(io, peer)).await,
            Some(false) => {}
            None => return,
        }
        let mut answer = None;
        loop {
            // In a box, which is gone while the answer is awaited.
            let active = Box::pin(self.clone().active(io, peer, answer));
            let Some((rest, held)) = active.await else { return };
            io = rest;
            let (mut posted, verdict, stand_in) = match held {
                Held::Poll { posted, verdict, stand_in } => (posted, verdict, stand_in),
                Held::Stream(opening) => return eventsource::open(self, io, *opening),
            };
            let Some(found) = self.wait(&mut posted, &mut io).await else { return };
            let mut response = posted.response(&self, found);
            verdict.allow(response.headers_mut());
            io.unread(stand_in.as_bytes());
            answer = Some(Box::new(response));
        }
    }

    /// Whether a connection is HTTP/2, by what comes first; `None` if it is to end before that is known.
    async fn is_multiplexed(&self, io: &mut Io) -> Option<bool> {
        let mut drain = self.drain.clone();
        let known = tokio::select! {
            biased;
            known = timeout(self.settings.header_timeout, io.begins_with(http2::PREFACE)) => known,
            _ = drain.wait_for(|draining| *draining) => return None,
        };
        if known.is_err() {
            // Who says nothing may leave again.
            self.metrics.refused_timeout.add(u64::from(io.has_ahead()));
        }
        known.ok()?
    }

    /// Waits for the hub's answer. Requests that arrive meanwhile must not stand behind a held connect (R5): it is answered at once, and
    /// they are read when their turn comes. `None` if the peer is gone, or sent too many of them.
    async fn wait(&self, posted: &mut Posted, io: &mut Io) -> Option<Option<crate::hub::Response>> {
        let mut known = 0;
        loop {
            tokio::select! {
                found = posted.wait() => return Some(found),
                heard = io.heard(known) => match heard {
                    Heard::Closed => return None,
                    Heard::More if heads(io.ahead()) > self.settings.pipelined => {
                        self.metrics.refused_pipelined.inc();
                        tracing::debug!("connection closed: too many requests ahead (limits.pipelined)");
                        return None;
                    }
                    Heard::More => {
                        if known == 0 {
                            posted.hurry(self);
                        }
                        known = io.ahead().len();
                    }
                },
            }
        }
    }

    /// Lets hyper serve a connection until it ends, or until the answer to a request has to be awaited for long. `answer` is for the first
    /// request.
    async fn active(
        self: Rc<Self>,
        io: Io,
        peer: SocketAddr,
        answer: Option<Box<Response<Body>>>,
    ) -> Option<(Io, Held)> {
        let mut drain = self.drain.clone();
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .keep_alive(!*drain.borrow())
            .header_read_timeout(self.settings.header_timeout)
            .max_header_size(self.settings.header_bytes)
            // hyper takes no less.
            .max_buf_size(self.settings.header_bytes.max(8192));
        let arrival = Arrival { address: peer.ip(), secure: io.is_secure(), shared: None };
        let reads = io.reads();
        let answer = Cell::new(answer);
        let held = Rc::new(Cell::new(None));
        let hold = held.clone();
        let server = self.clone();
        let service = service_fn(move |request| {
            let (server, hold, reads) = (server.clone(), hold.clone(), reads.clone());
            // In a box, since it takes much more room than what waits for the answer.
            let task = answer.take().ok_or_else(|| {
                let stand_in = stand_in(request.version(), request.headers());
                (stand_in, Box::pin(server.clone().receive(request, arrival.clone())))
            });
            async move {
                let response = match task {
                    Ok(answer) => *answer,
                    Err((stand_in, receiving)) => server.respond(receiving, stand_in, &hold, &reads).await,
                };
                server.count(response.status());
                Ok::<_, Infallible>(response)
            }
        });
        let mut connection = builder.serve_connection(io, service).with_upgrades();
        let result = tokio::select! {
            // So that a connection that has an answer to write does not look like one on which nothing came.
            biased;
            result = until_held(&mut connection, &held) => result,
            _ = drain.wait_for(|draining| *draining) => {
                Pin::new(&mut connection).graceful_shutdown();
                until_held(&mut connection, &held).await
            }
        };
        match result {
            Ok(held) => {
                let parts = connection.into_parts()?;
                let mut io = parts.io;
                // What waits to be written is lost with hyper: a peer that sends on without reading.
                if io.is_stalled() {
                    return None;
                }
                io.unread(&parts.read_buf);
                return Some((io, held));
            }
            Err(Ok(())) => {}
            Err(Err(error)) => {
                let half = || connection.into_parts().is_some_and(|parts| !parts.read_buf.is_empty());
                if error.is_parse_too_large() {
                    self.metrics.refused_too_large.inc();
                } else if error.is_timeout() {
                    // Between two requests a connection may end.
                    self.metrics.refused_timeout.add(u64::from(half()));
                } else if error.is_parse() {
                    self.metrics.refused_malformed.inc();
                }
                tracing::debug!(peer = %peer.ip(), %error, "connection ended");
            }
        }
        None
    }

    /// The response to a request that is being received. If it has to be awaited for long, this leaves the request in `hold` and never
    /// ends.
    async fn respond(
        &self,
        receiving: impl Future<Output = Reply>,
        stand_in: Box<str>,
        hold: &Cell<Option<Held>>,
        reads: &Notify,
    ) -> Response<Body> {
        let (mut posted, verdict) = match receiving.await {
            Reply::Now(response) => return response,
            Reply::Later(posted, verdict) => (posted, verdict),
            Reply::Stream(opening) => {
                hold.set(Some(Held::Stream(opening)));
                return pending().await;
            }
        };
        let answer = tokio::select! {
            biased;
            answer = posted.wait() => Some(answer),
            // What was read is another request, or the beginning of one.
            () = reads.notified() => None,
            () = sleep(SOON) => None,
        };
        let Some(answer) = answer else {
            hold.set(Some(Held::Poll { posted, verdict, stand_in }));
            return pending().await;
        };
        let mut response = posted.response(self, answer);
        verdict.allow(response.headers_mut());
        response
    }

    /// Counts a response.
    pub(super) fn count(&self, status: StatusCode) {
        let cell = match status.as_u16() {
            100..200 => &self.metrics.http_1xx,
            200..300 => &self.metrics.http_2xx,
            300..400 => &self.metrics.http_3xx,
            400..500 => &self.metrics.http_4xx,
            _ => &self.metrics.http_5xx,
        };
        cell.inc();
    }
}

/// Waits for the end of a connection, or for a request whose answer is to be awaited.
async fn until_held(
    mut connection: impl Future<Output = hyper::Result<()>> + Unpin,
    held: &Cell<Option<Held>>,
) -> Result<Held, hyper::Result<()>> {
    poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
        Poll::Ready(result) => Poll::Ready(Err(result)),
        Poll::Pending => held.take().map_or(Poll::Pending, |held| Poll::Ready(Ok(held))),
    })
    .await
}

/// A request that is to be answered like another one: what decides is its version and `Connection`.
fn stand_in(version: Version, headers: &HeaderMap) -> Box<str> {
    let mut request = format!("POST / {version:?}\r\n");
    for value in headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok()) {
        let _ = write!(request, "connection: {value}\r\n");
    }
    request += "\r\n";
    request.into()
}

/// How many heads of requests have ended in what was sent ahead; JSON and forms hold no empty line.
fn heads(ahead: &[u8]) -> usize {
    memmem::find_iter(ahead, b"\r\n\r\n").count()
}
