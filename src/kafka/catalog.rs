//! What Kafka has: topics, partitions, and where their logs begin and end.

use std::collections::{BTreeSet, HashMap};
use std::ffi::CString;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::{oneshot, watch};

use super::ffi::{Client, Seen};
use super::native::{self, Code, Description, End, Kind, Right};
use super::revival::Revival;
use super::{Config, Error, Writer};
use crate::telemetry::Every;

/// How often Kafka is asked for a sign of life, and how long it may take.
const PING_EVERY: Duration = Duration::from_secs(2);
const PING_TIMEOUT: Duration = Duration::from_secs(1);
/// How long one attempt to reach Kafka may take while it does not answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often it is looked whether Kafka ceased to answer, while nothing is listed.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often the partition counts of known topics are asked for again.
const REFRESH_EVERY: Duration = Duration::from_secs(30);
/// How long a topic that does not exist is taken not to.
const ABSENT_FOR: Duration = Duration::from_secs(1);
/// How many absent topics are remembered.
const ABSENT_MANY: usize = 1024;
/// How long a look-up of one topic may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Asks Kafka, on a client and threads of its own. A cheap handle; closed when the last one is dropped.
#[derive(Clone)]
pub struct Catalog(Arc<Handle>);

/// A topic as it is in Kafka now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The topic's name.
    pub name: String,
    /// Kafka's id of this incarnation of the topic; 0 where brokers are too old to have one.
    pub id: u128,
    /// For each partition, whether it has a leader, without which nothing can be asked of it.
    pub leaders: Vec<bool>,
}

/// What became of a look at topics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// Those that exist and may be read.
    pub found: Vec<Found>,
    /// Those that ACLs keep these credentials from reading, or from seeing whether they exist.
    pub denied: BTreeSet<Arc<str>>,
}

/// A topic as these credentials see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// The topic's name.
    pub name: String,
    /// The topic; `None` if there is none, or why it is not shown, in librdkafka's words.
    pub found: Result<Option<Found>, String>,
    /// Whether its records may be read, where Kafka says that.
    pub may_read: Option<bool>,
    /// Whether records may be written to it, where Kafka says that.
    pub may_write: Option<bool>,
}

/// What Kafka answered about an offset: the partition, and the offset or why there is none.
pub type OffsetOf = ((Arc<str>, i32), Result<i64, String>);

type Answer<T> = oneshot::Sender<Result<T, Error>>;
type Lookup = Result<Option<i32>, Error>;

struct Handle {
    shared: Arc<Shared>,
    lists: Sender<ListRequest>,
}

struct Shared {
    client: Client,
    /// Whether Kafka answers. While it does not nothing is asked: as long as such a question waits for a connection, librdkafka
    /// tries to connect without any pause, at the cost of a core.
    up: watch::Sender<bool>,
    stopped: AtomicBool,
    /// The topics that were asked for and are, or were, there.
    topics: ArcSwap<HashMap<Box<str>, Known>>,
    /// Who has to know of topics that change.
    writer: OnceLock<Writer>,
    tokens: AtomicU64,
    state: Mutex<State>,
}

/// A topic that was found once.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Known {
    id: u128,
    /// `None` once it is gone.
    partitions: Option<i32>,
}

#[derive(Default)]
struct State {
    waiting: HashMap<u64, Waiting>,
    lookups: HashMap<Box<str>, Vec<oneshot::Sender<Lookup>>>,
    absent: HashMap<Box<str>, Instant>,
}

enum Waiting {
    /// For topics of these names; nobody waits for a refresh.
    Described(Vec<CString>, Option<Answer<Looked>>),
    Inspected(Answer<Vec<Inspected>>),
    Offsets(Answer<Vec<native::PartitionOffset>>),
    Lookup(Box<str>),
}

type ListRequest = (Answer<Arc<[(String, i32)]>>, Duration);

// === impl Catalog ===

