//! The state of one shard and its entry points.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use super::arena::Arena;
use super::fanout::Match;
use super::pace::Pace;
use super::publish::InFlight;
use super::request::Exchange;
use super::response::Parcel;
use super::session::{Session, Socket};
use super::subscribe::Subscription;
use super::timers::Timer;
use super::trie::Trie;
use super::{HttpId, Input, Key, Outbox, Output, Settings, SocketKey, Stats, SubscribeTicket};
use crate::bayeux::Pattern;

/// Fills a buffer with random bytes that nobody can guess.
pub type Entropy = Box<dyn FnMut(&mut [u8])>;

/// Tells the time of day, ms since 1970.
pub type WallClock = Box<dyn FnMut() -> i64>;

/// The sessions of one thread. Not `Send` on purpose.
pub struct Shard {
    pub(super) settings: Settings,
    pub(super) entropy: Entropy,
    /// For clients that compare their clocks; nothing else depends on it.
    pub(super) wall_clock: WallClock,
    pub(super) sessions: Arena<Session>,
    pub(super) client_ids: HashMap<Box<str>, Key<Session>>,
    /// Sessions that have not connected yet, oldest first, among some that have or are gone.
    pub(super) newcomers: VecDeque<Key<Session>>,
    /// How many have not.
    pub(super) unconnected: usize,
    pub(super) sockets: Arena<Socket>,
    pub(super) subscriptions: Arena<Subscription>,
    pub(super) trie: Trie<Match>,
    /// Subscriptions that were given up while their positions were asked for.
    pub(super) cancelled: HashMap<SubscribeTicket, Pattern>,
    pub(super) exchanges: Arena<Exchange>,
    /// Requests that may go on.
    pub(super) runnable: VecDeque<Key<Exchange>>,
    /// The unanswered HTTP requests.
    pub(super) https: HashMap<HttpId, Key<Exchange>>,
    /// Responses that may still come back unwritten.
    pub(super) parcels: HashMap<HttpId, Parcel>,
    pub(super) publishes: Arena<InFlight>,
    pub(super) paces: HashMap<IpAddr, Pace>,
    /// Held polls of browsers that have some.
    pub(super) holding: HashMap<Box<str>, usize>,
    pub(super) timers: BinaryHeap<Reverse<Timer>>,
    pub(super) outputs: VecDeque<Output>,
    pub(super) dirty: VecDeque<SocketKey>,
    pub(super) touched: Vec<Key<Session>>,
    /// Sessions whose queue is full, to be looked at with the next flush.
    pub(super) overfull: Vec<Key<Session>>,
    /// The latest clientIds that ended so.
    pub(super) evicted: VecDeque<Box<str>>,
    /// How long clients are told to stay away while the gateway goes down.
    pub(super) draining: Option<Duration>,
    pub(super) stats: Stats,
}

impl Shard {
    /// A shard without sessions.
    pub fn new(settings: Settings, entropy: Entropy, wall_clock: WallClock) -> Self {
        Self {
            settings,
            entropy,
            wall_clock,
            sessions: Arena::default(),
            client_ids: HashMap::new(),
            newcomers: VecDeque::new(),
            unconnected: 0,
            sockets: Arena::default(),
            subscriptions: Arena::default(),
            trie: Trie::default(),
            cancelled: HashMap::new(),
            exchanges: Arena::default(),
            runnable: VecDeque::new(),
            https: HashMap::new(),
            parcels: HashMap::new(),
            publishes: Arena::default(),
            paces: HashMap::new(),
            holding: HashMap::new(),
            timers: BinaryHeap::new(),
            outputs: VecDeque::new(),
            dirty: VecDeque::new(),
            touched: Vec::new(),
            overfull: Vec::new(),
            evicted: VecDeque::new(),
            draining: None,
            stats: Stats::default(),
        }
    }

    /// Takes what happened at `now`.
    pub fn handle(&mut self, input: Input, now: Instant) {
        let flush = matches!(input, Input::Flush);
        match input {
            Input::Request { via, browser, peer, multiplexed, messages } => {
                self.request(via, browser, peer, multiplexed, messages);
            }
            Input::Stream { socket, client_id, browser } => {
                self.stream_opened(socket, &client_id, browser.as_deref(), now);
            }
            Input::SocketClosed(socket) => self.socket_closed(socket, now),
            Input::Taken(http) => self.taken(http, now),
            Input::Lost(http) => self.lost(http, now),
            Input::Hurry(http) => self.hurry(http, now),
            Input::Batch(batch) => self.batch(&batch, now),
            Input::Subscribed(ticket, result) => self.subscribed(ticket, result, now),
            Input::Published(ticket, result) => self.published(ticket, &result, now),
            Input::Message(session, message) => self.enqueue(session, Rc::new(message), now),
            Input::Timeout => self.timeout(now),
            Input::Flush => self.wake_touched(now),
            Input::Drain(spread) => self.drain(spread, now),
        }
        self.run(now);
        // Only then: a client is slow if its socket takes no more, not if nobody wrote to it yet.
        while let Some(session) = self.overfull.pop_if(|_| flush) {
            self.relieve(session, now);
            self.run(now);
        }
    }

    /// What to do next; call until there is nothing.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The next socket that has something to write; write all of its [`outbox`](Self::outbox), or wait until it accepts more.
    pub fn poll_flush(&mut self) -> Option<SocketKey> {
        loop {
            let key = self.dirty.pop_front()?;
            if let Some(socket) = self.sockets.get_mut(key) {
                socket.dirty = false;
                return Some(key);
            }
        }
    }

    /// When [`Input::Timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.peek().map(|Reverse(timer)| timer.at)
    }

    /// Adds a WebSocket, which may be silent for as long as it likes. Events for it are compressed if it takes `compressed` frames.
    pub fn open_socket(&mut self, compressed: bool) -> SocketKey {
        let socket = self.sockets.insert(Socket { outbox: Outbox::new(compressed), ..Socket::default() });
        if self.draining.is_some() {
            self.going_away(socket);
        }
        socket
    }

    /// Adds an event stream; [`Input::Stream`] tells whose.
    pub fn open_stream(&mut self) -> SocketKey {
        self.stats.streams += 1;
        self.sockets.insert(Socket { outbox: Outbox::of_stream(), ..Socket::default() })
    }

    /// What is to be written to a socket.
    pub fn outbox(&mut self, socket: SocketKey) -> Option<&mut Outbox> {
        self.sockets.get_mut(socket).map(|socket| &mut socket.outbox)
    }

    /// Whether no request waits for anything: what a drain waits for.
    pub fn is_idle(&self) -> bool {
        self.exchanges.len() == 0 && self.parcels.is_empty()
    }

    /// Counters and sizes.
    pub fn stats(&self) -> Stats {
        Stats {
            sessions: self.sessions.len(),
            sockets: self.sockets.len() - self.stats.streams,
            subscriptions: self.subscriptions.len(),
            ..self.stats
        }
    }

    /// Bytes that wait for clients now. Looks at every session.
    pub fn queue_bytes(&self) -> usize {
        let polled: usize = self.sessions.values().map(|session| session.queued_bytes).sum();
        let written: usize =
            self.sockets.values().map(|it| it.outbox.event_bytes() + it.outbox.reply_bytes()).sum();
        polled + written
    }

    pub(super) fn mark_dirty(&mut self, key: SocketKey) {
        if let Some(socket) = self.sockets.get_mut(key)
            && !socket.dirty
        {
            socket.dirty = true;
            self.dirty.push_back(key);
        }
    }
}
