//! Sessions, subscriptions and fan-out of one shard.
//!
//! A [`Shard`] is a state machine without sockets, clock or randomness of its own: [`Shard::handle`] takes what happened and when,
//! [`Shard::poll_output`] tells what to do, [`Shard::poll_flush`] which sockets have something to write, [`Shard::poll_timeout`] when to call again.
//!
//! - `request` runs the messages of one body or frame in order, `response` sends their replies off;
//! - `meta`, `subscribe`, `publish` say what each message does;
//! - `fanout` queues records for the sessions whose subscriptions match, `transfer` takes them to a socket or a poll, and back when
//!   that broke;
//! - `timers` ends holds and sessions;
//! - `extension` is what few sessions have.

mod addresses;
mod arena;
mod browsers;
mod client_id;
mod extension;
mod fanout;
mod meta;
mod outbox;
mod pace;
mod publish;
mod rate;
mod request;
mod response;
mod session;
mod shard;
mod streams;
mod subscribe;
mod timers;
mod transfer;
mod trie;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub use addresses::Addresses;
pub use arena::Key;
pub use client_id::shard_of;
pub use extension::{Activity, ActivityMode};
pub use outbox::{Event, Outbox};
pub use shard::{Entropy, Shard, WallClock};

use crate::bayeux::{Channel, ConnectionType, Error, Message, Pattern};
use crate::stream::{Batch, Positions, Record};

/// What a shard is told once. Times and bounds are those of the settings of the same name.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The shard's number, written into its clientIds.
    pub shard: u16,
    /// How long a connect is held.
    pub timeout: Duration,
    /// Advised pause between connects.
    pub interval: Duration,
    /// How long a session lives without a connect, beyond the interval.
    pub max_interval: Duration,
    /// Connection types offered, in order of preference.
    pub types: Vec<ConnectionType>,
    /// Sessions of one browser that may hold a poll; `None`: any number.
    pub clients_per_browser: Option<usize>,
    /// The pause between the polls of the others; zero refuses them.
    pub multi_client_interval: Duration,
    /// Sessions that have not connected yet; past it the oldest of them ends.
    pub max_unconnected: usize,
    /// Subscriptions of one session.
    pub max_subscriptions: usize,
    /// Whether `/*` and `/**` may be subscribed to.
    pub root_patterns: bool,
    /// Bytes of events that may wait for one session.
    pub queue_bytes: usize,
    /// Publishes of one session that may wait for Kafka.
    pub publishes_per_session: usize,
    /// When a session ends because nothing is heard of it but connects.
    pub activity: Option<Activity>,
    /// Publishes of one session in a second; `None`: any number.
    pub publish_rate: Option<NonZeroU32>,
    /// Bounds the sessions of one address; shared by all shards.
    pub addresses: Option<Arc<Addresses>>,
}

/// A session, as the shard knows it.
pub type SessionKey = Key<session::Session>;
/// A WebSocket or event stream, as the shard knows it.
pub type SocketKey = Key<session::Socket>;
/// A subscription that waits for its positions.
pub type SubscribeTicket = Key<subscribe::Subscription>;
/// A publish that waits for Kafka.
pub type PublishTicket = Key<publish::InFlight>;
/// An HTTP request, numbered by the driver.
pub type HttpId = u64;

