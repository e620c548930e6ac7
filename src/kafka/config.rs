//! librdkafka's properties: Halley's defaults, then the user's, then what has to hold.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::time::Duration;

use super::Error;
use super::ffi::{Client, Properties};
use super::native::{Kind, Refused};

/// Properties of all of Halley's Kafka clients, checked.
#[derive(Clone)]
pub struct Config {
    user: BTreeMap<String, String>,
    publish_timeout: Duration,
}

/// A property that can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadProperty {
    /// The property's name; empty where librdkafka objects to several together.
    pub name: String,
    /// What is wrong, without the value where that may be a secret.
    pub reason: String,
}

/// What a sidecar wants otherwise than librdkafka; users override these.
const DEFAULTS: &[(&str, &str)] = &[
    ("client.id", "halley"),
    // Memory: what waits to be read, and what waits to be sent.
    ("queued.max.messages.kbytes", "8192"),
    ("queue.buffering.max.kbytes", "32768"),
    // Time: a reader that lagged goes on at once, a broker that restarts is found at once, an acknowledgement is not kept waiting.
    ("fetch.queue.backoff.ms", "10"),
    ("fetch.error.backoff.ms", "100"),
    // A partition that is newly read joins the next fetch, so this bounds how long its first record takes.
    ("fetch.wait.max.ms", "100"),
    // A broker that hangs is left after this, for the one that leads by then, so an answer has to come within it even over a narrow
    // network: the next line bounds how large one is for each partition.
    ("socket.timeout.ms", "10000"),
    ("max.partition.fetch.bytes", "65536"),
    ("reconnect.backoff.max.ms", "1000"),
    ("topic.metadata.refresh.interval.ms", "30000"),
    ("socket.nagle.disable", "true"),
    ("linger.ms", "0"),
];

/// Names that the user can't set, since what Halley promises rests on them, and why.
const OURS: &[(&str, &str)] = &[
    ("enable.idempotence", "publishes are always idempotent"),
    ("acks", "publishes always wait for all in-sync replicas"),
    ("request.required.acks", "publishes always wait for all in-sync replicas"),
    ("message.timeout.ms", "set publish.timeout"),
    ("delivery.timeout.ms", "set publish.timeout"),
    ("transactional.id", "Halley does not publish in transactions"),
    ("isolation.level", "Halley always reads what is committed"),
    ("group.id", "Halley reads without consumer groups"),
    ("group.instance.id", "Halley reads without consumer groups"),
    ("group.protocol", "Halley reads without consumer groups"),
    ("enable.auto.commit", "Halley reads without consumer groups"),
    ("auto.commit.enable", "Halley reads without consumer groups"),
    ("enable.auto.offset.store", "Halley reads without consumer groups"),
    ("auto.offset.reset", "where reading starts is up to each subscription"),
    ("enable.partition.eof", "Halley needs to know where partitions end"),
    ("allow.auto.create.topics", "Halley never creates topics"),
    ("log.queue", "librdkafka's log lines go to Halley's log"),
];

// === impl Config ===

impl Config {
    /// Checks `properties`, librdkafka's by its own names, without asking Kafka. `publish_timeout` is how long a publish may take.
    ///
    /// # Errors
    ///
    /// Every property that is unknown, has a bad value, or is not the user's to set.
    pub fn new(
        properties: BTreeMap<String, String>,
        publish_timeout: Duration,
    ) -> Result<Self, Vec<BadProperty>> {
        let bad: Vec<_> = properties.iter().filter_map(|(name, value)| bad_property(name, value)).collect();
        if !bad.is_empty() {
            return Err(bad);
        }
        let config = Self { user: properties, publish_timeout };
        // Some properties only clash when a client is made of them.
        for kind in [Kind::Consumer, Kind::Producer] {
            if let Err(error) = config.without_brokers().client(kind) {
                return Err(vec![BadProperty { name: String::new(), reason: error.to_string() }]);
            }
        }
        Ok(config)
    }

    /// The same, but of a client that has nobody to call.
    fn without_brokers(&self) -> Self {
        let mut user = self.user.clone();
        user.retain(|name, _| !matches!(name.as_str(), "bootstrap.servers" | "metadata.broker.list"));
        Self { user, publish_timeout: self.publish_timeout }
    }

    /// The same, but of a producer that sends one record at a time to a partition.
    pub(super) fn one_by_one(&self) -> Self {
        let mut user = self.user.clone();
        user.insert("batch.num.messages".into(), "1".into());
        Self { user, publish_timeout: self.publish_timeout }
    }

    /// The same, but of a client for short questions: a broker that does not answer one is left while there is time to ask another.
    pub(super) fn inquiring(&self) -> Self {
        const PATIENCE: Duration = Duration::from_secs(2);
        let mut user = self.user.clone();
        let own = user.get("socket.timeout.ms").and_then(|value| value.parse().ok());
        let patience = own.map_or(PATIENCE, |own| PATIENCE.min(Duration::from_millis(own)));
        user.insert("socket.timeout.ms".into(), patience.as_millis().to_string());
        Self { user, publish_timeout: self.publish_timeout }
    }

