//! A WebSocket's task: reads, decodes, passes on; writes only when the shard's loop could not.

use std::cell::RefCell;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Sleep, sleep};

use super::decoder::Decoder;
use super::frame::{self, Message, Violation};
use crate::bayeux;
use crate::hub::Outbox;
use crate::net::WRITE_STALL;
use crate::stream::text_frame;
use crate::transport::http::Server;
use crate::transport::hub::{self, Peer};
use crate::transport::link::{Close, Link};
use crate::transport::open::{Open, Run, Task};
use crate::transport::wire::{Moving, Wire};

/// Bytes of one read. Every connection of a thread uses the same buffer.
const READ: usize = 32 * 1024;
/// Reads of one connection before others have their turn.
const READS: usize = 4;
/// Bytes of replies that may wait for a client before its requests are left unread.
const REPLIES: usize = 256 * 1024;
/// How long a closing handshake may take, and before it what is still to be written.
const CLOSING: Duration = Duration::from_secs(5);

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
}

/// A socket on its way to another shard, with what was read from it.
#[derive(Debug)]
pub struct Handover {
    wire: Moving,
    peer: Peer,
    decoder: Decoder,
    messages: Vec<bayeux::Message>,
    rest: Bytes,
}

/// An open WebSocket.
struct Connection {
    open: Open,
    link: Rc<Link>,
    peer: Peer,
    decoder: Decoder,
    /// Whether no message has come yet: only then the socket may move to another shard.
    fresh: bool,
    phase: Phase,
    /// What the phase waits for; while open, for the peer to read.
    timer: Option<Pin<Box<Sleep>>>,
    /// [`Link::written`] when the timer was set.
    mark: u64,
    /// When the message that has begun must be there.
    due: Option<Pin<Box<Sleep>>>,
}

enum Phase {
    Open,
    /// The client may close first; then this close follows.
    Leaving(Close),
    /// Nothing is read any more; when all is written the close follows.
    Draining {
        code: u16,
        reason: Box<str>,
    },
}

/// How a connection's task ends.
enum Exit {
    /// The peer is gone, or as good as.
    Gone,
    /// With a close frame, and before it what is missing of another one.
    Close(Bytes),
    /// To another shard.
    Move { shard: u16, messages: Vec<bayeux::Message>, rest: Bytes },
}

/// Starts a WebSocket of which `input` is read already.
pub(super) fn start(server: Rc<Server>, wire: Wire, peer: Peer, decoder: Decoder, input: &[u8]) {
    let mut connection = Connection::new(server, wire, peer, decoder);
    let exit = connection.process(input);
    connection.spawn(exit);
}

/// Continues a socket that another shard handed over.
pub fn adopt(server: Rc<Server>, socket: Handover) {
    let wire = match socket.wire.attach() {
        Ok(wire) => wire,
        Err(error) => return tracing::warn!(%error, "cannot take over a socket"),
    };
    let mut connection = Connection::new(server, wire, socket.peer, socket.decoder);
    // Once is enough: whatever the messages say, they are answered here.
    connection.fresh = false;
    connection.receive(socket.messages);
    let exit = connection.process(&socket.rest);
    connection.spawn(exit);
}

// === impl Connection ===

impl Connection {
    fn new(server: Rc<Server>, wire: Wire, peer: Peer, decoder: Decoder) -> Self {
        let link = Rc::new(Link::new(wire));
        let key = server.hub.open(link.clone(), decoder.inflates());
        let open = Open { server, key };
        Self { open, link, peer, decoder, fresh: true, phase: Phase::Open, timer: None, mark: 0, due: None }
    }

    fn spawn(self, exit: Option<Exit>) {
        match exit {
            Some(exit) => self.finish(exit),
            None => drop(tokio::task::spawn_local(Task::new(self))),
        }
    }