/// Where a request came from and its replies go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// One HTTP request; one response.
    Http(HttpId),
    /// A WebSocket.
    Socket(SocketKey),
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// A body or frame arrived.
    Request {
        /// Whence.
        via: Via,
        /// The `BAYEUX_BROWSER` cookie that came along, if it is well formed.
        browser: Option<Box<str>>,
        /// The peer's address, for pacing.
        peer: IpAddr,
        /// Whether the peer's connection carries other requests meanwhile (HTTP/2): a held poll is in nobody's way then.
        multiplexed: bool,
        /// The messages, in order.
        messages: Vec<Message>,
    },
    /// An event stream opened that is to bring the events of a session.
    Stream {
        /// The stream.
        socket: SocketKey,
        /// The session that it names.
        client_id: Box<str>,
        /// The `BAYEUX_BROWSER` cookie that came along, if it is well formed.
        browser: Option<Box<str>>,
    },
    /// A WebSocket or event stream is gone.
    SocketClosed(SocketKey),
    /// The response to an HTTP request was taken for writing.
    Taken(HttpId),
    /// The HTTP request was dropped, or its response before all of it was written.
    Lost(HttpId),
    /// Another request waits behind this one on its connection: a held connect must not be in its way (R5).
    Hurry(HttpId),
    /// Records arrived.
    Batch(Arc<Batch>),
    /// [`Output::Subscribe`] is done: from which offsets on, or why not.
    Subscribed(SubscribeTicket, Result<Positions, Error>),
    /// [`Output::Publish`] is done.
    Published(PublishTicket, Result<(), Error>),
    /// A message for one session, subscribed or not; [`Input::Flush`] must follow.
    Message(SessionKey, Arc<Record>),
    /// The time that [`Shard::poll_timeout`] named has come.
    Timeout,
    /// The inbox is empty, or 2 ms are over, and the sockets were written to: wake the polls whose sessions have events now, and end
    /// the sessions whose queue is full all the same.
    Flush,
    /// The gateway goes down: refuse handshakes, subscribes and publishes, finish what is under way, and let clients go, spread over
    /// this time.
    Drain(Duration),
}

/// What to do.
#[derive(Debug)]
pub enum Output {
    /// Answer an HTTP request; [`Input::Taken`] or [`Input::Lost`] must follow. Until then the session gets no further events.
    Respond(HttpId, Response),
    /// Find the positions of a new subscription, and read its partitions from now on.
    Subscribe(SubscribeTicket, Pattern),
    /// One listener less for this pattern, of those whose subscribe succeeded.
    Unsubscribe(Pattern),
    /// Produce.
    Publish {
        /// For [`Input::Published`].
        ticket: PublishTicket,
        /// Publishes of one session must reach the log in the order of these outputs.
        session: SessionKey,
        /// Where.
        channel: Channel,
        /// The message's id, the JSON of it.
        id: Option<Bytes>,
        /// The JSON of `data`.
        data: Bytes,
        /// `ext.binary` as it came: `data` holds bytes.
        binary: Option<Bytes>,
    },
    /// A session that published on a `/service` channel ended.
    Ended(SessionKey),
    /// Close a WebSocket or event stream once what it has to write is written; [`Input::SocketClosed`] must follow in bounded time.
    Close {
        /// Which.
        socket: SocketKey,
        /// The close code (RFC 6455 §7.4).
        code: u16,
        /// The close reason.
        reason: &'static str,
        /// How long to wait for the client to close first.
        grace: Duration,
    },
}

/// An HTTP response: an array of these JSON objects, never empty unless the request was.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// Events, then replies; complete JSON objects.
    pub objects: Vec<Bytes>,
    /// A browser cookie to set.
    pub browser: Option<Box<str>>,
}

/// A publish whose outcome is in a response, until that is known to be written: a client that never sees it will publish again.
#[derive(Clone, Debug)]
pub struct Answer {
    session: SessionKey,
    twin: publish::Twin,
    result: Result<(), Error>,
}

/// Counters since the start and present sizes, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Sessions there are.
    pub sessions: usize,
    /// WebSockets there are.
    pub sockets: usize,
    /// Event streams there are.
    pub streams: usize,
    /// Subscriptions there are.
    pub subscriptions: usize,
    /// Sessions made.
    pub handshakes: u64,
    /// Handshakes refused.
    pub handshakes_refused: u64,
    /// Events queued for a session.
    pub deliveries: u64,
    /// Their bytes.
    pub delivered_bytes: u64,
    /// Sessions ended because their queue was full.
    pub slow_consumers: u64,
    /// Sessions ended for want of activity.
    pub inactive: u64,
    /// Sessions that expired, or made room before they had connected.
    pub expired: u64,
    /// Messages refused with an error, publishes' outcomes aside.
    pub refused: u64,
    /// Publishes that got the result of an identical one.
    pub twins: u64,
    /// What was refused by a limit.
    pub limited: Limited,
}

/// Messages refused by a limit, by the setting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limited {
    /// `limits.sessions_per_address`
    pub sessions_per_address: u64,
    /// `limits.subscriptions`
    pub subscriptions: u64,
    /// `limits.publish_rate`
    pub publish_rate: u64,
    /// `publish.in_flight_per_session`
    pub in_flight_per_session: u64,
}
