//! The client, the threads that serve it, and what is known of topics.

use std::collections::{BTreeSet, HashMap};
use std::ffi::CString;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::{oneshot, watch};

use super::topic::{count_of, found, inspected, is_denied};
use super::{Found, Inspected, Looked};
use crate::kafka::ffi::{Client, Seen};
use crate::kafka::native::{self, Code, Description};
use crate::kafka::revival::Revival;
use crate::kafka::{Error, Writer, words};
use crate::telemetry::Every;

/// How often Kafka is asked for a sign of life, and how long it may take.
const PING_EVERY: Duration = Duration::from_secs(2);
const PING_TIMEOUT: Duration = Duration::from_secs(1);
/// How long one attempt to reach Kafka may take while it does not answer: a broker that hangs must not hold it up for long.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// How often it is looked whether Kafka ceased to answer, while nothing is listed.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often the partition counts of known topics are asked for again.
const REFRESH_EVERY: Duration = Duration::from_secs(30);
/// How long a topic that does not exist is taken not to.
pub(super) const ABSENT_FOR: Duration = Duration::from_secs(1);
/// How long one broker is waited for, a little more than the client's `socket.timeout.ms`, and how much time has to be left to ask
/// another.
const ATTEMPT: Duration = Duration::from_secs(3);
const AT_LEAST: Duration = Duration::from_millis(100);
/// How many absent topics are remembered.
const ABSENT_MANY: usize = 1024;
/// How long a look-up of one topic may take.
pub(super) const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) type Answer<T> = oneshot::Sender<Result<T, Error>>;
pub(super) type Lookup = Result<Option<i32>, Error>;

pub(super) struct Shared {
    pub(super) client: Client,
    /// Whether Kafka answers. While it does not nothing is asked: as long as such a question waits for a connection, librdkafka
    /// tries to connect without any pause, at the cost of a core.
    pub(super) up: watch::Sender<bool>,
    /// The broker that answered when Kafka was reached, or -1: the one to ask. librdkafka would ask what it takes for the controller, and
    /// Kafka names any of its brokers for that, also one that we cannot reach.
    answering: AtomicI32,
    pub(super) stopped: AtomicBool,
    /// The topics that were asked for and are, or were, there.
    pub(super) topics: ArcSwap<HashMap<Box<str>, Known>>,
    /// Who has to know of topics that change.
    pub(super) writer: OnceLock<Writer>,
    tokens: AtomicU64,
    state: Mutex<State>,
}

/// A topic that was found once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    id: u128,
    /// `None` once it is gone.
    pub(super) partitions: Option<i32>,
}

#[derive(Default)]
pub(super) struct State {
    waiting: HashMap<u64, Waiting>,
    pub(super) lookups: HashMap<Box<str>, Vec<oneshot::Sender<Lookup>>>,
    pub(super) absent: HashMap<Box<str>, Instant>,
}

pub(super) enum Waiting {
    /// For topics of these names; nobody waits for a refresh.
    Described(Vec<CString>, Option<Answer<Looked>>),
    Inspected(Answer<Vec<Inspected>>),
    Offsets(Answer<Vec<native::PartitionOffset>>),
    Lookup(Box<str>),
}

pub(super) type ListRequest = (Answer<Arc<[(String, i32)]>>, Duration);

// === impl Shared ===

impl Shared {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            up: watch::Sender::new(false),
            answering: AtomicI32::new(-1),
            stopped: AtomicBool::new(false),
            topics: ArcSwap::default(),
            writer: OnceLock::new(),
            tokens: AtomicU64::new(1),
            state: Mutex::default(),
        }
    }

    /// Waits until Kafka answers; what is left of `timeout`.
    pub(super) async fn ready(&self, timeout: Duration) -> Result<Duration, Error> {
        let begun = Instant::now();
        let mut up = self.up.subscribe();
        match tokio::time::timeout(timeout, up.wait_for(|up| *up)).await {
            Ok(Ok(_)) => Ok(timeout.saturating_sub(begun.elapsed())),
            _ => Err(Error::TimedOut("it is down, or cannot be reached".into())),
        }
    }

    /// Asks what `ask` sends, and again if there is no answer and time left: what a broker did not answer is asked of another.
    pub(super) async fn ask<T>(
        &self,
        timeout: Duration,
        ask: impl Fn(Duration, Answer<T>),
    ) -> Result<T, Error> {
        let end = Instant::now() + timeout;
        loop {
            let left = self.ready(end.saturating_duration_since(Instant::now())).await?;
            let (answer, answered) = oneshot::channel();
            ask(left.min(ATTEMPT), answer);
            match answered.await.unwrap_or_else(|_| Err(closed())) {
                Err(Error::TimedOut(_)) if Instant::now() + AT_LEAST < end => {}
                answer => return answer,
            }
        }
    }

    /// The thread that takes the answers.
    pub(super) fn run(self: &Arc<Self>) {
        let mut revival = Revival::default();
        let mut next_ping = Instant::now();
        let mut next_refresh = Instant::now() + REFRESH_EVERY;
        while !self.stopped.load(Ordering::Acquire) {
            let now = Instant::now();
            let up = *self.up.borrow();
            if now >= next_ping {
                if up {
                    self.client.ping(self.answering(), PING_TIMEOUT);
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
    pub(super) fn list(&self, requests: &Receiver<ListRequest>) {
        while !self.stopped.load(Ordering::Acquire) {
            if !*self.up.borrow() {
                if let Ok((_, broker)) = self.client.topics(None, PROBE_TIMEOUT) {
                    self.answering.store(broker.unwrap_or(-1), Ordering::Relaxed);
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
            let answer =
                answer.map(|(topics, _)| Arc::<[_]>::from(topics)).map_err(|code| failed(code, words(code)));
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
        // Those that are not even seen are told by `found`.
        if let Some(topic) = answer.iter().flatten().find(|it| it.error.is_none() && is_denied(it)) {
            static UNREADABLE: Every = Every::new(Duration::from_secs(10));
            if let Some(suppressed) = UNREADABLE.due(Instant::now()) {
                let reason = "these credentials may not read it (ACL: Read)";
                tracing::warn!(topic = topic.name, reason, suppressed, "Kafka does not show a topic");
            }
        }
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

    pub(super) fn describe(&self, names: &[CString], answer: Option<Answer<Looked>>, timeout: Duration) {
        let with_rights = answer.is_some();
        let token = self.expect(Waiting::Described(names.to_vec(), answer));
        // Only those who wait want to know what may be read.
        self.look(names, with_rights, timeout, token);
    }

    /// As [`Client::describe`], of a broker that answers.
    pub(super) fn look(&self, names: &[CString], rights: bool, timeout: Duration, token: u64) {
        self.client.describe(names, rights, self.answering(), timeout, token);
    }

    fn answering(&self) -> Option<i32> {
        let broker = self.answering.load(Ordering::Relaxed);
        (broker >= 0).then_some(broker)
    }

    pub(super) fn expect(&self, waiting: Waiting) -> u64 {
        let token = self.tokens.fetch_add(1, Ordering::Relaxed);
        self.state().waiting.insert(token, waiting);
        token
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
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

pub(super) fn closed() -> Error {
    Error::Kafka("Halley is closing".into())
}