    /// Reads as long as there is something, in turns.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Exit> {
        for _ in 0..READS {
            // What waits does so because the link is blocked.
            let over = self.link.is_blocked() && self.open.outbox(Outbox::reply_bytes) > REPLIES;
            self.link.watch(over);
            if over {
                // What has not come may lie there unread.
                self.due = None;
                return Poll::Pending;
            }
            let read = BUFFER.with_borrow_mut(|buffer| {
                let read = ready!(self.link.wire().poll_read(cx, buffer));
                Poll::Ready(match read {
                    Ok(count) if count > 0 => self.process(buffer.get(..count).unwrap_or_default()),
                    Ok(_) | Err(_) => Some(Exit::Gone),
                })
            });
            if let Some(exit) = ready!(read) {
                return Poll::Ready(exit);
            }
            if matches!(self.phase, Phase::Draining { .. }) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Waits for what the phase waits for.
    fn poll_phase(&mut self, cx: &mut Context<'_>) -> Poll<Exit> {
        loop {
            match &self.phase {
                Phase::Open if !self.link.is_blocked() => {
                    self.timer = None;
                    return Poll::Pending;
                }
                Phase::Draining { code, reason } if self.open.outbox(Outbox::is_empty) => {
                    return Poll::Ready(Exit::Close(frame::close(Some(*code), reason)));
                }
                Phase::Open | Phase::Leaving(_) | Phase::Draining { .. } => {}
            }
            let timer = match &mut self.timer {
                Some(timer) => timer,
                none => {
                    self.mark = self.link.written();
                    none.insert(Box::pin(sleep(WRITE_STALL)))
                }
            };
            ready!(timer.as_mut().poll(cx));
            self.timer = None;
            match self.phase {
                Phase::Open if self.link.written() == self.mark => {
                    tracing::info!(peer = %self.peer.address, "WebSocket closed: the client does not read");
                    return Poll::Ready(Exit::Gone);
                }
                Phase::Open => {}
                Phase::Leaving(close) => self.drain(close.code, close.reason),
                Phase::Draining { .. } => return Poll::Ready(Exit::Gone),
            }
        }
    }

    /// Takes what was read.
    fn process(&mut self, mut input: &[u8]) -> Option<Exit> {
        loop {
            let decoded = self.decoder.decode(&mut input);
            if let Ok(Some(message @ (Message::Text(_) | Message::Binary(_)))) = &decoded {
                self.due = None;
                if self.open.server.hub.intercept(self.open.key, message) {
                    continue;
                }
            }
            match decoded {
                Ok(None) if self.decoder.is_within() => {
                    let patience = self.open.server.settings.body.time;
                    self.due.get_or_insert_with(|| Box::pin(sleep(patience)));
                    return None;
                }
                Ok(None) => {
                    self.due = None;
                    return None;
                }
                Ok(Some(Message::Text(text))) => {
                    match bayeux::parse(&text, &self.open.server.settings.messages) {
                        Ok(messages) => match self.elsewhere(&messages) {
                            Some(shard) => {
                                return Some(Exit::Move {
                                    shard,
                                    messages,
                                    rest: Bytes::copy_from_slice(input),
                                });
                            }
                            None => self.receive(messages),
                        },
                        Err(error) => self.refuse(&error),
                    }
                }
                Ok(Some(Message::Ping(payload))) => self.open.send(&self.link, frame::pong(&payload)),
                Ok(Some(Message::Pong | Message::Binary(_))) => {}
                Ok(Some(Message::Close(code))) => {
                    // What else waits would reach a page that does not listen any more: it stays with the session.
                    let rest = self.open.outbox(Outbox::rest);
                    return Some(Exit::Close([rest, frame::close(code, "")].concat().into()));
                }
                Err(violation) => {
                    self.violation(violation);
                    return None;
                }
            }
        }
    }

    /// The shard where the first messages belong, if it is another one.
    fn elsewhere(&mut self, messages: &[bayeux::Message]) -> Option<u16> {
        if !self.fresh || messages.is_empty() {
            return None;
        }
        self.fresh = false;
        let shard = self.open.server.hub.home(messages)?;
        self.open.outbox(Outbox::is_empty).then_some(shard)
    }

    fn receive(&self, messages: Vec<bayeux::Message>) {
        self.open.server.hub.receive(self.open.key, &self.peer, messages);
    }

    /// Answers a text that holds no messages. The framing is sound, so the connection goes on.
    fn refuse(&self, error: &bayeux::ParseError) {
        self.open.server.metrics.refused_malformed.inc();
        tracing::debug!(peer = %self.peer.address, %error, "WebSocket message refused");
        let error = serde_json::Value::from(format!("400::{error}"));
        self.open
            .send(&self.link, text_frame(format!(r#"[{{"successful":false,"error":{error}}}]"#).as_bytes()));
    }

    fn violation(&mut self, violation: Violation) {
        let metrics = &self.open.server.metrics;
        match violation {
            Violation::TooBig(_) => metrics.refused_too_large.inc(),
            Violation::Protocol(_) | Violation::NotUtf8 | Violation::NotDeflate => {
                metrics.refused_malformed.inc();
            }
        }
        tracing::debug!(peer = %self.peer.address, %violation, "WebSocket closed");
        self.drain(violation.code(), &violation.to_string());
    }

    fn drain(&mut self, code: u16, reason: &str) {
        self.phase = Phase::Draining { code, reason: reason.into() };
        self.due = None;
        self.timer = Some(Box::pin(sleep(CLOSING)));
        self.link.watch(true);
    }
}

impl Run for Connection {
    type Exit = Exit;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Exit> {
        self.link.set_task(cx.waker());
        if let Some(close) = self.link.take_close()
            && !matches!(self.phase, Phase::Draining { .. })
        {
            self.timer = Some(Box::pin(sleep(close.grace)));
            self.phase = Phase::Leaving(close);
        }
        if self.link.is_blocked() {
            match self.link.wire().poll_write_ready(cx) {
                Poll::Ready(Ok(())) => self.open.flush(&self.link),
                Poll::Ready(Err(_)) => return Poll::Ready(Exit::Gone),
                Poll::Pending => {}
            }
        }
        if self.link.is_broken() {
            return Poll::Ready(Exit::Gone);
        }
        if !matches!(self.phase, Phase::Draining { .. })
            && let Poll::Ready(exit) = self.poll_read(cx)
        {
            return Poll::Ready(exit);
        }
        if self.due.as_mut().is_some_and(|due| due.as_mut().poll(cx).is_ready()) {
            self.open.server.metrics.refused_timeout.inc();
            tracing::debug!(peer = %self.peer.address, "WebSocket closed: half a message");
            self.drain(1008, "the message did not come in time (limits.body_timeout)");
        }
        self.poll_phase(cx)
    }

    fn finish(self, exit: Exit) {
        let Self { open, link, peer, decoder, .. } = self;
        let server = open.server.clone();
        // From here on nothing is queued for the socket, and what was queued is the session's again.
        drop(open);
        let Some(link) = Rc::into_inner(link) else { return };
        let wire = link.into_wire();
        match exit {
            Exit::Gone => {}
            Exit::Close(frame) => drop(tokio::task::spawn_local(say_goodbye(wire, frame))),
            Exit::Move { shard, messages, rest } => match wire.detach() {
                Ok(wire) => {
                    let socket = Handover { wire, peer, decoder, messages, rest };
                    server.hub.hand_over(shard, hub::Handover::WebSocket(socket));
                }
                Err(error) => tracing::warn!(%error, "cannot hand a socket over"),
            },
        }
    }
}

/// Sends the last frame and waits a little for the peer to close. What it still sends is read and thrown away: a socket
/// closed with unread input is reset, and the frame lost.
async fn say_goodbye(mut wire: Wire, frame: Bytes) {
    let goodbye = async {
        wire.finish(&frame).await?;
        while poll_fn(|cx| BUFFER.with_borrow_mut(|buffer| wire.poll_read(cx, buffer))).await? > 0 {}
        Ok(())
    };
    // Whether it works or not, the connection ends.
    let _: Result<std::io::Result<()>, _> = tokio::time::timeout(CLOSING, goodbye).await;
}
