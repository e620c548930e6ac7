//! The settings, checked: what the rest of the program is built from.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::Deref;
use std::path::PathBuf;
use std::time::Duration;

use tracing_subscriber::filter::{LevelFilter, Targets};

use super::ConnectionType;

/// All settings. `Default` is what holds when nothing is set.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where browsers connect; one address at least.
    pub listen: Vec<SocketAddr>,
    /// Where `/healthz`, `/readyz` and `/metrics` are.
    pub admin: SocketAddr,
    /// librdkafka's properties.
    pub kafka: Kafka,
    /// Folders of mapping files, and mapping files; relative ones in the settings file start from its folder.
    pub mappings: Vec<PathBuf>,
    /// The Bayeux protocol.
    pub bayeux: Bayeux,
    /// Origins allowed besides the server's own: `https://app.example.com`, `https://*.example.com` or `*`.
    pub origins: Vec<String>,
    /// Bounds on what a client may send.
    pub limits: Limits,
    /// Subscribing.
    pub subscribe: Subscribe,
    /// Publishing.
    pub publish: Publish,
    /// A session's queue.
    pub queue: Queue,
    /// How long a shutdown may take.
    pub drain: Duration,
    /// TLS for `listen`.
    pub tls: Tls,
    /// What readiness depends on.
    pub ready: Ready,
    /// Threads that sessions live on; `None`: one a core.
    pub shards: Option<NonZeroUsize>,
    /// The log.
    pub log: Log,
}

/// librdkafka's properties by name. Values that may be secret do not show in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Kafka(pub BTreeMap<String, String>);

/// Settings of the Bayeux protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bayeux {
    /// Paths that Bayeux is mounted on: each begins with `/` and ends without, but for `/` itself.
    pub path: Vec<String>,
    /// Transports that are offered: one at least, in the order of [`ConnectionType::ALL`].
    pub transports: Vec<ConnectionType>,
    /// WebSockets.
    pub websocket: WebSocket,
    /// How long a `/meta/connect` is held.
    pub timeout: Duration,
    /// How long clients wait between two `/meta/connect`.
    pub interval: Duration,
    /// How long a session lives without a `/meta/connect`.
    pub max_interval: Duration,
    /// Sessions that do nothing.
    pub activity: Activity,
    /// Sessions of one browser that may hold a poll at a time over HTTP/1.1; `None`: any number. With 0 no poll is held.
    pub clients_per_browser: Option<usize>,
    /// How often the other sessions of a browser poll; zero: they are refused.
    pub multi_client_interval: Duration,
    /// The `BAYEUX_BROWSER` cookie.
    pub cookie: Cookie,
}

/// When sessions end that do nothing but connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Activity {
    /// What counts as doing something; `None`: they do not end.
    pub mode: Option<ActivityMode>,
    /// How long nothing may be done.
    pub period: Duration,
}

/// What counts as doing something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActivityMode {
    /// What the client sends.
    Client,
    /// That, and events for it.
    ClientServer,
}

/// Settings of WebSockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSocket {
    /// Whether messages are compressed for clients that offer it.
    pub compression: bool,
}

/// Attributes of the `BAYEUX_BROWSER` cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// `Secure`
    pub secure: bool,
    /// `SameSite`
    pub same_site: SameSite,
    /// `Partitioned`
    pub partitioned: bool,
    /// `Domain`
    pub domain: Option<String>,
    /// `Path`
    pub path: String,
    /// `Max-Age`; `None`: the cookie ends with the browser's session.
    pub max_age: Option<Duration>,
}

/// The cookie attribute `SameSite`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// `Strict`
    Strict,
    /// `Lax`
    Lax,
    /// `None`, for pages of another site; such a cookie is `Secure`.
    None,
}

/// Bounds on what a client may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request body or WebSocket message.
    pub body: usize,
    /// Messages of a request or WebSocket message.
    pub batch: usize,
    /// Nesting of JSON.
    pub depth: usize,
    /// Bytes of a channel's name.
    pub channel: usize,
    /// Subscriptions of a session.
    pub subscriptions: usize,
    /// Sessions that have not connected yet.
    pub unconnected: usize,
    /// Sessions of one address; `None`: any number.
    pub sessions_per_address: Option<usize>,
    /// Publishes of one session in a second; `None`: any number.
    pub publish_rate: Option<NonZeroU32>,
    /// Open connections of clients; `None`: as many as the system allows.
    pub sockets: Option<usize>,
    /// Bytes of a request's head.
    pub header_bytes: usize,
    /// Time for a request's head, and between requests.
    pub header_timeout: Duration,
    /// Requests that a connection may send ahead of an answer.
    pub pipelined: usize,
    /// Time for a request's body.
    pub body_timeout: Duration,
    /// Whether `/*` and `/**` may be subscribed to.
    pub root_patterns: bool,
}

