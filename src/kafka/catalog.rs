//! What Kafka has: topics, partitions, and where their logs begin and end.

mod shared;
mod topic;

use std::collections::{BTreeSet, HashMap};
use std::ffi::CString;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use tokio::sync::oneshot;

use self::shared::{ABSENT_FOR, LOOKUP_TIMEOUT, ListRequest, Shared, Waiting, closed};
pub use self::topic::{Found, Inspected, Looked};
use super::native::{Code, End, Kind};
use super::{Config, Error, Writer};

/// Asks Kafka, on a client and threads of its own. A cheap handle; closed when the last one is dropped.
#[derive(Clone)]
pub struct Catalog(Arc<Handle>);

/// What Kafka answered about an offset: the partition, and the offset or why there is none.
pub type OffsetOf = ((Arc<str>, i32), Result<i64, String>);

struct Handle {
    shared: Arc<Shared>,
    lists: Sender<ListRequest>,
}

// === impl Catalog ===

impl Catalog {
    /// Starts the client. Kafka need not be there.
    ///
    /// # Errors
    ///
    /// [`Error::Start`].
    pub fn start(config: &Config) -> Result<Self, Error> {
        let shared = Arc::new(Shared::new(config.inquiring().client(Kind::Producer)?));
        let (lists, requests) = mpsc::channel();
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            let thread = std::thread::Builder::new().name(name.into()).spawn(run);
            thread.map(drop).map_err(|error| Error::Start(error.to_string()))
        };
        let (answers, lister) = (Arc::clone(&shared), Arc::clone(&shared));
        spawn("kafka-catalog", Box::new(move || answers.run()))?;
        spawn("kafka-topics", Box::new(move || lister.list(&requests)))?;
        Ok(Self(Arc::new(Handle { shared, lists })))
    }

    /// Whether Kafka answered the last time it was asked; it is asked every few seconds.
    pub fn is_up(&self) -> bool {
        *self.0.shared.up.borrow()
    }

    /// All topics that these credentials may see, with their partition counts, by a request that is sent after this call.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`] or [`Error::Kafka`].
    pub async fn topics(&self, timeout: Duration) -> Result<Arc<[(String, i32)]>, Error> {
        let lists = &self.0.lists;
        // Where this fails, the answer is dropped, and nobody waits for it.
        let ask = |timeout, answer| drop(lists.send((answer, timeout)));
        self.0.shared.ask(timeout, ask).await
    }

    /// Looks at the topics `names`.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`] or [`Error::Kafka`].
    pub async fn find(&self, names: &BTreeSet<Arc<str>>, timeout: Duration) -> Result<Looked, Error> {
        if names.is_empty() {
            return Ok(Looked::default());
        }
        let names: Vec<_> = names.iter().filter_map(|name| CString::new(&**name).ok()).collect();
        let ask = |timeout, answer| self.0.shared.describe(&names, Some(answer), timeout);
        self.0.shared.ask(timeout, ask).await
    }

    /// The topics `names` and what these credentials may do with them, for people: nothing is logged or remembered.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`] or [`Error::Kafka`].
    pub async fn inspect(
        &self,
        names: &BTreeSet<Arc<str>>,
        timeout: Duration,
    ) -> Result<Vec<Inspected>, Error> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<_> = names.iter().filter_map(|name| CString::new(&**name).ok()).collect();
        let shared = &self.0.shared;
        let ask = |timeout, answer| {
            let token = shared.expect(Waiting::Inspected(answer));
            shared.look(&names, true, timeout, token);
        };
        shared.ask(timeout, ask).await
    }

    /// The last stable offsets of partitions: what a reader of committed records reaches. One that can't be asked has its own reason.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`] or [`Error::Kafka`], where nothing could be asked.
    pub async fn ends(&self, of: &[(Arc<str>, i32)], timeout: Duration) -> Result<Vec<OffsetOf>, Error> {
        self.offsets(of, End::Stable, timeout).await
    }

    /// The log starts of partitions; otherwise as [`Catalog::ends`].
    ///
    /// # Errors
    ///
    /// As [`Catalog::ends`].
    pub async fn starts(&self, of: &[(Arc<str>, i32)], timeout: Duration) -> Result<Vec<OffsetOf>, Error> {
        self.offsets(of, End::Start, timeout).await
    }

    /// Has `writer`, from now on, look again at topics that got more partitions or were created again. Only the first one counts.
    pub fn inform(&self, writer: Writer) {
        let _ = self.0.shared.writer.set(writer);
    }

    /// How many partitions a topic has, if that is known already. Takes no lock.
    pub fn partitions(&self, topic: &str) -> Option<i32> {
        self.0.shared.topics.load().get(topic).and_then(|known| known.partitions)
    }

    /// How many partitions a topic has, asking Kafka where it is not known; `None` if there is no such topic.
    /// Those who ask for the same topic at once share one request.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`], [`Error::Denied`] or [`Error::Kafka`].
    pub async fn lookup(&self, topic: &str) -> Result<Option<i32>, Error> {
        let shared = &self.0.shared;
        if let Some(count) = self.partitions(topic) {
            return Ok(Some(count));
        }
        let Ok(name) = CString::new(topic) else { return Ok(None) };
        let timeout = shared.ready(LOOKUP_TIMEOUT).await?;
        let (answer, answered) = oneshot::channel();
        let first = {
            let mut state = shared.state();
            if state.absent.get(topic).is_some_and(|since| since.elapsed() < ABSENT_FOR) {
                return Ok(None);
            }
            let waiting = state.lookups.entry(topic.into()).or_default();
            waiting.push(answer);
            waiting.len() == 1
        };
        if first {
            let token = shared.expect(Waiting::Lookup(topic.into()));
            shared.look(&[name], false, timeout, token);
        }
        answered.await.unwrap_or_else(|_| Err(closed()))
    }

    async fn offsets(
        &self,
        of: &[(Arc<str>, i32)],
        end: End,
        timeout: Duration,
    ) -> Result<Vec<OffsetOf>, Error> {
        if of.is_empty() {
            return Ok(Vec::new());
        }
        let shared = &self.0.shared;
        let ask = |timeout, answer| {
            let token = shared.expect(Waiting::Offsets(answer));
            let names: Vec<_> =
                of.iter().map(|(topic, _)| CString::new(&**topic).unwrap_or_default()).collect();
            let list: Vec<_> = names.iter().zip(of).map(|(name, (_, p))| (name.as_c_str(), *p)).collect();
            shared.client.offsets(&list, end, timeout, token);
        };
        let answers = shared.ask(timeout, ask).await?;
        let mut answers: HashMap<_, _> =
            answers.into_iter().map(|answer| ((answer.topic, answer.partition), answer.offset)).collect();
        let of_one = |(topic, partition): &(Arc<str>, i32)| {
            let answer =
                answers.remove(&(topic.to_string(), *partition)).unwrap_or(Err(Code::UnknownPartition));
            ((Arc::clone(topic), *partition), answer.map_err(super::words))
        };
        Ok(of.iter().map(of_one).collect())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        self.shared.client.wake();
    }
}
