//! `/meta/handshake`, `/meta/connect`, `/meta/disconnect`, and the life of sessions.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::client_id::{self, ENTROPY};
use super::extension::{Ack, Extras};
use super::pace;
use super::request::Exchange;
use super::session::{Answer, Held, Session};
use super::timers::Due;
use super::{Key, Output, Shard, SocketKey, Via};
use crate::bayeux::{self, AckReply, Advice, Body, ConnectionType, Error, Message, Reconnect, Reply};

/// How long a client has to close its WebSocket after a disconnect, before the gateway does.
const CLOSE_GRACE: Duration = Duration::from_secs(2);

/// The longest pause between connects that a client may announce: its session lives that much longer.
const LONGEST_PAUSE: Duration = Duration::from_mins(10);

/// Peers whose failed connects are counted.
const PACED_PEERS: usize = 4096;

/// What a session that the gateway ends is told.
const DISCONNECTED: &[u8] = br#"{"channel":"/meta/disconnect","successful":true}"#;

/// Sessions that were ended for being slow, remembered to tell their clients.
const EVICTED: usize = 256;

/// Stale entries of a list before it is cleared of them.
pub(super) const SLACK: usize = 1024;

/// Why a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The client said so.
    Disconnect,
    /// No connect came in time, or the first not before too many others had shaken hands.
    Expired,
    /// Its queue was full.
    Slow,
    /// Nothing was heard of it but connects for longer than it may be so.
    Inactive,
}

impl Shard {
    pub(super) fn handshake(&mut self, key: Key<Exchange>, slot: usize, message: &Message, now: Instant) {
        let Body::Handshake { types } = &message.body else { return };
        // A client that names no types is taken to speak the one it is using.
        let common =
            types.as_ref().is_none_or(|types| types.iter().any(|it| self.settings.types.contains(it)));
        let refusal = if self.draining.is_some() {
            // No advice: clients come back by themselves, and find another node.
            Some(Reply::failed(message, &Error::DRAINING))
        } else if !common {
            let reply = Reply::failed(message, &Error::NO_COMMON_TYPE);
            Some(reply.versions(&self.settings.types).advice(Advice::NONE))
        } else {
            None
        };
        let Some(exchange) = self.exchanges.get(key) else { return };
        let counted = self.settings.addresses.as_ref().filter(|_| refusal.is_none());
        let seat = counted.map(|addresses| addresses.admit(exchange.peer));
        let refusal = refusal.or_else(|| {
            // No advice: clients try again by themselves, and later others may have gone.
            let full = matches!(seat, Some(None));
            self.stats.limited.sessions_per_address += u64::from(full);
            full.then(|| Reply::failed(message, &Error::TOO_MANY_SESSIONS))
        });
        if let Some(reply) = refusal {
            self.stats.handshakes_refused += 1;
            self.reply(key, slot, message, reply);
            return;
        }
        let (via, mut browser) = (exchange.via, exchange.browser.clone());
        if browser.is_none() && matches!(via, Via::Http(_)) {
            browser = Some(self.random_id());
            if let Some(exchange) = self.exchanges.get_mut(key) {
                exchange.set_browser.clone_from(&browser);
            }
        }
        let client_id = self.random_id();
        let expires = now + self.settings.interval + self.settings.max_interval;
        let mut session = Session::new(client_id.clone(), browser, seat.flatten(), expires);
        session.live(expires, self.settings.max_interval);
        let acks = message.ext.as_ref().is_some_and(|ext| ext.ack == Some(bayeux::Ack::Wanted));
        let active = self.settings.activity.map(|_| now);
        if acks || active.is_some() {
            let ack = acks.then(Box::<Ack>::default);
            session.extras = Some(Box::new(Extras { ack, active, ..Extras::default() }));
        }
        let session = self.sessions.insert(session);
        self.client_ids.insert(client_id.clone(), session);
        self.stats.handshakes += 1;
        self.schedule(session, expires);
        self.newcomer(session, now);
        if let Via::Socket(socket) = via {
            self.attach(session, socket, now);
        }
        let reply = Reply::ok(message).session(&client_id, &self.settings.types).advice(self.retry());
        let mut ext = self.ext_of(message);
        ext.ack = acks.then_some(AckReply::Granted);
        self.settle(key, slot, reply.ext(&ext).finish());
    }

    /// Bounds what handshakes without a connect can take: the session that has waited longest for its connect makes room.
    fn newcomer(&mut self, session: Key<Session>, now: Instant) {
        self.unconnected += 1;
        self.newcomers.push_back(session);
        while self.unconnected > self.settings.max_unconnected
            && let Some(oldest) = self.newcomers.pop_front()
        {
            if self.is_unconnected(oldest) {
                self.end_session(oldest, End::Expired, now);
            }
        }
        if self.newcomers.len() > 2 * self.unconnected + SLACK {
            let mut newcomers = std::mem::take(&mut self.newcomers);
            newcomers.retain(|key| self.is_unconnected(*key));
            self.newcomers = newcomers;
        }
    }