/// Settings of subscribing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// How long a subscribe may wait for Kafka.
    pub timeout: Duration,
}

/// Settings of publishing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// How long Kafka may take to acknowledge a record: librdkafka's `message.timeout.ms`.
    pub timeout: Duration,
    /// Publishes of one session that are not yet acknowledged.
    pub in_flight_per_session: usize,
    /// Publishes of the node that are not yet acknowledged.
    pub in_flight: usize,
}

/// Settings of a session's queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Bytes that wait for one client.
    pub bytes: usize,
}

/// Files in PEM for TLS. Certificate and key come together or not at all, the authorities only with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The certificate, and those that lead to its authority.
    pub cert: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
    /// The authorities of clients' certificates, which are required with it.
    pub client_ca: Option<PathBuf>,
}

/// What readiness depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// Whether a node without Kafka is not ready.
    pub kafka: bool,
}

/// Settings of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// What is logged: a level, or levels for parts of the program.
    pub level: Targets,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

// === impl Settings ===

impl Settings {
    /// The number of shards to start: as set, or one a core.
    pub fn shard_count(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        self.shards.map_or_else(cores, NonZeroUsize::get)
    }
}

impl Default for Settings {
    fn default() -> Self {
        let any = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        Self {
            listen: vec![any(8080)],
            admin: any(9080),
            kafka: Kafka::default(),
            mappings: vec![PathBuf::from("mappings/")],
            bayeux: Bayeux::default(),
            origins: Vec::new(),
            limits: Limits::default(),
            subscribe: Subscribe::default(),
            publish: Publish::default(),
            queue: Queue { bytes: 1 << 20 },
            drain: Duration::from_secs(20),
            tls: Tls::default(),
            ready: Ready { kafka: false },
            shards: None,
            log: Log::default(),
        }
    }
}

impl Default for Bayeux {
    fn default() -> Self {
        Self {
            path: vec!["/cometd".to_owned()],
            transports: ConnectionType::ALL.to_vec(),
            websocket: WebSocket { compression: true },
            timeout: Duration::from_secs(30),
            interval: Duration::ZERO,
            max_interval: Duration::from_mins(1),
            activity: Activity::default(),
            clients_per_browser: Some(1),
            multi_client_interval: Duration::from_secs(2),
            cookie: Cookie::default(),
        }
    }
}

impl Default for Activity {
    fn default() -> Self {
        Self { mode: None, period: Duration::from_mins(15) }
    }
}

impl Default for Cookie {
    fn default() -> Self {
        Self {
            secure: false,
            same_site: SameSite::Lax,
            partitioned: false,
            domain: None,
            path: "/".to_owned(),
            max_age: None,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 1 << 20,
            batch: 1000,
            depth: 64,
            channel: 400,
            subscriptions: 1000,
            unconnected: 20_000,
            sessions_per_address: None,
            publish_rate: None,
            sockets: None,
            header_bytes: 32 << 10,
            header_timeout: Duration::from_secs(30),
            pipelined: 8,
            body_timeout: Duration::from_secs(30),
            root_patterns: true,
        }
    }
}

impl Default for Subscribe {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(8) }
    }
}

impl Default for Publish {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(8), in_flight_per_session: 256, in_flight: 16384 }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { level: Targets::new().with_default(LevelFilter::INFO), format: LogFormat::Text }
    }
}

// === impl Kafka ===

impl Default for Kafka {
    fn default() -> Self {
        Self(BTreeMap::from([("bootstrap.servers".to_owned(), "localhost:9092".to_owned())]))
    }
}

impl Deref for Kafka {
    type Target = BTreeMap<String, String>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl fmt::Debug for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |(name, value)| (name, if may_show(name) { value } else { "***" });
        f.debug_map()
            .entries(self.iter().map(|(name, value)| shown((name.as_str(), value.as_str()))))
            .finish()
    }
}

/// Whether the value of a librdkafka property is surely no secret.
fn may_show(name: &str) -> bool {
    const SECRET: [&str; 9] =
        ["password", "secret", "token", "key", "credential", "jaas", "oauthbearer", "username", "pem"];
    !SECRET.iter().any(|part| name.contains(part))
}
