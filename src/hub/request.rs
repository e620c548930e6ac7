//! One body or frame: its messages in order, its replies together.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};

use super::session::Session;
use super::subscribe::Job;
use super::{Answer, Event, HttpId, Key, Output, Response, Shard, SocketKey, Via};
use crate::bayeux::{self, Body, Error, Message, Reply};
use crate::stream::text_frame;

/// Bytes of a frame of replies (Jetty's clients refuse more than 64 KiB) and of a poll's body (1 MiB).
const FRAME: usize = 60 * 1024;
const POLL_BODY: usize = 1000 * 1024;

/// Requests of one session that wait behind a subscribe.
const BACKLOG: usize = 64;

/// A request under way.
#[derive(Debug)]
pub struct Exchange {
    pub(super) via: Via,
    pub(super) browser: Option<Box<str>>,
    pub(super) peer: IpAddr,
    /// What is not yet processed, with its slot.
    pub(super) rest: VecDeque<(usize, Message)>,
    pub(super) replies: bayeux::Exchange,
    /// Whether the request is one message: only then a connect is held.
    pub(super) alone: bool,
    /// The subscribe that is being answered.
    pub(super) job: Option<Job>,
    /// The session in whose turn the request is processed.
    pub(super) turn: Option<Key<Session>>,
    /// The session whose events the response brings: one that was asked for by a connect.
    pub(super) events_of: Option<Key<Session>>,
    /// The browser cookie to set.
    pub(super) set_browser: Option<Box<str>>,
    pub(super) answers: Vec<Answer>,
    /// Whether the HTTP request was dropped already.
    pub(super) lost: bool,
}

/// What an HTTP response took along, until it is known to be written.
#[derive(Debug)]
pub(super) struct Parcel {
    session: Option<Key<Session>>,
    events: Vec<Event>,
    answers: Vec<Answer>,
}

/// How a message left the exchange.
pub(super) enum Flow {
    /// Its effect is there; the next one may be processed.
    Next,
    /// The next one waits for [`Shard::advance`].
    Stall,
}

impl Shard {
    pub(super) fn request(
        &mut self,
        via: Via,
        browser: Option<Box<str>>,
        peer: IpAddr,
        mut messages: Vec<Message>,
        now: Instant,
    ) {
        // Companions of a handshake are ignored (R48).
        if let Some(at) = messages.iter().position(|message| matches!(message.body, Body::Handshake { .. })) {
            messages = vec![messages.swap_remove(at)];
        }
        let alone = messages.len() == 1;
        let single_meta = alone
            && messages.iter().all(|message| matches!(message.body, Body::Connect { .. } | Body::Disconnect));
        let session =
            messages.iter().find_map(|message| self.client_ids.get(message.client_id.as_ref()?)).copied();
        let mut replies = bayeux::Exchange::default();
        let rest = messages.into_iter().map(|message| (replies.open(), message)).collect();
        let key = self.exchanges.insert(Exchange {
            via,
            browser,
            peer,
            rest,
            replies,
            alone,
            job: None,
            turn: None,
            events_of: None,
            set_browser: None,
            answers: Vec::new(),
            lost: false,
        });
        if let Via::Http(http) = via {
            self.https.insert(http, key);
        }
        // Requests of a session take their turns; what only asks for events need not wait for a subscribe.
        if let Some(session_key) = session
            && !single_meta
            && let Some(session) = self.sessions.get_mut(session_key)
        {
            if session.busy.is_some() && session.backlog.len() < BACKLOG {
                session.backlog.push_back(key);
                return;
            }
            if session.busy.is_some() {
                self.refuse_rest(key);
            } else {
                session.busy = Some(key);
                if let Some(exchange) = self.exchanges.get_mut(key) {
                    exchange.turn = Some(session_key);
                }
            }
        }
        self.advance(key, now);
    }

    fn refuse_rest(&mut self, key: Key<Exchange>) {
        while let Some((slot, message)) = self.exchanges.get_mut(key).and_then(|it| it.rest.pop_front()) {
            self.settle(key, slot, Reply::failed(&message, &Error::busy(&message.channel)).finish());
        }
    }

    /// Processes messages until one must be waited for; then lets the next request of the session have its turn.
    pub(super) fn advance(&mut self, key: Key<Exchange>, now: Instant) {
        let mut next = Some(key);
        while let Some(key) = next.take() {
            while let Some((slot, message)) = self.exchanges.get_mut(key).and_then(|it| it.rest.pop_front()) {
                match self.process(key, slot, message, now) {
                    Flow::Next => {}
                    Flow::Stall => return,
                }
            }
            next = self.end_turn(key);
            self.complete_if_ready(key, now);
        }
    }

    /// The request whose turn it is after `key`, whose messages are all processed.
    fn end_turn(&mut self, key: Key<Exchange>) -> Option<Key<Exchange>> {
        let session_key = self.exchanges.get_mut(key)?.turn.take()?;
        let session = self.sessions.get_mut(session_key)?;
        session.busy = session.backlog.pop_front();
        let next = session.busy?;
        if let Some(exchange) = self.exchanges.get_mut(next) {
            exchange.turn = Some(session_key);
        }
        Some(next)
    }