impl Catalog {
    /// Starts the client. Kafka need not be there.
    ///
    /// # Errors
    ///
    /// [`Error::Start`].
    pub fn start(config: &Config) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            client: config.client(Kind::Producer)?,
            up: watch::Sender::new(false),
            stopped: AtomicBool::new(false),
            topics: ArcSwap::default(),
            writer: OnceLock::new(),
            tokens: AtomicU64::new(1),
            state: Mutex::default(),
        });
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
        let timeout = self.0.shared.ready(timeout).await?;
        let (answer, answered) = oneshot::channel();
        self.0.lists.send((answer, timeout)).map_err(|_| closed())?;
        answered.await.unwrap_or_else(|_| Err(closed()))
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
        let timeout = self.0.shared.ready(timeout).await?;
        let (answer, answered) = oneshot::channel();
        let names: Vec<_> = names.iter().filter_map(|name| CString::new(&**name).ok()).collect();
        self.0.shared.describe(&names, Some(answer), timeout);
        answered.await.unwrap_or_else(|_| Err(closed()))
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
        let timeout = self.0.shared.ready(timeout).await?;
        let (answer, answered) = oneshot::channel();
        let names: Vec<_> = names.iter().filter_map(|name| CString::new(&**name).ok()).collect();
        let token = self.0.shared.expect(Waiting::Inspected(answer));
        self.0.shared.client.describe(&names, true, timeout, token);
        answered.await.unwrap_or_else(|_| Err(closed()))
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
            shared.client.describe(&[name], false, timeout, token);
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
        let timeout = self.0.shared.ready(timeout).await?;
        let (answer, answered) = oneshot::channel();
        let token = self.0.shared.expect(Waiting::Offsets(answer));
        {
            let names: Vec<_> =
                of.iter().map(|(topic, _)| CString::new(&**topic).unwrap_or_default()).collect();
            let list: Vec<_> = names.iter().zip(of).map(|(name, (_, p))| (name.as_c_str(), *p)).collect();
            self.0.shared.client.offsets(&list, end, timeout, token);
        }
        let answers = answered.await.unwrap_or_else(|_| Err(closed()))?;
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

// === impl Shared ===

impl Shared {
    /// Waits until Kafka answers; what is left of `timeout`.
    async fn ready(&self, timeout: Duration) -> Result<Duration, Error> {
        let begun = Instant::now();
        let mut up = self.up.subscribe();
        match tokio::time::timeout(timeout, up.wait_for(|up| *up)).await {
            Ok(Ok(_)) => Ok(timeout.saturating_sub(begun.elapsed())),
            _ => Err(Error::TimedOut("it is down, or cannot be reached".into())),
        }
    }

    /// The thread that takes the answers.
    fn run(self: &Arc<Self>) {
        let mut revival = Revival::default();
        let mut next_ping = Instant::now();
        let mut next_refresh = Instant::now() + REFRESH_EVERY;
        while !self.stopped.load(Ordering::Acquire) {
            let now = Instant::now();
            let up = *self.up.borrow();
            if now >= next_ping {
                if up {
                    self.client.ping(PING_TIMEOUT);
                }
                next_ping = now + PING_EVERY;
            }
            if up && now >= next_refresh {
                self.refresh();
                next_refresh = now + REFRESH_EVERY;
            }
            let until_ping = next_ping.saturating_duration_since(now);
            let Some(event) = revival.poll(&self.client, until_ping) else { continue };
            match event.see() {
                Seen::Pong(Err(_)) => self.heard(false),
                Seen::Failed(failure) if failure.code == Code::AllBrokersDown => self.heard(false),
                Seen::Described(token, answer) => {
                    self.described(token, answer.map_err(|f| failed(f.code, f.text)));
                }
                Seen::Offsets(token, answer) => {
                    if let Some(Waiting::Offsets(asked)) = self.state().waiting.remove(&token) {
                        let _ = asked.send(answer.map_err(|f| failed(f.code, f.text)));
                    }
                }
                _ => {}
            }
        }
    }

