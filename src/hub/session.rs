//! What a shard knows of one client.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use super::addresses::Seat;
use super::extension::Extras;
use super::publish::Recent;
use super::request::Exchange;
use super::{Event, HttpId, Key, Outbox, SocketKey, SubscribeTicket};
use crate::bayeux::{Message, Pattern};
use crate::stream::{Record, Source, Topic};

/// A Bayeux session: a clientId and what belongs to it.
#[derive(Debug)]
pub struct Session {
    pub(super) client_id: Box<str>,
    /// The browser that the session is bound to, once a request told.
    pub(super) browser: Option<Box<str>>,
    /// Whether a first connect was answered; only later ones are held.
    pub(super) connected: bool,
    /// The WebSocket of the latest connect or handshake; `None` while the client polls.
    pub(super) socket: Option<SocketKey>,
    /// Events for a client that polls, or that must wait for the end of a doubt.
    pub(super) queue: VecDeque<Event>,
    /// Whether events left of which it is not known yet if they arrived: later ones wait, so as not to overtake them.
    pub(super) in_doubt: bool,
    /// Events that wait until a subscription knows where it starts, and those behind them.
    pub(super) undecided: Vec<Undecided>,
    /// Bytes of `queue` and `undecided`, and of what was sent and is not acknowledged where that is asked for.
    pub(super) queued_bytes: usize,
    pub(super) held: Option<Held>,
    /// When the session ends, unless a connect is held.
    pub(super) expires: Instant,
    /// When it ends although its client sends other messages: they are no connects, which it must not do without for ever (R56).
    pub(super) ends: Instant,
    /// The pause that the client announced with its last connect, or the advised one.
    pub(super) interval: Duration,
    /// The earliest timer set for the session.
    pub(super) timer: Option<Instant>,
    pub(super) subscriptions: HashMap<Pattern, SubscribeTicket>,
    /// Requests whose turn it is: one, or several that only wait for positions.
    pub(super) turns: usize,
    /// The latest of them.
    pub(super) latest: Option<Key<Exchange>>,
    /// Requests that wait for their turn.
    pub(super) backlog: VecDeque<Key<Exchange>>,
    /// Bytes of both.
    pub(super) turn_bytes: usize,
    pub(super) publishes: Recent,
    pub(super) pace: super::pace::Pace,
    /// What extensions need, which few sessions use.
    pub(super) extras: Option<Box<Extras>>,
    /// What it takes of its address's places, if those are counted.
    _seat: Option<Box<Seat>>,
    /// Whether it is on the list of polls to wake.
    pub(super) touched: bool,
}

/// Events of one partition that wait until a subscription knows where it starts.
#[derive(Debug)]
pub(super) struct Undecided {
    pub(super) topic: Arc<Topic>,
    pub(super) partition: i32,
    pub(super) events: VecDeque<Event>,
}

/// A connect that is held.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) exchange: Key<Exchange>,
    pub(super) slot: usize,
    pub(super) message: Message,
    pub(super) deadline: Instant,
    /// `None` if it came by WebSocket, where events do not answer it.
    pub(super) http: Option<HttpId>,
    pub(super) answer: Answer,
}

/// What the answer to a connect tells the client to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Poll again, to be held.
    Poll,
    /// Poll again after a while: others of the browser are held.
    Surplus,
    /// Show that it lives every now and then; events come by the event stream.
    Stream,
}

/// A WebSocket or event stream.
#[derive(Debug, Default)]
pub struct Socket {
    pub(super) outbox: Outbox,
    /// The session that events of this socket are for.
    pub(super) session: Option<Key<Session>>,
    /// The session that was here before, and whose event is written in part.
    pub(super) owes: Option<Key<Session>>,
    /// Whether it is on the list of sockets to flush.
    pub(super) dirty: bool,
    /// Requests that are not answered.
    pub(super) waiting: usize,
    /// How to close it when none waits.
    pub(super) close: Option<(u16, &'static str, Duration)>,
    /// Whether nothing more is taken from it.
    pub(super) deaf: bool,
}

// === impl Undecided ===

impl Undecided {
    fn is_of(&self, source: &Source) -> bool {
        self.partition == source.partition && *self.topic == *source.topic
    }
}

// === impl Session ===

impl Session {
    /// Whether `record` may not be looked at yet, because earlier ones of its partition are undecided.
    pub(super) fn waits_behind(&self, record: &Record) -> bool {
        !self.undecided.is_empty()
            && record.source.as_ref().is_some_and(|source| self.undecided.iter().any(|it| it.is_of(source)))
    }

    /// Lets the session live until `expires`, and twice `more` longer as long as its client sends other messages than connects.
    pub(super) fn live(&mut self, expires: Instant, more: Duration) {
        self.expires = expires;
        self.ends = expires + 2 * more;
    }

    /// Keeps an event until it can be decided on; false if it has no position to be decided by.
    pub(super) fn defer(&mut self, event: Event) -> bool {
        let Some(source) = event.source.as_ref() else { return false };
        if let Some(partition) = self.undecided.iter_mut().find(|it| it.is_of(source)) {
            partition.events.push_back(event);
        } else {
            let (topic, partition) = (source.topic.clone(), source.partition);
            self.undecided.push(Undecided { topic, partition, events: VecDeque::from([event]) });
        }
        true
    }

    /// Takes the first of the events that wait. A queue that was long once does not stay large.
    pub(super) fn pop(&mut self) -> Option<Event> {
        let event = self.queue.pop_front()?;
        self.queued_bytes = self.queued_bytes.saturating_sub(event.plain().frame().len());
        self.shrink();
        Some(event)
    }

    /// Gives back the room of a queue that is empty.
    pub(super) fn shrink(&mut self) {
        const IDLE_CAPACITY: usize = 64;
        if self.queue.is_empty() && self.queue.capacity() > IDLE_CAPACITY {
            self.queue = VecDeque::new();
        }
    }

    /// Whether a response with events is being written.
    pub(super) fn is_written_to(&self) -> bool {
        self.in_doubt || self.ack().is_some_and(|ack| ack.writing > 0)
    }

    /// Whether a request with this cookie may use the session, which is bound to the first one that comes.
    pub(super) fn is_of(&mut self, browser: Option<&str>) -> bool {
        match (&self.browser, browser) {
            (Some(bound), Some(browser)) => **bound == *browser,
            (None, Some(browser)) => {
                self.browser = Some(browser.into());
                true
            }
            (_, None) => true,
        }
    }

    /// Whether events wait that may be sent now.
    pub(super) fn may_send(&self) -> bool {
        !self.queue.is_empty() && !self.in_doubt
    }

    /// Whether events wait that should be sent now.
    pub(super) fn has_ready(&self) -> bool {
        self.may_send() && !self.is_lazy()
    }

    pub(super) fn new(
        client_id: Box<str>,
        browser: Option<Box<str>>,
        seat: Option<Seat>,
        expires: Instant,
    ) -> Self {
        Self {
            client_id,
            browser,
            connected: false,
            socket: None,
            queue: VecDeque::new(),
            in_doubt: false,
            undecided: Vec::new(),
            queued_bytes: 0,
            held: None,
            expires,
            ends: expires,
            interval: Duration::ZERO,
            timer: None,
            subscriptions: HashMap::new(),
            turns: 0,
            latest: None,
            backlog: VecDeque::new(),
            turn_bytes: 0,
            publishes: Recent::default(),
            pace: super::pace::Pace::default(),
            extras: None,
            _seat: seat.map(Box::new),
            touched: false,
        }
    }
}