    fn is_unconnected(&self, key: Key<Session>) -> bool {
        self.sessions.get(key).is_some_and(|session| !session.connected)
    }

    fn random_id(&mut self) -> Box<str> {
        let mut random = [0; ENTROPY];
        (self.entropy)(&mut random);
        client_id::make(self.settings.shard, random)
    }

    fn retry(&mut self) -> Advice {
        let interval = match self.draining {
            None => self.settings.interval,
            // Each client gets a pause of its own, so that they do not come back all at once.
            Some(spread) => {
                let mut random = [0; 4];
                (self.entropy)(&mut random);
                spread.mul_f64(f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX))
            }
        };
        Advice {
            reconnect: Reconnect::Retry,
            interval,
            timeout: Some(self.settings.timeout),
            multiple_clients: false,
        }
    }

    pub(super) fn connect(&mut self, key: Key<Exchange>, slot: usize, mut message: Message, now: Instant) {
        let Body::Connect { kind, timeout, interval } = message.body else { return };
        let Some(session_key) = self.session_of(key, &message, now) else {
            return self.connect_unknown(key, slot, &message, now);
        };
        let Some(exchange) = self.exchanges.get(key) else { return };
        let (via, alone) = (exchange.via, exchange.alone);
        let types = &self.settings.types;
        let offered = match via {
            Via::Socket(_) => types.contains(&ConnectionType::WebSocket),
            Via::Http(_) => kind.is_none_or(|kind| types.contains(&kind)),
        };
        if !offered {
            // Another handshake tells the client what is offered.
            return self.refuse_connect(key, slot, &message, &Error::NO_COMMON_TYPE, now);
        }
        let activity = self.settings.activity;
        if self.sessions.get(session_key).is_some_and(|session| session.is_inactive(activity, now)) {
            return self.end_inactive(key, slot, session_key, &message, now);
        }
        self.release_held(session_key, now);
        let acknowledged = self.acknowledge(session_key, &message);
        // What is left of it is for the reply.
        message.ext.take_if(|ext| ext.timesync.is_none());
        let acks = self.sessions.get(session_key).is_some_and(Session::acks);
        let answer = self.answer_to(key, kind.filter(|_| !acks));
        // The events come by the stream, if there is one at present.
        let streamed = answer == Answer::Stream && self.has_stream(session_key);
        let Some(exchange) = self.exchanges.get_mut(key) else { return };
        match via {
            Via::Socket(socket) => {
                if acks {
                    exchange.events_of = Some(session_key);
                }
                self.attach(session_key, socket, now);
            }
            Via::Http(_) if streamed => {}
            Via::Http(_) => {
                exchange.events_of = Some(session_key);
                self.detach(session_key, now);
            }
        }
        let owes = self.sessions.get(session_key).is_some_and(|session| self.owes(session, via));
        let advised = self.advice(answer).interval;
        let hold = timeout.map_or(self.settings.timeout, |timeout| timeout.min(self.settings.timeout));
        let draining = self.draining.is_some();
        let Some(session) = self.sessions.get_mut(session_key) else { return };
        session.interval = interval.unwrap_or_default().min(LONGEST_PAUSE).max(advised);
        let first = !std::mem::replace(&mut session.connected, true);
        self.unconnected -= usize::from(first);
        if answer == Answer::Surplus && advised.is_zero() {
            self.stats.refused += 1;
            let advice = Advice { multiple_clients: true, ..Advice::NONE };
            let reply = Reply::failed(&message, &Error::MULTIPLE_CLIENTS).advice(advice);
            return self.reply(key, slot, &message, reply);
        }
        // Clients with old habits expect the first connect back at once, and companions of a connect without delay.
        let at_once = first || !alone || draining || session.has_ready();
        // A little less than advised: some clients time out at exactly that.
        let waits = !at_once && !owes && answer == Answer::Poll;
        let mut hold = if waits { hold.mul_f64(0.98) } else { Duration::ZERO };
        // What is sent again and again, and never acknowledged, is no reason to hurry.
        if !(at_once || owes && acknowledged) && hold < pace::DELAY {
            hold = session.pace.delay(now).unwrap_or(hold);
        }
        if hold.is_zero() {
            self.answer_connect(session_key, key, slot, &message, answer, now);
            return;
        }
        let http = match via {
            Via::Http(http) => Some(http),
            Via::Socket(_) => None,
        };
        let deadline = now + hold;
        let held = Held { exchange: key, slot, message, deadline, http, answer };
        self.count_held(&held);
        if let Some(session) = self.sessions.get_mut(session_key) {
            session.held = Some(held);
        }
        self.schedule(session_key, deadline);
    }

    /// How a connect is to be answered.
    fn answer_to(&self, key: Key<Exchange>, kind: Option<ConnectionType>) -> Answer {
        let Some(exchange) = self.exchanges.get(key) else { return Answer::Poll };
        match exchange.via {
            Via::Http(_) if kind == Some(ConnectionType::EventSource) => Answer::Stream,
            _ if self.draining.is_none() && self.is_surplus(exchange) => Answer::Surplus,
            _ => Answer::Poll,
        }
    }

    /// What a good answer to a connect advises.
    fn advice(&mut self, answer: Answer) -> Advice {
        let advice = self.retry();
        match answer {
            _ if self.draining.is_some() => advice,
            Answer::Poll => advice,
            Answer::Surplus => {
                let interval = self.settings.multi_client_interval;
                Advice { interval, multiple_clients: true, ..advice }
            }
            // As Faye's own server has it.
            Answer::Stream => {
                Advice { interval: self.settings.timeout, timeout: Some(Duration::ZERO), ..advice }
            }
        }
    }

    fn connect_unknown(&mut self, key: Key<Exchange>, slot: usize, message: &Message, now: Instant) {
        let error = self.why_unknown(message.client_id.as_deref().unwrap_or_default());
        self.refuse_connect(key, slot, message, &error, now);
    }

    /// What is told of a session that is not there.
    pub(super) fn why_unknown(&self, client_id: &str) -> Error {
        let slow = self.evicted.iter().any(|evicted| **evicted == *client_id);
        if slow { slow_consumer() } else { Error::SESSION_UNKNOWN }
    }

    /// Refuses a connect and asks for another handshake, not too often.
    fn refuse_connect(
        &mut self,
        key: Key<Exchange>,
        slot: usize,
        message: &Message,
        error: &Error,
        now: Instant,
    ) {
        let ext = self.ext_of(message);
        let reply = Reply::failed(message, error).advice(Advice::HANDSHAKE).ext(&ext).finish();
        self.stats.refused += 1;
        let Some(peer) = self.exchanges.get(key).map(|exchange| exchange.peer) else { return };
        if self.paces.len() >= PACED_PEERS {
            self.paces.retain(|_, pace| !pace.is_over(now));
            if self.paces.len() >= PACED_PEERS {
                self.paces.clear();
            }
        }
        match self.paces.entry(peer).or_default().delay(now) {
            Some(delay) => self.schedule_due(now + delay, Due::Reply(key, slot, reply)),
            None => self.settle(key, slot, reply),
        }
    }

    /// Settles a connect's reply, and lets the session live from now until the next connect is due.
    pub(super) fn answer_connect(
        &mut self,
        session_key: Key<Session>,
        key: Key<Exchange>,
        slot: usize,
        message: &Message,
        answer: Answer,
        now: Instant,
    ) {
        let reply = Reply::ok(message).advice(self.advice(answer));
        let ext = self.ext_of(message);
        self.settle_connect(session_key, key, slot, reply, ext);
        let away = self.draining.unwrap_or_default();
        if let Some(session) = self.sessions.get_mut(session_key) {
            let expires = now + session.interval + self.settings.max_interval + away;
            session.live(expires, self.settings.max_interval);
            self.schedule(session_key, expires);
        }
    }

    /// Answers the held connect, if there is one, with whatever waits for the session.
    pub(super) fn wake(&mut self, session_key: Key<Session>, now: Instant) {
        let Some(held) = self.sessions.get_mut(session_key).and_then(|session| session.held.take()) else {
            return;
        };
        self.uncount_held(&held);
        self.answer_connect(session_key, held.exchange, held.slot, &held.message, held.answer, now);
        self.complete_if_ready(held.exchange, now);
    }

    /// Answers a held connect that a newer one replaces; the events are the newer one's.
    fn release_held(&mut self, session_key: Key<Session>, now: Instant) {
        let held = self.sessions.get(session_key).and_then(|session| session.held.as_ref());
        if let Some(exchange) = held.and_then(|held| self.exchanges.get_mut(held.exchange)) {
            exchange.events_of = None;
        }
        self.wake(session_key, now);
    }

    /// The client of a held poll went away.
    pub(super) fn drop_held(&mut self, http: super::HttpId, now: Instant) {
        let Some(key) = self.https.get(&http) else { return };
        let Some(session_key) = self.exchanges.get(*key).and_then(|exchange| exchange.events_of) else {
            return;
        };
        let held = self.sessions.get(session_key).and_then(|session| session.held.as_ref());
        if held.is_some_and(|held| held.http == Some(http)) {
            self.wake(session_key, now);
        }
    }

    pub(super) fn disconnect(&mut self, key: Key<Exchange>, slot: usize, message: &Message, now: Instant) {
        let Some(session_key) = self.session_of(key, message, now) else {
            return self.refuse(key, slot, message, &Error::SESSION_UNKNOWN);
        };
        let socket = self.socket_of(key, session_key);
        self.end_session(session_key, End::Disconnect, now);
        self.reply(key, slot, message, Reply::ok(message));
        if let Some(socket) = socket {
            self.close_when_quiet(socket, 1000, "disconnect", CLOSE_GRACE);
        }
    }

    /// Answers the connect of a session that has been inactive for too long, and ends it: some clients heed the message, some the
    /// advice, some only that the socket closes (W22).
    fn end_inactive(
        &mut self,
        key: Key<Exchange>,
        slot: usize,
        session: Key<Session>,
        message: &Message,
        now: Instant,
    ) {
        let socket = self.socket_of(key, session);
        self.end_session(session, End::Inactive, now);
        let Some(exchange) = self.exchanges.get_mut(key) else { return };
        exchange.more.get_or_insert_default().notice = Some(Bytes::from_static(DISCONNECTED));
        self.reply(key, slot, message, Reply::ok(message).advice(Advice::NONE));
        if let Some(socket) = socket {
            self.close_when_quiet(socket, 1000, "inactive", CLOSE_GRACE);
        }
    }

    /// The WebSocket that closes when the session ends: that of the request, or of the session.
    fn socket_of(&self, key: Key<Exchange>, session: Key<Session>) -> Option<SocketKey> {
        match self.exchanges.get(key).map(|exchange| exchange.via) {
            Some(Via::Socket(socket)) => Some(socket),
            _ => self.sessions.get(session).and_then(|session| session.socket),
        }
    }

    /// Ends a session: answers what it waits for, and forgets it.
    pub(super) fn end_session(&mut self, key: Key<Session>, end: End, now: Instant) {
        let Some(mut session) = self.sessions.remove(key) else { return };
        self.client_ids.remove(&session.client_id);
        if session.publishes.asked {
            self.outputs.push_back(Output::Ended(key));
        }
        self.unconnected -= usize::from(!session.connected);
        if let Some(held) = session.held.take() {
            self.uncount_held(&held);
            let reply = if matches!(end, End::Disconnect | End::Inactive) {
                Reply::ok(&held.message).advice(Advice::NONE)
            } else {
                let error = if end == End::Slow { slow_consumer() } else { Error::SESSION_UNKNOWN };
                Reply::failed(&held.message, &error).advice(Advice::HANDSHAKE)
            };
            self.reply(held.exchange, held.slot, &held.message, reply);
            self.complete_if_ready(held.exchange, now);
        }
        if let Some(socket) = session.socket
            && let Some(state) = self.sockets.get_mut(socket)
        {
            state.session = None;
            drop(state.outbox.take_events());
            if end == End::Slow {
                let (code, reason, grace) = (1008, "slow consumer: the queue is full", Duration::ZERO);
                self.outputs.push_back(Output::Close { socket, code, reason, grace });
            } else if end == End::Expired && state.outbox.is_stream() {
                self.end_stream(socket, &Error::SESSION_UNKNOWN);
            }
        }
        match end {
            End::Disconnect => {}
            End::Inactive => self.stats.inactive += 1,
            End::Expired => self.stats.expired += 1,
            End::Slow => {
                self.stats.slow_consumers += 1;
                self.evicted.truncate(EVICTED - 1);
                self.evicted.push_front(session.client_id);
            }
        }
        for (pattern, ticket) in session.subscriptions {
            self.forget_subscription(ticket, &pattern);
        }
        self.runnable.extend(session.backlog);
    }

    /// Answers what is held, refuses from now on what is new, and closes the sockets when what is under way is finished.
    pub(super) fn drain(&mut self, spread: Duration, now: Instant) {
        self.draining = Some(spread);
        let sessions: Vec<_> = self.sessions.keys().collect();
        for session in sessions {
            self.wake(session, now);
        }
        let sockets: Vec<_> = self.sockets.keys().collect();
        for socket in sockets {
            self.going_away(socket);
        }
    }

    /// Closes a socket because the gateway goes down, as soon as it waits for nothing.
    pub(super) fn going_away(&mut self, socket: SocketKey) {
        self.close_when_quiet(socket, 1001, "going away", Duration::ZERO);
    }
}

fn slow_consumer() -> Error {
    Error::about(402, "slow_consumer", "session_unknown")
}