    /// The thread that lists topics, which librdkafka does by a blocking call only, and tries to reach Kafka while it does not
    /// answer: that call waits patiently. Those who wait for a list share one request.
    fn list(&self, requests: &Receiver<ListRequest>) {
        while !self.stopped.load(Ordering::Acquire) {
            if !*self.up.borrow() {
                if self.client.topics(None, PROBE_TIMEOUT).is_ok() {
                    self.heard(true);
                }
                continue;
            }
            let Ok((first, mut timeout)) = requests.recv_timeout(LOOK_EVERY) else { continue };
            let mut asked = vec![first];
            for (more, longer) in requests.try_iter() {
                asked.push(more);
                timeout = timeout.max(longer);
            }
            let answer = self.client.topics(None, timeout);
            let answer = answer.map(Arc::<[_]>::from).map_err(|code| failed(code, super::words(code)));
            for asked in asked {
                let _ = asked.send(answer.clone());
            }
        }
    }

    fn heard(&self, up: bool) {
        if self.up.send_replace(up) != up {
            if up {
                tracing::info!("Kafka is there");
            } else {
                tracing::warn!("Kafka does not answer");
            }
        }
    }

    fn described(self: &Arc<Self>, token: u64, answer: Result<Vec<Description>, Error>) {
        let waiting = self.state().waiting.remove(&token);
        if let Some(Waiting::Inspected(asked)) = waiting {
            let _ = asked.send(answer.map(|all| all.into_iter().map(inspected).collect()));
            return;
        }
        let denied: BTreeSet<Arc<str>> =
            answer.iter().flatten().filter(|it| is_denied(it)).map(|it| it.name.as_str().into()).collect();
        let answer = answer.map(|all| all.into_iter().filter_map(found).collect::<Vec<_>>());
        match waiting {
            Some(Waiting::Described(asked, waiting)) => {
                if let Ok(found) = &answer {
                    // What may not be read may be written to.
                    self.know(found, &asked);
                }
                if let Some(waiting) = waiting {
                    let readable = |mut found: Vec<Found>| {
                        found.retain(|topic| !denied.contains(topic.name.as_str()));
                        Looked { found, denied }
                    };
                    let _ = waiting.send(answer.map(readable));
                }
            }
            Some(Waiting::Lookup(name)) => {
                let answer = if denied.is_empty() { answer } else { Err(Error::Denied) };
                if let Ok(found) = &answer {
                    self.know(found, &[]);
                }
                self.looked_up(&name, &answer);
            }
            Some(Waiting::Offsets(_) | Waiting::Inspected(_)) | None => {}
        }
    }

    fn looked_up(&self, name: &str, answer: &Result<Vec<Found>, Error>) {
        let answer = answer.clone().map(|found| found.first().map(count_of));
        let mut state = self.state();
        if let Ok(None) = answer {
            if state.absent.len() >= ABSENT_MANY {
                state.absent.retain(|_, since| since.elapsed() < ABSENT_FOR);
            }
            if state.absent.len() < ABSENT_MANY {
                state.absent.insert(name.into(), Instant::now());
            }
        }
        for asked in state.lookups.remove(name).unwrap_or_default() {
            let _ = asked.send(answer.clone());
        }
    }

    /// Remembers what was found, and that the others of those asked for are gone.
    fn know(self: &Arc<Self>, found: &[Found], asked: &[CString]) {
        let mut changed: HashMap<&str, Known> = asked
            .iter()
            .filter_map(|name| name.to_str().ok())
            .filter_map(|name| Some((name, Known { partitions: None, ..*self.topics.load().get(name)? })))
            .collect();
        changed.extend(
            found.iter().map(|topic| {
                (topic.name.as_str(), Known { id: topic.id, partitions: Some(count_of(topic)) })
            }),
        );
        let known = self.topics.load();
        changed.retain(|name, now| known.get(*name) != Some(now));
        if let Some(writer) = self.writer.get() {
            changed.retain(|name, now| match (known.get(*name), now.partitions) {
                (Some(before), _) if before.id != now.id => {
                    tracing::info!(topic = name, "a topic was created again");
                    writer.renew();
                    true
                }
                (Some(Known { partitions: Some(before), .. }), Some(count)) if *before < count => {
                    // Nothing is to be written to the new partitions before the producer knows them.
                    let (shared, topic, now) = (Arc::clone(self), (*name).to_owned(), *now);
                    writer.look_again(name, count, move || shared.remember(&[(topic.as_str(), now)].into()));
                    false
                }
                _ => true,
            });
        }
        self.remember(&changed);
    }

