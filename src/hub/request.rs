//! One body or frame: its messages in order, and whose turn it is.
//!
//! What makes a request go on is put on a list and done by [`Shard::run`], never by a call from within another request:
//! requests that end each other's waiting must not nest.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::extension::Closing;
use super::session::Session;
use super::subscribe::Job;
use super::{Answer, Event, Key, Output, Shard, SocketKey, Via};
use crate::bayeux::{self, Body, Error, Message, Reply};

/// Bytes of one session's requests that wait for a subscribe, or behind one.
const BACKLOG: usize = 1024 * 1024;

/// Requests of one socket that may wait beyond its subscribes and publishes.
const WAITING: usize = 256;

/// A request under way.
#[expect(clippy::struct_excessive_bools, reason = "facts that have nothing to do with each other")]
#[derive(Debug)]
pub struct Exchange {
    pub(super) via: Via,
    pub(super) browser: Option<Box<str>>,
    pub(super) peer: IpAddr,
    /// Whether its connection carries other requests meanwhile.
    pub(super) multiplexed: bool,
    /// What is not yet processed, with its slot.
    pub(super) rest: VecDeque<(usize, Message)>,
    pub(super) replies: bayeux::Exchange,
    /// Whether the request is one message: only then a connect is held.
    pub(super) alone: bool,
    /// The subscribes that are being answered.
    pub(super) jobs: Vec<Job>,
    /// The session in whose turn the request is processed.
    pub(super) turn: Option<Key<Session>>,
    /// Whether it subscribes and does nothing else.
    only_subscribes: bool,
    /// Bytes of the messages, about.
    size: usize,
    /// The session whose events the response brings: one that was asked for by a connect.
    pub(super) events_of: Option<Key<Session>>,
    /// The browser cookie to set.
    pub(super) set_browser: Option<Box<str>>,
    pub(super) answers: Vec<Answer>,
    /// Whether the HTTP request was dropped already.
    pub(super) lost: bool,
    /// What few requests have.
    pub(super) more: Option<Box<More>>,
}

/// What extensions add to a request.
#[derive(Debug, Default)]
pub(super) struct More {
    /// The reply that is to close a batch of events.
    pub(super) closing: Option<Closing>,
    /// The batch, and the slot of the reply that closes it.
    pub(super) batch: Option<(usize, Vec<Event>)>,
    /// A message of the gateway's own, to stand before the replies.
    pub(super) notice: Option<Bytes>,
}

impl Shard {
    pub(super) fn request(
        &mut self,
        via: Via,
        browser: Option<Box<str>>,
        peer: IpAddr,
        multiplexed: bool,
        mut messages: Vec<Message>,
    ) {
        if let Via::Socket(socket) = via
            && !self.hears(socket)
        {
            return;
        }
        // Companions of a handshake are ignored (R48).
        let handshake = messages.iter().position(|message| matches!(message.body, Body::Handshake { .. }));
        if let Some(at) = handshake {
            messages = vec![messages.swap_remove(at)];
        }
        self.arrived(&mut messages);
        let alone = messages.len() == 1;
        let passes = handshake.is_some()
            || alone && messages.iter().all(|it| matches!(it.body, Body::Connect { .. } | Body::Disconnect));
        let session =
            messages.iter().find_map(|message| self.client_ids.get(message.client_id.as_ref()?)).copied();
        let mut replies = bayeux::Exchange::default();
        let key = self.exchanges.insert(Exchange {
            via,
            browser,
            peer,
            multiplexed,
            only_subscribes: messages.iter().all(|message| matches!(message.body, Body::Subscribe(_))),
            size: messages.iter().map(Message::size).sum(),
            rest: messages.into_iter().map(|message| (replies.open(), message)).collect(),
            replies,
            alone,
            jobs: Vec::new(),
            turn: None,
            events_of: None,
            set_browser: None,
            answers: Vec::new(),
            lost: false,
            more: None,
        });
        if let Via::Http(http) = via {
            self.https.insert(http, key);
        }
        match session {
            // Requests of a session take their turns; what only asks for events need not wait for a subscribe.
            Some(session) if !passes => self.queue_up(key, session),
            _ => self.runnable.push_back(key),
        }
    }

    /// Whether a socket may ask for more, which counts as asked. Nobody has so much to ask that waits, unless to do harm.
    fn hears(&mut self, key: SocketKey) -> bool {
        let Some(socket) = self.sockets.get_mut(key).filter(|socket| !socket.deaf) else { return false };
        let most = WAITING + self.settings.max_subscriptions + self.settings.publishes_per_session;
        if socket.waiting >= most {
            socket.deaf = true;
            self.stats.refused += 1;
            let (code, reason) = (1008, "too many requests wait");
            self.outputs.push_back(Output::Close { socket: key, code, reason, grace: Duration::ZERO });
            return false;
        }
        socket.waiting += 1;
        true
    }

