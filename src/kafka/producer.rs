//! The clients that a [`Writer`](super::Writer) writes with, and their threads.

use std::collections::HashSet;
use std::ffi::CString;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::ffi::{Client, Message, Seen};
use super::native::{Code, Kind, Outgoing, Status};
use super::revival::Revival;
use super::writer::{Outcome, Report};
use super::{Config, Error};

/// How long a reporting thread sleeps at most; reports wake it.
const IDLE: Duration = Duration::from_millis(500);

/// One client that writes.
pub(super) struct Producer {
    pub(super) client: Client,
    /// Takes nothing new, and closes after the last report.
    retired: AtomicBool,
}

/// Where a producer's reports go.
pub(super) trait Reports: Send + Sync + 'static {
    /// What became of a message.
    fn report(&self, message: Message<'_>, outcome: Outcome);
}

/// Writes records one by one to topics that refused a request as too large. Kafka limits not records but batches of them, and
/// refuses a batch as a whole: those in it that are small enough are written again, each alone, and so are all that follow.
pub(super) struct Alone {
    config: Config,
    report: Arc<dyn Fn(Report) + Send + Sync>,
    topics: ArcSwap<HashSet<Box<str>>>,
    /// Started when it is needed.
    producer: Mutex<Option<Arc<Producer>>>,
}

/// Takes the reports of the producer that writes one by one.
struct Last(Arc<dyn Fn(Report) + Send + Sync>);

// === impl Producer ===

impl Producer {
    /// Starts the client, and a thread that hands on its reports.
    pub(super) fn start(
        config: &Config,
        reports: impl std::ops::Deref<Target = impl Reports> + Send + 'static,
    ) -> Result<Arc<Self>, Error> {
        let client = config.client(Kind::Producer)?;
        let producer = Arc::new(Self { client, retired: AtomicBool::new(false) });
        let work = Arc::clone(&producer);
        let thread = std::thread::Builder::new().name("kafka-reports".into());
        thread.spawn(move || work.run(&*reports)).map_err(|error| Error::Start(error.to_string()))?;
        Ok(producer)
    }

    fn run(&self, reports: &impl Reports) {
        let mut revival = Revival::default();
        while !self.retired.load(Ordering::Acquire) || self.client.unreported() > 0 {
            let Some(event) = revival.poll(&self.client, IDLE) else { continue };
            if matches!(event.see(), Seen::Reports) {
                while let Some(message) = event.next_message() {
                    reports.report(message, outcome_of(message));
                }
            }
        }
    }

    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
        self.client.wake();
    }
}

fn outcome_of(message: Message<'_>) -> Outcome {
    let Some(code) = message.error() else {
        return Outcome::Written { partition: message.partition(), offset: message.offset() };
    };
    match message.status() {
        Status::NotPersisted if matches!(code, Code::MessageSizeTooLarge | Code::MessageBatchTooLarge) => {
            Outcome::TooLarge
        }
        Status::NotPersisted if code == Code::TopicAuthorizationFailed => Outcome::Denied,
        Status::NotPersisted => Outcome::NotWritten { reason: super::words(code) },
        Status::PossiblyPersisted | Status::Persisted => Outcome::Unknown { reason: super::words(code) },
    }
}

// === impl Alone ===

impl Alone {
    pub(super) fn new(config: &Config, report: impl Fn(Report) + Send + Sync + 'static) -> Self {
        Self {
            config: config.one_by_one(),
            report: Arc::new(report),
            topics: ArcSwap::default(),
            producer: Mutex::default(),
        }
    }

    /// Whether records of a topic are to be written one by one.
    pub(super) fn has(&self, topic: &str) -> bool {
        self.topics.load().contains(topic)
    }

    /// The producer, where there is one.
    pub(super) fn producer(&self) -> Option<Arc<Producer>> {
        self.lock().clone()
    }

    pub(super) fn produce(&self, message: &Outgoing<'_>) -> Result<(), Code> {
        let producer = self.started(false)?;
        match producer.client.produce(message) {
            // It lost its place, and is of no more use.
            Err(Code::Fatal) => self.started(true)?.client.produce(message),
            result => result,
        }
    }

    /// Begins anew: topics were created again, or their limits may be others.
    pub(super) fn forget(&self) {
        self.topics.store(Arc::default());
        if let Some(producer) = self.lock().take() {
            producer.retire();
        }
    }

    fn started(&self, anew: bool) -> Result<Arc<Producer>, Code> {
        let mut producer = self.lock();
        match &*producer {
            Some(producer) if !anew => Ok(Arc::clone(producer)),
            _ => {
                let last = Box::new(Last(Arc::clone(&self.report)));
                let started = Producer::start(&self.config, last).map_err(|error| {
                    tracing::error!(%error, "no Kafka producer");
                    Code::CriticalSystemResource
                })?;
                if let Some(old) = producer.replace(Arc::clone(&started)) {
                    old.retire();
                }
                Ok(started)
            }
        }
    }

    /// Writes a message alone that was refused together with others; `false` if it was not taken.
    fn again(&self, message: Message<'_>) -> bool {
        let name = message.topic();
        let Ok(topic) = CString::new(name) else { return false };
        if !self.has(name) {
            tracing::warn!(
                topic = name,
                "Kafka refuses a request as too large: records of the topic are written one by one"
            );
            self.topics.rcu(|topics| {
                let mut topics = HashSet::clone(topics);
                topics.insert(name.into());
                topics
            });
        }
        let mut headers = Vec::new();
        message.headers(&mut headers);
        let again = Outgoing {
            topic: &topic,
            partition: message.partition(),
            key: message.key(),
            value: message.value(),
            headers: &headers,
            token: message.token(),
        };
        self.produce(&again).is_ok()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Producer>>> {
        self.producer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reports for Alone {
    fn report(&self, message: Message<'_>, outcome: Outcome) {
        if outcome != Outcome::TooLarge || !self.again(message) {
            (self.report)(Report { token: message.token(), outcome });
        }
    }
}

impl Reports for Last {
    fn report(&self, message: Message<'_>, outcome: Outcome) {
        (self.0)(Report { token: message.token(), outcome });
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.forget();
    }
}