    fn remember(&self, changed: &HashMap<&str, Known>) {
        if changed.is_empty() {
            return;
        }
        self.topics.rcu(|known| {
            let mut known = HashMap::clone(known);
            known.extend(changed.iter().map(|(name, now)| (Box::from(*name), *now)));
            known
        });
    }

    fn refresh(&self) {
        let topics = self.topics.load();
        let names: Vec<_> = topics.keys().filter_map(|name| CString::new(&**name).ok()).collect();
        if !names.is_empty() {
            self.describe(&names, None, LOOKUP_TIMEOUT);
        }
    }

    fn describe(&self, names: &[CString], answer: Option<Answer<Looked>>, timeout: Duration) {
        let with_rights = answer.is_some();
        let token = self.expect(Waiting::Described(names.to_vec(), answer));
        // Only those who wait want to know what may be read.
        self.client.describe(names, with_rights, timeout, token);
    }

    fn expect(&self, waiting: Waiting) -> u64 {
        let token = self.tokens.fetch_add(1, Ordering::Relaxed);
        self.state().waiting.insert(token, waiting);
        token
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether ACLs keep these credentials from reading a topic; brokers that do not say so count as willing.
fn is_denied(topic: &Description) -> bool {
    let unreadable = |rights: &Vec<Right>| !rights.contains(&Right::RD_KAFKA_ACL_OPERATION_READ);
    match topic.error {
        None | Some(Code::LeaderNotAvailable) => topic.rights.as_ref().is_some_and(unreadable),
        Some(code) => code == Code::TopicAuthorizationFailed,
    }
}

fn found(description: Description) -> Option<Found> {
    static REFUSED: Every = Every::new(Duration::from_secs(10));
    let Description { name, id, leaders, error, .. } = description;
    match error {
        // A topic just created may still lack its leaders, which is an error to librdkafka.
        None | Some(Code::LeaderNotAvailable) => (!leaders.is_empty()).then_some(Found { name, id, leaders }),
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => None,
        Some(code) => {
            if let Some(suppressed) = REFUSED.due(Instant::now()) {
                let reason = super::words(code);
                tracing::warn!(topic = name, reason, suppressed, "Kafka does not show a topic");
            }
            None
        }
    }
}

fn inspected(description: Description) -> Inspected {
    let may = |right| description.rights.as_ref().map(|rights| rights.contains(&right));
    let (may_read, may_write) =
        (may(Right::RD_KAFKA_ACL_OPERATION_READ), may(Right::RD_KAFKA_ACL_OPERATION_WRITE));
    let Description { name, id, leaders, error, .. } = description;
    let found = match error {
        None | Some(Code::LeaderNotAvailable) => Ok(Some(Found { name: name.clone(), id, leaders })),
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => Ok(None),
        // The same answer for a topic that is not there: Kafka does not say more to those who may not see it.
        Some(Code::TopicAuthorizationFailed) => {
            Err("these credentials may not see whether it exists (ACL: Describe)".to_owned())
        }
        Some(code) => Err(super::words(code)),
    };
    Inspected { name, found, may_read, may_write }
}

fn count_of(topic: &Found) -> i32 {
    i32::try_from(topic.leaders.len()).unwrap_or(i32::MAX)
}

fn failed(code: Code, text: String) -> Error {
    match code {
        Code::OperationTimedOut
        | Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::TimedOutQueue => Error::TimedOut(text),
        _ => Error::Kafka(text),
    }
}

fn closed() -> Error {
    Error::Kafka("Halley is closing".into())
}
