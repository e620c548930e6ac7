//! What a shard knows of one client.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use super::publish::Recent;
use super::request::Exchange;
use super::{Event, HttpId, Key, Outbox, SocketKey, SubscribeTicket};
use crate::bayeux::{Message, Pattern};

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
    /// Events for a client that polls.
    pub(super) queue: VecDeque<Event>,
    /// Events that wait until a subscription knows where it starts.
    pub(super) undecided: Vec<Event>,
    /// Bytes of `queue` and `undecided`.
    pub(super) queued_bytes: usize,
    pub(super) held: Option<Held>,
    /// When the session ends, unless a connect is held.
    pub(super) expires: Instant,
    /// The pause that the client announced with its last connect, or the advised one.
    pub(super) interval: Duration,
    /// The earliest timer set for the session.
    pub(super) timer: Option<Instant>,
    pub(super) subscriptions: HashMap<Pattern, SubscribeTicket>,
    /// The request that waits for a subscription's positions; those in `backlog` wait behind it.
    pub(super) busy: Option<Key<Exchange>>,
    pub(super) backlog: VecDeque<Key<Exchange>>,
    pub(super) publishes: Recent,
    pub(super) pace: super::pace::Pace,
    /// Whether it is on the list of polls to wake.
    pub(super) touched: bool,
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
}

/// A WebSocket.
#[derive(Debug, Default)]
pub struct Socket {
    pub(super) outbox: Outbox,
    /// The session that events of this socket are for.
    pub(super) session: Option<Key<Session>>,
    /// Whether it is on the list of sockets to flush.
    pub(super) dirty: bool,
}

impl Session {
    pub(super) fn new(client_id: Box<str>, browser: Option<Box<str>>, expires: Instant) -> Self {
        Self {
            client_id,
            browser,
            connected: false,
            socket: None,
            queue: VecDeque::new(),
            undecided: Vec::new(),
            queued_bytes: 0,
            held: None,
            expires,
            interval: Duration::ZERO,
            timer: None,
            subscriptions: HashMap::new(),
            busy: None,
            backlog: VecDeque::new(),
            publishes: Recent::default(),
            pace: super::pace::Pace::default(),
            touched: false,
        }
    }
}
