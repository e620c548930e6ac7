//! Event streams as Faye's clients use them: `GET <mount>/<clientId>` brings the events of the session, everything else goes by POST.
//!
//! hyper reads the request; then it is put away, and the response is written like a WebSocket: straight from the shard's loop, shared
//! blocks in vectored writes. The body ends with the connection, so there is nothing to count.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::future::Future as _;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hyper::header::{self, HeaderMap};
use hyper::{Request, Response, StatusCode};
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::http::Server;
use super::hub::{self, Peer};
use super::link::Link;
use super::open::{Open, Run, Task};
use super::origin::Verdict;
use super::response::{Body, text};
use super::wire::{Moving, Wire};
use crate::hub::Outbox;
use crate::net::{Io, WRITE_STALL};

/// How long a browser waits before it opens a stream again that broke.
const RETRY: Duration = Duration::from_secs(3);
/// The shortest time between two signs of life on a silent stream.
const SHORTEST_BEAT: Duration = Duration::from_secs(1);
/// How long what is still to be written may take when a stream ends.
const CLOSING: Duration = Duration::from_secs(5);
/// Nothing should come from the client; so many bytes of it are read at a time, and thrown away.
const READ: usize = 4096;

thread_local! {
    static BUFFER: RefCell<[u8; READ]> = const { RefCell::new([0; READ]) };
}

/// A request for a stream that is granted, if there is the session.
#[derive(Debug)]
pub(super) struct Opening {
    client_id: Box<str>,
    peer: Peer,
    /// The head of the response.
    head: Bytes,
}

/// A stream on its way to the shard of its session.
#[derive(Debug)]
pub struct Handover {
    wire: Moving,
    opening: Opening,
}

/// An open stream.
struct Connection {
    open: Open,
    link: Rc<Link>,
    address: IpAddr,
    phase: Phase,
    /// While open, when to look at the stream again: whether it was silent, whether it is stuck. Later, the end of the phase.
    timer: Pin<Box<Sleep>>,
    /// [`Link::written`] at the last look, and for how long it has been so while something waits.
    mark: u64,
    stuck: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// The client may close first.
    Leaving,
    /// When all is written the connection ends.
    Draining,
}

/// How a stream ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Exit {
    /// The peer is gone, or as good as.
    Gone,
    /// All is written.
    Done,
}

/// Whether a request asks for an event stream.
pub(super) fn is_stream(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut types = accepted.flat_map(|value| value.split(',')).filter_map(|it| it.split(';').next());
    types.any(|media_type| media_type.trim().eq_ignore_ascii_case("text/event-stream"))
}

/// Refuses a stream over HTTP/2.
pub(super) fn not_multiplexed() -> Response<Body> {
    text(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "event streams are for HTTP/1.1\n")
}

/// Goes on with a connection whose request was read, on the shard of its session.
pub(super) fn open(server: Rc<Server>, io: Io, opening: Opening) {
    let (stream, _) = io.into_parts();
    let wire = Wire::Connection(stream);
    match server.hub.home_of(&opening.client_id) {
        None => start(server, wire, opening),
        Some(shard) => match wire.detach() {
            Ok(wire) => {
                let handover = hub::Handover::EventStream(Handover { wire, opening });
                server.hub.hand_over(shard, handover);
            }
            Err(error) => tracing::warn!(%error, "cannot hand an event stream over"),
        },
    }
}

/// Continues a stream that another shard handed over.
pub(super) fn adopt(server: Rc<Server>, Handover { wire, opening }: Handover) {
    match wire.attach() {
        Ok(wire) => start(server, wire, opening),
        Err(error) => tracing::warn!(%error, "cannot take over an event stream"),
    }
}

fn start(server: Rc<Server>, wire: Wire, Opening { client_id, peer, head }: Opening) {
    server.metrics.http_2xx.inc();
    let link = Rc::new(Link::new(wire));
    let key = server.hub.open_stream(link.clone());
    let open = Open { server, key };
    let timer = Box::pin(sleep(beat(&open.server)));
    let (phase, stuck) = (Phase::Open, Duration::ZERO);
    let connection = Connection { open, link, address: peer.address, phase, timer, mark: 0, stuck };
    connection.open.send(&connection.link, head);
    connection.open.server.hub.stream(key, &peer, &client_id);
    tokio::task::spawn_local(Task::new(connection));
}

/// How long a stream may be silent: as long as a poll is held, which proxies must bear anyway.
fn beat(server: &Server) -> Duration {
    server.settings.timeout.clamp(SHORTEST_BEAT, WRITE_STALL)
}

