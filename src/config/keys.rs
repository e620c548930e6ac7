//! Every setting: its name, default, meaning and how it is read. One table drives parsing, "did you mean" and the
//! reference in `docs/settings.md`.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::ConnectionType;
use super::settings::{ActivityMode, LogFormat, SameSite, Settings};
use super::value::{Given, Wrong};

/// One setting.
pub(super) struct Key {
    /// Sections and key with `.` between.
    pub(super) name: &'static str,
    /// The default, as YAML.
    pub(super) default: &'static str,
    /// What values it takes; empty for what does not work yet.
    pub(super) takes: &'static str,
    /// What it does, in Markdown.
    pub(super) meaning: &'static str,
    /// Checks a value and puts it in its place. `None`: not yet, any value but the default is refused.
    pub(super) set: Option<Set>,
}

/// Checks a value and puts it in its place.
type Set = fn(&mut Settings, &Given<'_>) -> Result<(), Wrong>;

/// The section whose keys are librdkafka's.
pub(super) const KAFKA: &str = "kafka";

const MIB: usize = 1 << 20;
const COUNT: usize = 1_000_000_000;
const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
/// librdkafka keeps milliseconds in 31 bits.
const KAFKA_LONGEST: Duration = Duration::from_hours(24);

const fn key(
    name: &'static str,
    default: &'static str,
    takes: &'static str,
    meaning: &'static str,
    set: Set,
) -> Key {
    Key { name, default, takes, meaning, set: Some(set) }
}

const fn not_yet(name: &'static str, default: &'static str, meaning: &'static str) -> Key {
    Key { name, default, takes: "", meaning, set: None }
}

/// All settings but those of `kafka`, section by section.
pub(super) const KEYS: &[Key] = &[
    key("listen", "0.0.0.0:8080", "address or list of addresses", "Where browsers connect.", |s, v| {
        s.listen = v.list_of_one_at_least(Given::address)?;
        Ok(())
    }),
    key(
        "admin",
        "0.0.0.0:9080",
        "address",
        "Where `/healthz`, `/readyz` and `/metrics` are; nothing secret.",
        |s, v| {
            s.admin = v.address()?;
            Ok(())
        },
    ),
    not_yet("console", "null", "Address of the console."),
    key(
        "mappings",
        "mappings/",
        "folder, or list of files and folders",
        "The mapping files: of a folder, every `*.yaml` and `*.yml` in it. A relative path starts from the folder of the settings file.",
        |s, v| {
            s.mappings = v.list_of_one_at_least(Given::path)?;
            Ok(())
        },
    ),
    key(
        "bayeux.path",
        "[/cometd]",
        "path or list of paths",
        "Where Bayeux is mounted; what follows the path is up to the client.",
        |s, v| {
            s.bayeux.path = v.list_of_one_at_least(Given::mount)?;
            Ok(())
        },
    ),
    not_yet("bayeux.dialect", "cometd", "`salesforce`: the texts that Salesforce's clients expect."),
    key(
        "bayeux.transports",
        "all",
        "`all`, or a list of `websocket`, `eventsource`, `long-polling`, `cross-origin-long-polling`, `callback-polling`",
        "The [transports](transports.md) that are offered in `supportedConnectionTypes`; others are refused.",
        |s, v| {
            s.bayeux.transports = transports(v)?;
            Ok(())
        },
    ),
    key(
        "bayeux.websocket.compression",
        "true",
        "`true`, `false`",
        "WebSockets are compressed (`permessage-deflate`) for clients that offer it: events of 1 KiB and more.",
        |s, v| {
            s.bayeux.websocket.compression = v.boolean()?;
            Ok(())
        },
    ),
    key(
        "bayeux.timeout",
        "30s",
        "duration",
        "How long a `/meta/connect` is held when there is nothing to deliver.",
        |s, v| {
            s.bayeux.timeout = v.duration_from(Duration::ZERO)?;
            Ok(())
        },
    ),
    key(
        "bayeux.interval",
        "0s",
        "duration",
        "How long a client waits between two `/meta/connect`.",
        |s, v| {
            s.bayeux.interval = v.duration_from(Duration::ZERO)?;
            Ok(())
        },
    ),
    key(
        "bayeux.max_interval",
        "60s",
        "duration",
        "How long a session lives when its client does not send the next `/meta/connect`; a partition stays assigned as long after its last listener.",
        |s, v| {
            s.bayeux.max_interval = v.duration_from(SECOND)?;
            Ok(())
        },
    ),
    key(
        "bayeux.clients_per_browser",
        "1",
        "number, negative or `null` for any number",
        "Sessions of one browser, as the cookie `BAYEUX_BROWSER` tells, that may hold a poll at a time over HTTP/1.1, where a browser opens few connections; with `0` no poll is held at all.",
        |s, v| {
            s.bayeux.clients_per_browser = v.optional(Given::count)?.flatten();
            Ok(())
        },
    ),
    key(
        "bayeux.multi_client_interval",
        "2s",
        "duration",
        "How often the other sessions of a browser poll; `0s` refuses them.",
        |s, v| {
            s.bayeux.multi_client_interval = v.duration_from(Duration::ZERO)?;
            Ok(())
        },
    ),
    key(
        "bayeux.activity.mode",
        "null",
        "`client`, `client_server`",
        "Ends sessions that only connect: `client` if the client does nothing else, `client_server` if no events come for it either.",
        |s, v| {
            let words = [("client", ActivityMode::Client), ("client_server", ActivityMode::ClientServer)];
            s.bayeux.activity.mode = v.optional(|v| v.choice(&words))?;
            Ok(())
        },
    ),
    key("bayeux.activity.period", "15m", "duration", "After how long of that.", |s, v| {
        s.bayeux.activity.period = v.duration_from(SECOND)?;
        Ok(())
    }),
    key(
        "bayeux.cookie.secure",
        "false",
        "`true`, `false`",
        "The cookie `BAYEUX_BROWSER` is sent over TLS only.",
        |s, v| {
            s.bayeux.cookie.secure = v.boolean()?;
            Ok(())
        },
    ),
    key(
        "bayeux.cookie.same_site",
        "lax",
        "`strict`, `lax`, `none`",
        "Its `SameSite`. Pages of another site need `none`, which needs `secure: true`.",
        |s, v| {
            let words = [("strict", SameSite::Strict), ("lax", SameSite::Lax), ("none", SameSite::None)];
            s.bayeux.cookie.same_site = v.choice(&words)?;
            Ok(())
        },
    ),
    key(
        "bayeux.cookie.partitioned",
        "false",
        "`true`, `false`",
        "Its `Partitioned`; needs `secure: true`.",
        |s, v| {
            s.bayeux.cookie.partitioned = v.boolean()?;
            Ok(())
        },
    ),
    key("bayeux.cookie.domain", "null", "domain", "Its `Domain`; unset, the host that set it.", |s, v| {
        s.bayeux.cookie.domain = v.optional(Given::domain)?;
        Ok(())
    }),
    key("bayeux.cookie.path", "/", "path", "Its `Path`.", |s, v| {
        s.bayeux.cookie.path = v.mount()?;
        Ok(())
    }),
    key(
        "bayeux.cookie.max_age",
        "null",
        "duration",
        "Its `Max-Age`; unset, until the browser closes.",
        |s, v| {
            s.bayeux.cookie.max_age = v.optional(|v| v.duration_from(SECOND))?;
            Ok(())
        },
    ),
    key(
        "origins",
        "[]",
        "list of origins",
        "Pages that may connect besides those of the same origin: `https://app.example.com`, `https://*.example.com`; `\"*\"` allows all.",
        |s, v| {
            s.origins = v.list(Given::origin_pattern)?;
            Ok(())
        },
    ),
    not_yet("trusted_proxies", "[]", "Networks whose `X-Forwarded-*` headers count."),
    not_yet("upstream", "null", "URL of the application that every other path is passed on to."),
    not_yet("auth.anonymous", "true", "Whether clients connect without credentials."),
    not_yet("auth.jwt", "null", "Clients are who their token says they are."),
    not_yet("auth.webhook", "null", "The application says who a client is."),
    key("limits.body", "1MiB", "size", "A request's body, or a WebSocket message.", |s, v| {
        s.limits.body = v.size(1024..=1024 * MIB)?;
        Ok(())
    }),
    key("limits.batch", "1000", "number", "Messages in one of them.", |s, v| {
        s.limits.batch = v.number(1..=COUNT)?;
        Ok(())
    }),
    key("limits.depth", "64", "number", "Nesting of its JSON.", |s, v| {
        s.limits.depth = v.number(4..=120)?;
        Ok(())
    }),
    key("limits.channel", "400", "number", "Bytes of a channel's name.", |s, v| {
        s.limits.channel = v.number(16..=65_536)?;
        Ok(())
    }),
    key("limits.subscriptions", "1000", "number", "Subscriptions of one session.", |s, v| {
        s.limits.subscriptions = v.number(1..=COUNT)?;
        Ok(())
    }),
    key(
        "limits.unconnected",
        "20000",
        "number",
        "Sessions that have shaken hands and not connected yet; past it the oldest of them ends.",
        |s, v| {
            s.limits.unconnected = v.number(1..=COUNT)?;
            Ok(())
        },
    ),
    key(
        "limits.sessions_per_address",
        "null",
        "number",
        "Sessions of one address (of IPv6: of one /64 network); past it handshakes are refused.",
        |s, v| {
            s.limits.sessions_per_address = v.optional(|v| v.number(1..=COUNT))?;
            Ok(())
        },
    ),
    not_yet("limits.sessions_per_subject", "null", "Sessions of one user."),
    key(
        "limits.publish_rate",
        "null",
        "rate",
        "Publishes of one session in a second, and as many at once after a pause: `100/s`.",
        |s, v| {
            s.limits.publish_rate = v.optional(Given::rate)?;
            Ok(())
        },
    ),
    key("limits.header_bytes", "32KiB", "size", "A request's line and headers.", |s, v| {
        s.limits.header_bytes = v.size(8192..=MIB)?;
        Ok(())
    }),
    key(
        "limits.header_timeout",
        "30s",
        "duration",
        "For a request's line and headers to arrive, and between two requests of a connection; for a TLS handshake.",
        |s, v| {
            s.limits.header_timeout = v.duration_from(MILLISECOND)?;
            Ok(())
        },
    ),
    key(
        "limits.body_timeout",
        "30s",
        "duration",
        "For a request's body to arrive, or a WebSocket message that has begun.",
        |s, v| {
            s.limits.body_timeout = v.duration_from(MILLISECOND)?;
            Ok(())
        },
    ),
    key(
        "limits.pipelined",
        "8",
        "number",
        "Requests that a connection may send ahead of an answer that it waits for; one that sends more is closed.",
        |s, v| {
            s.limits.pipelined = v.number(0..=COUNT)?;
            Ok(())
        },
    ),
    key(
        "limits.sockets",
        "null",
        "number",
        "Open connections of clients; past it new ones are told 503 and closed.",
        |s, v| {
            s.limits.sockets = v.optional(|v| v.number(1..=COUNT))?;
            Ok(())
        },
    ),
    key(
        "limits.root_patterns",
        "true",
        "`true`, `false`",
        "Whether `/*` and `/**` may be subscribed to.",
        |s, v| {
            s.limits.root_patterns = v.boolean()?;
            Ok(())
        },
    ),
    key(
        "subscribe.timeout",
        "8s",
        "duration",
        "How long a subscribe may wait for Kafka. Clients give up after 10 s.",
        |s, v| {
            s.subscribe.timeout = v.duration_from(MILLISECOND)?;
            Ok(())
        },
    ),
    key(
        "publish.timeout",
        "8s",
        "duration",
        "How long Kafka may take to acknowledge a record (librdkafka's `message.timeout.ms`). Clients give up after 10 s.",
        |s, v| {
            s.publish.timeout = v.duration(MILLISECOND..=KAFKA_LONGEST)?;
            Ok(())
        },
    ),
    key(
        "publish.in_flight_per_session",
        "256",
        "number",
        "Publishes of one session that Kafka has not acknowledged, and as many requests that wait for their reply; past it the answer is `busy`.",
        |s, v| {
            s.publish.in_flight_per_session = v.number(1..=COUNT)?;
            Ok(())
        },
    ),
    key("publish.in_flight", "16384", "number", "The same for the node.", |s, v| {
        s.publish.in_flight = v.number(1..=COUNT)?;
        Ok(())
    }),
    not_yet("replay.buffer", "4MiB", "Latest records that are kept of a partition."),
    not_yet("replay.readers", "3", "Readers for those who catch up."),
    not_yet("replay.snapshot_max_bytes", "64MiB", "The largest snapshot."),
    key(
        "queue.bytes",
        "1MiB",
        "size",
        "What may wait for one client; past it the client is slow and disconnected.",
        |s, v| {
            s.queue.bytes = v.size(4096..=1024 * MIB)?;
            Ok(())
        },
    ),
    not_yet("queue.max_lag", "null", "How far a slow client may fall behind."),
    not_yet("memory", "256MiB", "One budget for buffers and queues."),
    key("drain", "20s", "duration", "How long a shutdown may take.", |s, v| {
        s.drain = v.duration_from(Duration::ZERO)?;
        Ok(())
    }),
    key(
        "tls.cert",
        "null",
        "file",
        "Certificate in PEM, followed by those that lead to its authority. With it `listen` is TLS, and the file is read again when it changes.",
        |s, v| {
            s.tls.cert = v.optional(Given::path)?;
            Ok(())
        },
    ),
    key("tls.key", "null", "file", "Its private key in PEM, without a password.", |s, v| {
        s.tls.key = v.optional(Given::path)?;
        Ok(())
    }),
    key(
        "tls.client_ca",
        "null",
        "file",
        "Authorities in PEM. With it clients must show a certificate by one of them.",
        |s, v| {
            s.tls.client_ca = v.optional(Given::path)?;
            Ok(())
        },
    ),
    not_yet("registry", "null", "The schema registry."),
    key(
        "ready.kafka",
        "false",
        "`true`, `false`",
        "Whether `/readyz` fails while Kafka is out of reach.",
        |s, v| {
            s.ready.kafka = v.boolean()?;
            Ok(())
        },
    ),
    key(
        "shards",
        "auto",
        "`auto` or number",
        "Threads that sessions live on; `auto` is one a core.",
        |s, v| {
            s.shards = match v.text("auto or a number")?.trim() {
                "auto" => None,
                _ => NonZeroUsize::new(v.number(1..=256)?),
            };
            Ok(())
        },
    ),
    key(
        "log.level",
        "info",
        "`error`, `warn`, `info`, `debug`, `trace`, `off`",
        "What is logged. Parts of the program can have a level of their own: `info,halley::kafka=debug`.",
        |s, v| {
            s.log.level = v.log_level()?;
            Ok(())
        },
    ),
    key(
        "log.format",
        "text",
        "`text`, `json`",
        "Lines for people, or one JSON object a line; to standard error.",
        |s, v| {
            s.log.format = v.choice(&[("text", LogFormat::Text), ("json", LogFormat::Json)])?;
            Ok(())
        },
    ),
];

fn transports(given: &Given<'_>) -> Result<Vec<ConnectionType>, Wrong> {
    let offered = given.list_of_one_at_least(|item| {
        let name = item.text("a transport")?;
        match ConnectionType::parse(&name) {
            Some(kind) => Ok(vec![kind]),
            None if name == "all" => Ok(ConnectionType::ALL.to_vec()),
            None => {
                let names = ConnectionType::ALL.map(ConnectionType::name).join(", ");
                let wrong = Wrong::new(format!("{name:?} is not a transport"));
                Err(wrong.hint(format!("all, or a list of {names}")))
            }
        }
    })?;
    let offered = offered.concat();
    Ok(ConnectionType::ALL.into_iter().filter(|kind| offered.contains(kind)).collect())
}

/// Names and defaults (as YAML) of all settings but those of `kafka`.
pub fn defaults() -> impl Iterator<Item = (&'static str, &'static str)> {
    KEYS.iter().map(|key| (key.name, key.default))
}

/// The settings as Markdown tables: those that work, and those that do not yet.
pub fn reference() -> String {
    let works = KEYS.iter().filter(|key| key.set.is_some());
    let rows = works.map(|Key { name, default, takes, meaning, .. }| {
        format!("| `{name}` | `{default}` | {takes} | {meaning} |\n")
    });
    let kafka = "| `kafka.*` | `bootstrap.servers: localhost:9092` | text | Every property of librdkafka by its name. |\n";
    let not_yet = KEYS.iter().filter(|key| key.set.is_none());
    let later =
        not_yet.map(|Key { name, default, meaning, .. }| format!("| `{name}` | `{default}` | {meaning} |\n"));
    format!(
        "| key | default | values | meaning |\n| --- | --- | --- | --- |\n{kafka}{}\n\
         Not yet: any value but the default is refused.\n\n\
         | key | default | meaning |\n| --- | --- | --- |\n{}",
        rows.collect::<String>(),
        later.collect::<String>()
    )
}