    fn process(&mut self, key: Key<Exchange>, slot: usize, message: Message, now: Instant) -> Flow {
        match &message.body {
            Body::Refused(error) => {
                self.stats.refused += 1;
                self.settle(key, slot, Reply::failed(&message, error).finish());
                Flow::Next
            }
            Body::Handshake { .. } => self.handshake(key, slot, &message, now),
            Body::Connect { timeout, interval } => {
                let (timeout, interval) = (*timeout, *interval);
                self.connect(key, slot, message, timeout, interval, now)
            }
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
        match (&session.browser, &exchange.browser) {
            (Some(bound), Some(browser)) if bound != browser => return None,
            (None, Some(browser)) => session.browser = Some(browser.clone()),
            _ => {}
        }
        session.expires = session.expires.max(now + self.settings.max_interval);
        Some(session_key)
    }

    /// Refuses `message` with `error`.
    pub(super) fn refuse(
        &mut self,
        key: Key<Exchange>,
        slot: usize,
        message: &Message,
        error: &Error,
    ) -> Flow {
        self.stats.refused += 1;
        self.settle(key, slot, Reply::failed(message, error).finish());
        Flow::Next
    }

    pub(super) fn settle(&mut self, key: Key<Exchange>, slot: usize, reply: Bytes) {
        if let Some(exchange) = self.exchanges.get_mut(key) {
            exchange.replies.settle(slot, reply);
        }
    }

    /// Sends the replies off if all of them are there.
    pub(super) fn complete_if_ready(&mut self, key: Key<Exchange>, now: Instant) {
        let Some(exchange) = self.exchanges.get_mut(key) else { return };
        if !exchange.rest.is_empty() || exchange.job.is_some() {
            return;
        }
        let Some(replies) = exchange.replies.poll_ready() else { return };
        let Some(exchange) = self.exchanges.remove(key) else { return };
        match exchange.via {
            Via::Socket(socket) => self.send_frames(socket, &replies, exchange.answers),
            Via::Http(http) => self.respond(http, replies, exchange, now),
        }
    }

    fn respond(&mut self, http: HttpId, replies: Vec<Bytes>, exchange: Exchange, now: Instant) {
        self.https.remove(&http);
        let lost = exchange.lost;
        let events = match exchange.events_of {
            Some(session) if !lost => self.take_queued(session, POLL_BODY),
            _ => Vec::new(),
        };
        let mut objects: Vec<Bytes> = events.iter().map(|event| event.plain().event()).collect();
        objects.extend(replies);
        let parcel = Parcel { session: exchange.events_of, events, answers: exchange.answers };
        self.parcels.insert(http, parcel);
        if lost {
            self.lost(http, now);
        } else {
            self.outputs
                .push_back(Output::Respond(http, Response { objects, browser: exchange.set_browser }));
        }
    }

    /// Up to `bytes` of what waits for a session, at least one event if there is any.
    fn take_queued(&mut self, session: Key<Session>, bytes: usize) -> Vec<Event> {
        let Some(session) = self.sessions.get_mut(session) else { return Vec::new() };
        let mut taken = Vec::new();
        let mut size = 0;
        while let Some(event) = session.queue.front() {
            let length = event.plain().event_len() + 1;
            if !taken.is_empty() && size + length > bytes {
                break;
            }
            size += length;
            session.queued_bytes = session.queued_bytes.saturating_sub(event.plain().frame().len());
            taken.extend(session.queue.pop_front());
        }
        taken
    }

    /// Queues replies for a socket, as few frames as their size allows.
    fn send_frames(&mut self, key: SocketKey, replies: &[Bytes], mut answers: Vec<Answer>) {
        let Some(socket) = self.sockets.get_mut(key) else {
            self.unanswered(answers);
            return;
        };
        let mut rest = replies;
        loop {
            let mut size = 2;
            let count = rest
                .iter()
                .take_while(|reply| {
                    size += reply.len() + 1;
                    size <= FRAME
                })
                .count()
                .max(usize::from(!rest.is_empty()));
            let (now_sent, later) = rest.split_at(count);
            let done = later.is_empty();
            let frame = text_frame(&array(now_sent));
            // Answers travel with the last frame: until it is written, the client may not have seen them.
            socket.outbox.replies(frame, if done { std::mem::take(&mut answers) } else { Vec::new() });
            rest = later;
            if done {
                break;
            }
        }
        self.mark_dirty(key);
    }

    pub(super) fn taken(&mut self, http: HttpId) {
        self.parcels.remove(&http);
    }

    /// An HTTP request or its response is gone, and nothing of the response was seen.
    pub(super) fn lost(&mut self, http: HttpId, now: Instant) {
        if let Some(key) = self.https.get(&http).copied() {
            if let Some(exchange) = self.exchanges.get_mut(key) {
                exchange.lost = true;
            }
            self.drop_held(http, now);
        }
        let Some(parcel) = self.parcels.remove(&http) else { return };
        self.unanswered(parcel.answers);
        if let Some(session_key) = parcel.session {
            self.put_back(session_key, parcel.events);
        }
    }

    /// Events that did not reach the client stand before those that came since.
    pub(super) fn put_back(&mut self, key: Key<Session>, events: impl IntoIterator<Item = Event>) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let mut events: VecDeque<Event> = events.into_iter().collect();
        if events.is_empty() {
            return;
        }
        if let Some(socket) = session.socket {
            // The client moved to a WebSocket meanwhile.
            if let Some(socket) = self.sockets.get_mut(socket) {
                events.append(&mut socket.outbox.take_events());
                for event in events {
                    socket.outbox.event(event);
                }
            }
            self.mark_dirty(socket);
            return;
        }
        session.queued_bytes += events.iter().map(|event| event.plain().frame().len()).sum::<usize>();
        events.append(&mut session.queue);
        session.queue = events;
        self.touch(key);
    }
}

/// `[a,b,…]` of JSON objects.
fn array(objects: &[Bytes]) -> Bytes {
    let mut out = BytesMut::with_capacity(objects.iter().map(|object| object.len() + 1).sum::<usize>() + 2);
    out.put_u8(b'[');
    for (n, object) in objects.iter().enumerate() {
        if n > 0 {
            out.put_u8(b',');
        }
        out.put_slice(object);
    }
    out.put_u8(b']');
    out.freeze()
}