    /// Starts a client.
    pub(super) fn client(&self, kind: Kind) -> Result<Client, Error> {
        let mut properties = Properties::new();
        let mut set = |name: &str, value: &str| {
            let refused = |refused| match refused {
                Refused::Unknown => Error::Start(format!("{name}: no such property")),
                Refused::Invalid(reason) => Error::Start(reason),
            };
            properties.set(name, value).map_err(refused)
        };
        for (name, value) in DEFAULTS {
            set(name, value)?;
        }
        set("fetch.max.bytes", &self.fetch_max_bytes())?;
        for (name, value) in &self.user {
            set(name, value)?;
        }
        for (name, value) in self.musts(kind) {
            set(name, &value)?;
        }
        Client::new(kind, properties, self.bootstrap()).map_err(Error::Start)
    }

    /// The brokers that are called first; empty where there are none.
    fn bootstrap(&self) -> CString {
        let named =
            ["bootstrap.servers", "metadata.broker.list"].iter().find_map(|name| self.user.get(*name));
        CString::new(named.cloned().unwrap_or_default()).unwrap_or_default()
    }

    /// How long a publish may take.
    pub fn publish_timeout(&self) -> Duration {
        self.publish_timeout
    }

    /// A fetch brings up to 8 MiB; librdkafka insists that a message of the greatest size fits.
    fn fetch_max_bytes(&self) -> String {
        const WANTED: u64 = 8 << 20;
        let message = self.user.get("message.max.bytes").and_then(|value| value.parse::<u64>().ok());
        message.unwrap_or_default().max(WANTED).to_string()
    }

    fn musts(&self, kind: Kind) -> Vec<(&'static str, String)> {
        let mut musts = vec![("allow.auto.create.topics", "false".into())];
        match kind {
            Kind::Consumer => musts.extend([
                // librdkafka wants a group even where partitions are assigned by hand; it is never joined.
                ("group.id", "halley".into()),
                ("enable.auto.commit", "false".into()),
                ("enable.auto.offset.store", "false".into()),
                ("isolation.level", "read_committed".into()),
                ("auto.offset.reset", "error".into()),
                ("enable.partition.eof", "true".into()),
            ]),
            Kind::Producer => musts.extend([
                ("enable.idempotence", "true".into()),
                ("acks", "all".into()),
                ("message.timeout.ms", self.publish_timeout.as_millis().to_string()),
            ]),
        }
        musts
    }
}

impl std::fmt::Debug for Config {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("properties", &self.user.keys()).finish_non_exhaustive()
    }
}

fn bad_property(name: &str, value: &str) -> Option<BadProperty> {
    if let Some((_, why)) = OURS.iter().find(|(ours, _)| *ours == name) {
        return Some(BadProperty { name: name.into(), reason: format!("can't be set: {why}") });
    }
    let reason = match Properties::new().set(name, value) {
        Ok(()) => return None,
        Err(Refused::Unknown) => "librdkafka has no such property".into(),
        Err(Refused::Invalid(_)) if is_secret(name) => "librdkafka does not accept the value".into(),
        Err(Refused::Invalid(reason)) => reason,
    };
    Some(BadProperty { name: name.into(), reason })
}

/// Whether a property's value must not be shown.
fn is_secret(name: &str) -> bool {
    ["password", "secret", "pem", "jaas", "oauthbearer.config"].iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(properties: &[(&str, &str)]) -> Result<Config, Vec<BadProperty>> {
        let properties = properties.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Config::new(properties, Duration::from_secs(8))
    }

    #[test]
    fn what_users_set_is_taken() {
        config(&[]).unwrap();
        config(&[("bootstrap.servers", "a:1,b:2"), ("linger.ms", "20"), ("message.max.bytes", "20000000")])
            .unwrap();
        config(&[
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanisms", "SCRAM-SHA-256"),
            ("sasl.username", "u"),
            ("sasl.password", "p"),
        ])
        .unwrap();
    }

    #[test]
    fn every_bad_property_is_named_with_its_reason() {
        let bad =
            config(&[("acks", "1"), ("fetch.min.bytes", "many"), ("no.such.thing", "1"), ("client.id", "x")])
                .unwrap_err();
        let bad: Vec<_> = bad.iter().map(|bad| (bad.name.as_str(), bad.reason.as_str())).collect();
        assert_eq!(bad.len(), 3, "{bad:?}");
        assert_eq!(bad[0], ("acks", "can't be set: publishes always wait for all in-sync replicas"));
        assert!(bad[1].0 == "fetch.min.bytes" && bad[1].1.contains("fetch.min.bytes"), "{bad:?}");
        assert_eq!(bad[2], ("no.such.thing", "librdkafka has no such property"));
    }

    #[test]
    fn properties_that_clash_are_found_without_kafka() {
        let bad =
            config(&[("reconnect.backoff.ms", "5000"), ("reconnect.backoff.max.ms", "100")]).unwrap_err();
        assert!(bad[0].reason.contains("reconnect.backoff"), "{bad:?}");
        let bad = config(&[("security.protocol", "ssl"), ("ssl.ca.location", "/no/such/file")]).unwrap_err();
        assert!(bad[0].reason.contains("ssl.ca.location"), "{bad:?}");
    }

    #[test]
    fn the_reference_names_every_default_and_every_name_that_is_ours() {
        let reference = include_str!("../../docs/settings.md");
        for (name, value) in DEFAULTS {
            assert!(reference.contains(&format!("| `{name}` | `{value}` |")), "{name}");
        }
        for (name, _) in OURS {
            assert!(reference.contains(&format!("`{name}`")), "{name}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let config = config(&[("sasl.password", "hunter2")]).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
