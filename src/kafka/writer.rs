//! Writes records, and tells what became of each.

use std::ffi::CString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::native::{Code, Outgoing};
use super::producer::{Alone, Producer};
use super::{Config, Error};

/// How long a look at one topic may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);
/// How soon it is looked again where a broker does not know of a topic's new partitions yet.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The idempotent producer: `acks=all`, every record reported within the publish time-out. A cheap handle.
#[derive(Clone)]
pub struct Writer(Arc<Inner>);

/// A record to write; everything is copied.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    /// The topic, which has to exist.
    pub topic: &'a str,
    /// The partition, from 0.
    pub partition: i32,
    /// The key; `None` is a record without key.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Headers in order.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
    /// Comes back in the report.
    pub token: u64,
}

/// Why a record was not even taken. It is not in Kafka, and there will be no report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Too much waits for Kafka already.
    #[error("too many records wait for Kafka")]
    Busy,
    /// Larger than `message.max.bytes`.
    #[error("the record is too large")]
    TooLarge,
    /// The topic, or the partition, is not there.
    #[error("no such topic or partition")]
    UnknownTopic,
    /// Anything else.
    #[error("{0}")]
    Kafka(String),
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The record's token.
    pub token: u64,
    /// Its fate.
    pub outcome: Outcome,
}

/// The fate of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// In Kafka, on all in-sync replicas.
    Written {
        /// The partition, from 0.
        partition: i32,
        /// The record's offset.
        offset: i64,
    },
    /// Not in Kafka: larger than the topic takes.
    TooLarge,
    /// Not in Kafka.
    NotWritten {
        /// In words.
        reason: String,
    },
    /// Not in Kafka, since ACLs do not allow it.
    Denied,
    /// In Kafka or not; it was on its way, and no answer came in time.
    Unknown {
        /// In words.
        reason: String,
    },
}

struct Inner {
    config: Config,
    producer: ArcSwap<Producer>,
    /// For topics that refused a request as too large.
    alone: Arc<Alone>,
}

// === impl Writer ===

impl Writer {
    /// Starts the producer, which begins at once to fetch its identity, so that the first record need not wait for it.
    /// `report` is called on a thread of the writer's own, once for each record taken, and should be quick.
    ///
    /// # Errors
    ///
    /// [`Error::Start`].
    pub fn start(config: &Config, report: impl Fn(Report) + Send + Sync + 'static) -> Result<Self, Error> {
        let alone = Arc::new(Alone::new(config, report));
        let producer = ArcSwap::new(Producer::start(config, Arc::clone(&alone))?);
        Ok(Self(Arc::new(Inner { config: config.clone(), producer, alone })))
    }

    /// Takes a record for writing. Records of a partition are written in the order taken, except those that shared a request which
    /// was the first to be too large for their topic: they are written again one by one, behind what was on its way by then.
    ///
    /// # Errors
    ///
    /// [`SendError`]; the record is then not written.
    pub fn send(&self, write: &Write<'_>) -> Result<(), SendError> {
        let topic = CString::new(write.topic).map_err(|_| SendError::UnknownTopic)?;
        let message = Outgoing {
            topic: &topic,
            partition: write.partition,
            key: write.key,
            value: write.value,
            headers: write.headers,
            token: write.token,
        };
        if self.0.alone.has(write.topic) {
            return self.0.alone.produce(&message).map_err(SendError::from);
        }
        let producer = self.0.producer.load();
        match producer.client.produce(&message) {
            Ok(()) => Ok(()),
            // The producer lost its place and is of no more use. Nothing of this record was sent.
            Err(Code::Fatal) => {
                self.renew();
                self.0.producer.load().client.produce(&message).map_err(SendError::from)
            }
            Err(code) => Err(code.into()),
        }
    }

    /// Looks at a topic again, which has got more partitions, `count` by now; calls `then` once the producer knows of them, or
    /// after a while. Does not wait for it.
    pub(super) fn look_again(&self, topic: &str, count: i32, then: impl FnOnce() + Send + 'static) {
        let Ok(topic) = CString::new(topic) else { return };
        let producers = [Some(self.0.producer.load_full()), self.0.alone.producer()];
        let look = move || {
            let until = Instant::now() + LOOK_TIMEOUT;
            let knows = |producer: &Arc<Producer>| {
                let found = producer.client.topics(Some(&topic), LOOK_TIMEOUT);
                found.is_ok_and(|(found, _)| found.iter().any(|(_, partitions)| *partitions >= count))
            };
            while !producers.iter().flatten().all(knows) && Instant::now() < until {
                std::thread::sleep(LOOK_EVERY);
            }
            then();
        };
        if let Err(error) = std::thread::Builder::new().name("kafka-look".into()).spawn(look) {
            tracing::warn!(%error, "no thread to look at a Kafka topic on");
        }
    }

    /// Goes on with a new producer: after a topic was deleted and created again, the old one would take the new one's leader
    /// epochs for stale. What the old one took is still reported.
    pub(super) fn renew(&self) {
        match Producer::start(&self.0.config, Arc::clone(&self.0.alone)) {
            Ok(producer) => self.0.producer.swap(producer).retire(),
            Err(error) => tracing::error!(%error, "no new Kafka producer; going on with the old one"),
        }
        self.0.alone.forget();
    }

    /// Waits until every record taken is reported; `false` if `timeout` was too short. Blocks.
    pub fn flush(&self, timeout: Duration) -> bool {
        let begun = Instant::now();
        // What the first refuses as too large goes to the other.
        self.0.producer.load_full().client.flush(timeout)
            && self
                .0
                .alone
                .producer()
                .is_none_or(|alone| alone.client.flush(timeout.saturating_sub(begun.elapsed())))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.producer.load().retire();
    }
}

// === impl SendError ===

impl From<Code> for SendError {
    fn from(code: Code) -> Self {
        match code {
            Code::QueueFull => Self::Busy,
            Code::MessageSizeTooLarge => Self::TooLarge,
            Code::UnknownPartition | Code::UnknownTopic | Code::UnknownTopicOrPartition => Self::UnknownTopic,
            code => Self::Kafka(super::words(code)),
        }
    }
}