    /// Gives a request its turn, or a place behind those that came before.
    fn queue_up(&mut self, key: Key<Exchange>, session_key: Key<Session>) {
        let Some(size) = self.exchanges.get(key).map(|exchange| exchange.size) else { return };
        let Some(session) = self.sessions.get_mut(session_key) else { return };
        if session.turns > 0 && session.turn_bytes + size > BACKLOG {
            while let Some((slot, message)) = self.exchanges.get_mut(key).and_then(|it| it.rest.pop_front()) {
                self.refuse(key, slot, &message, &Error::busy(&message.channel));
            }
            self.runnable.push_back(key);
            return;
        }
        session.turn_bytes += size;
        session.backlog.push_back(key);
        if session.backlog.len() == 1 {
            self.start_next(session_key);
        }
    }

    /// Starts the first of the requests that wait for their turn, if it may: nothing is under way, or both only wait for positions.
    fn start_next(&mut self, session_key: Key<Session>) {
        let Some(session) = self.sessions.get_mut(session_key) else { return };
        let Some(next) = session.backlog.front().copied() else { return };
        if session.turns > 0 {
            let latest = session.latest.and_then(|key| self.exchanges.get(key));
            let blocked = latest.is_some_and(|exchange| !exchange.rest.is_empty());
            if blocked || !self.exchanges.get(next).is_some_and(|exchange| exchange.only_subscribes) {
                return;
            }
        }
        session.backlog.pop_front();
        session.turns += 1;
        session.latest = Some(next);
        if let Some(exchange) = self.exchanges.get_mut(next) {
            exchange.turn = Some(session_key);
        }
        self.runnable.push_back(next);
    }

    /// Lets requests go on that can.
    pub(super) fn run(&mut self, now: Instant) {
        while let Some(key) = self.runnable.pop_front() {
            while let Some((slot, message)) = self.exchanges.get_mut(key).and_then(Exchange::next) {
                self.process(key, slot, message, now);
            }
            self.pass_turn(key);
            self.complete_if_ready(key, now);
        }
    }

    /// Ends the request's turn if its messages are all done, and lets another begin that may.
    fn pass_turn(&mut self, key: Key<Exchange>) {
        let Some(exchange) = self.exchanges.get_mut(key) else { return };
        let Some(session_key) = exchange.turn else { return };
        if exchange.rest.is_empty() && exchange.jobs.is_empty() {
            exchange.turn = None;
            if let Some(session) = self.sessions.get_mut(session_key) {
                session.turns -= 1;
                session.turn_bytes -= exchange.size;
            }
        }
        self.start_next(session_key);
    }

    fn process(&mut self, key: Key<Exchange>, slot: usize, message: Message, now: Instant) {
        match &message.body {
            Body::Refused(error) => self.refuse(key, slot, &message, error),
            Body::Handshake { .. } => self.handshake(key, slot, &message, now),
            Body::Connect { .. } => self.connect(key, slot, message, now),
            Body::Subscribe(_) => self.subscribe(key, slot, message, now),
            Body::Unsubscribe(_) => self.unsubscribe(key, slot, &message, now),
            Body::Disconnect => self.disconnect(key, slot, &message, now),
            Body::Publish { .. } => self.publish(key, slot, message, now),
        }
    }

    /// The session that `message` names, if this browser may use it. Counts as a sign of life.
    pub(super) fn session_of(
        &mut self,
        key: Key<Exchange>,
        message: &Message,
        now: Instant,
    ) -> Option<Key<Session>> {
        let exchange = self.exchanges.get(key)?;
        let session_key = *self.client_ids.get(message.client_id.as_ref()?)?;
        let session = self.sessions.get_mut(session_key)?;
        if !session.is_of(exchange.browser.as_deref()) {
            return None;
        }
        let prolonged = now + self.settings.max_interval;
        session.expires = session.expires.max(prolonged.min(session.ends));
        session.note(self.settings.activity, message, now);
        Some(session_key)
    }

    /// Refuses `message` with `error`.
    pub(super) fn refuse(&mut self, key: Key<Exchange>, slot: usize, message: &Message, error: &Error) {
        self.stats.refused += 1;
        self.reply(key, slot, message, Reply::failed(message, error));
    }

    /// Settles `reply`, the one to `message`.
    pub(super) fn reply(&mut self, key: Key<Exchange>, slot: usize, message: &Message, reply: Reply) {
        let ext = self.ext_of(message);
        self.settle(key, slot, reply.ext(&ext).finish());
    }

    pub(super) fn settle(&mut self, key: Key<Exchange>, slot: usize, reply: Bytes) {
        if let Some(exchange) = self.exchanges.get_mut(key) {
            exchange.replies.settle(slot, reply);
        }
    }
}

// === impl Exchange ===

impl Exchange {
    /// The next message that may be processed: subscribes need not wait for each other, all else waits for them.
    fn next(&mut self) -> Option<(usize, Message)> {
        self.rest.pop_front_if(|(_, it)| self.jobs.is_empty() || matches!(it.body, Body::Subscribe(_)))
    }
}