// === impl Opening ===

impl Opening {
    /// A granted request.
    pub(super) fn new(client_id: &str, peer: Peer, verdict: &Verdict) -> Self {
        let mut headers = HeaderMap::new();
        verdict.allow(&mut headers);
        let mut head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream;charset=utf-8\r\ncache-control: no-store\r\n\
             x-content-type-options: nosniff\r\nx-accel-buffering: no\r\nconnection: close\r\ndate: {}\r\n",
            httpdate::fmt_http_date(SystemTime::now())
        );
        for (name, value) in headers.iter().filter_map(|(name, value)| Some((name, value.to_str().ok()?))) {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let _ = write!(head, "\r\nretry: {}\n\n", RETRY.as_millis());
        Self { client_id: client_id.into(), peer, head: head.into() }
    }
}

/// The clientId that a request for a stream names: the last part of a path below a mount.
pub(super) fn client_id<B>(request: &Request<B>) -> &str {
    let path = request.uri().path();
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

// === impl Connection ===

impl Connection {
    /// Reads what comes until the peer is gone.
    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let read = BUFFER.with_borrow_mut(|buffer| self.link.wire().poll_read(cx, buffer));
            if ready!(read).unwrap_or(0) == 0 {
                return Poll::Ready(());
            }
        }
    }

    fn enter(&mut self, phase: Phase, limit: Duration) {
        self.phase = phase;
        self.timer.as_mut().reset(Instant::now() + limit);
        self.link.watch(phase == Phase::Draining);
    }

    /// Looks at an open stream: false if its client has taken nothing for too long.
    fn look(&mut self) -> bool {
        let (beat, written) = (beat(&self.open.server), self.link.written());
        let silent = written == self.mark;
        self.mark = written;
        let blocked = self.link.is_blocked();
        self.stuck = if blocked && silent { self.stuck + beat } else { Duration::ZERO };
        if silent && !blocked {
            // A comment, so that nobody on the way takes the connection for dead, and the dead is found out.
            self.open.send(&self.link, Bytes::from_static(b":\n\n"));
        }
        self.timer.as_mut().reset(Instant::now() + beat);
        self.stuck < WRITE_STALL
    }
}

impl Run for Connection {
    type Exit = Exit;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Exit> {
        self.link.set_task(cx.waker());
        if let Some(close) = self.link.take_close()
            && self.phase == Phase::Open
        {
            self.enter(Phase::Leaving, close.grace);
        }
        if self.link.is_blocked() {
            match self.link.wire().poll_write_ready(cx) {
                Poll::Ready(Ok(())) => self.open.flush(&self.link),
                Poll::Ready(Err(_)) => return Poll::Ready(Exit::Gone),
                Poll::Pending => {}
            }
        }
        if self.link.is_broken() || self.poll_gone(cx).is_ready() {
            return Poll::Ready(Exit::Gone);
        }
        loop {
            if self.phase == Phase::Draining && self.open.outbox(Outbox::is_empty) {
                return Poll::Ready(Exit::Done);
            }
            ready!(self.timer.as_mut().poll(cx));
            let phase = self.phase;
            match phase {
                Phase::Open if self.look() => {}
                Phase::Open => {
                    tracing::info!(peer = %self.address, "event stream closed: the client does not read");
                    return Poll::Ready(Exit::Gone);
                }
                Phase::Leaving => self.enter(Phase::Draining, CLOSING),
                Phase::Draining => return Poll::Ready(Exit::Gone),
            }
        }
    }

    fn finish(self, exit: Exit) {
        let Self { open, link, .. } = self;
        // From here on nothing is queued for the stream, and what was queued is the session's again.
        drop(open);
        let Some(link) = Rc::into_inner(link).filter(|_| exit == Exit::Done) else { return };
        let mut wire = link.into_wire();
        tokio::task::spawn_local(async move {
            // Whether it works or not, the connection ends.
            let _: Result<std::io::Result<()>, _> = timeout(CLOSING, wire.finish(b"")).await;
        });
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn a_stream_is_asked_for_by_its_type() {
        for (value, expected) in [
            ("text/event-stream", true),
            ("text/html, Text/Event-Stream;q=0.9", true),
            ("*/*", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(value))]);
            assert_eq!(is_stream(&headers), expected, "{value}");
        }
        assert!(!is_stream(&HeaderMap::new()));
    }
}
