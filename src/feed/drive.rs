//! The feed's thread: carries out what [`Interest`] decides.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::decode::{Decoder, OpenTopics};
use super::interest::{Effect, Interest, Times};
use super::reads::{RouteReads, all_of, reads_of};
use super::{Command, Replies, Reply, Settings, ShardInbox, SubscribeError};
use crate::kafka::{Catalog, Config, Error, From, Looked, OffsetOf, Reader};
use crate::route::RouteTable;
use crate::stream::Topic;
use crate::telemetry::NodeMetrics;

/// Commands that are taken before their effects are looked at.
const MANY: usize = 256;

/// What Kafka answered.
enum Answer {
    Listed(Result<Arc<[(String, i32)]>, Error>),
    Found(Result<Looked, Error>),
    Ended(Result<Vec<OffsetOf>, Error>),
}

type Asking = Pin<Box<dyn Future<Output = Answer> + Send>>;

struct Driver {
    interest: Interest<RouteReads>,
    routes: Arc<RouteTable>,
    catalog: Catalog,
    reader: Reader,
    open: Arc<OpenTopics>,
    metrics: Arc<NodeMetrics>,
    /// How long one question to Kafka may take.
    patience: Duration,
    replies: HashMap<u64, Reply>,
    tickets: u64,
    asking: Option<Asking>,
}

#[allow(clippy::too_many_arguments)] // Called once, by the handle's constructor.
pub(super) fn start(
    settings: Settings,
    config: &Config,
    catalog: Catalog,
    routes: Arc<RouteTable>,
    shards: Vec<Arc<dyn ShardInbox>>,
    replies: Arc<dyn Replies>,
    metrics: Arc<NodeMetrics>,
    commands: &UnboundedSender<Command>,
    received: UnboundedReceiver<Command>,
) -> Result<(), Error> {
    let failed = |error: std::io::Error| Error::Start(error.to_string());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(failed)?;
    let open = Arc::new(OpenTopics::default());
    let times = Times { subscribe: settings.timeout, linger: settings.linger, discovery: settings.discovery };
    let interest = Interest::new(times, shards.len(), Instant::now());
    let decoder =
        Decoder::new(Arc::clone(&open), shards, replies, Arc::clone(&metrics), commands.downgrade());
    let driver = Driver {
        interest,
        routes,
        catalog,
        reader: Reader::start(config, decoder)?,
        open,
        metrics,
        patience: settings.timeout / 3,
        replies: HashMap::new(),
        tickets: 0,
        asking: None,
    };
    let run = move || runtime.block_on(driver.run(received));
    std::thread::Builder::new().name("feed".into()).spawn(run).map(drop).map_err(failed)
}

// === impl Driver ===

impl Driver {
    /// Runs until it is stopped or the last handle is dropped.
    async fn run(mut self, mut commands: UnboundedReceiver<Command>) {
        self.interest.keep_warm(Instant::now(), reads_of(self.routes.warm()));
        let mut batch = Vec::new();
        loop {
            self.carry_out();
            let timeout = self.interest.poll_timeout();
            tokio::select! {
                count = commands.recv_many(&mut batch, MANY) => {
                    if count == 0 || batch.iter().any(|command| matches!(command, Command::Stop)) {
                        break;
                    }
                    batch.drain(..).for_each(|command| self.obey(command));
                }
                answer = answered(&mut self.asking) => {
                    self.asking = None;
                    self.take(answer);
                }
                () = until(timeout) => self.interest.tick(Instant::now()),
            }
        }
        commands.close();
        let late = std::iter::from_fn(|| commands.try_recv().ok());
        let late = batch.into_iter().chain(late).filter_map(|command| match command {
            Command::Subscribe { reply, .. } | Command::Follow { reply, .. } => Some(reply),
            _ => None,
        });
        for reply in self.replies.into_values().chain(late) {
            reply(Err(SubscribeError::Kafka("Halley is closing".into())));
        }
    }

    fn obey(&mut self, command: Command) {
        let now = Instant::now();
        match command {
            Command::Subscribe { shard, pattern, reply } => {
                let coverages = self.routes.covering(&pattern);
                if coverages.is_empty() {
                    return reply(Err(SubscribeError::UnknownChannel));
                }
                let ticket = self.ticket(reply);
                self.interest.subscribe(now, ticket, shard, pattern, reads_of(coverages));
            }
            Command::Unsubscribe { shard, pattern } => self.interest.unsubscribe(now, shard, &pattern),
            Command::Follow { topic, reply } => {
                let ticket = self.ticket(reply);
                self.interest.follow(now, ticket, Arc::clone(&topic), all_of(topic));
            }
            Command::Unfollow(topic) => self.interest.unfollow(now, topic),
            Command::Misplaced(topic) => self.interest.misplaced(now, &topic.name),
            Command::Lost(topic, partition) => self.interest.lost(now, &topic, partition),
            Command::Doubt(number) => self.interest.doubt(now, number),
            Command::Stop => {}
        }
    }

    fn ticket(&mut self, reply: Reply) -> u64 {
        self.tickets += 1;
        self.replies.insert(self.tickets, reply);
        self.tickets
    }

    fn take(&mut self, answer: Answer) {
        let now = Instant::now();
        let words = |error: Error| error.to_string();
        match answer {
            Answer::Listed(Ok(topics)) => self.interest.listed(now, Ok(&topics)),
            Answer::Listed(Err(error)) => self.interest.listed(now, Err(words(error))),
            Answer::Found(looked) => {
                let looked = looked.map(|Looked { found, denied }| {
                    self.interest.denied(denied);
                    found
                });
                self.interest.found(now, looked.map_err(words));
            }
            Answer::Ended(ends) => self.interest.ended(now, ends.map_err(words)),
        }
    }

    fn carry_out(&mut self) {
        let mut assigned = Vec::new();
        let mut unassigned = Vec::new();
        while let Some(effect) = self.interest.poll_effect() {
            // Those of a kind go together; what is fixed for a reply goes before it.
            if !matches!(effect, Effect::Unassign(..)) {
                self.unassign(&mut unassigned);
            }
            if !matches!(effect, Effect::Assign(..)) {
                self.assign(&mut assigned);
            }
            let (catalog, patience) = (self.catalog.clone(), self.patience);
            match effect {
                Effect::List => self.ask(async move { Answer::Listed(catalog.topics(patience).await) }),
                Effect::Find(names) => {
                    self.ask(async move { Answer::Found(catalog.find(&names, patience).await) });
                }
                Effect::QueryEnd(of) => {
                    self.ask(async move { Answer::Ended(catalog.ends(&of, patience).await) });
                }
                Effect::Open(topic, partitions) => {
                    let plan = self.routes.topic(&topic.name);
                    let replies = !self.routes.correlation_headers(&topic.name).is_empty();
                    if plan.is_some() || replies {
                        self.open.open(&topic, plan, replies, usize::try_from(partitions).unwrap_or(0));
                    }
                }
                Effect::Close(topic) => self.open.close(&topic),
                Effect::Listen(topic, partition, shards) => self.open.listen(&topic, partition, shards),
                Effect::Assign(topic, partition, from) => assigned.push((topic, partition, from)),
                Effect::Resume(topic, partition) => {
                    self.reader.assign(vec![(topic, partition, From::LogStart)]);
                }
                Effect::Unassign(topic, partition) => unassigned.push((topic, partition)),
                Effect::Trust(number) => self.reader.trust(number),
                Effect::Reply(ticket, result) => {
                    if let Some(reply) = self.replies.remove(&ticket) {
                        reply(result);
                    }
                }
            }
        }
        self.unassign(&mut unassigned);
        self.assign(&mut assigned);
    }

    fn assign(&self, partitions: &mut Vec<(Arc<Topic>, i32, From)>) {
        if !partitions.is_empty() {
            self.metrics.partitions.add(partitions.len() as u64);
            self.reader.assign(std::mem::take(partitions));
        }
    }

    fn unassign(&self, partitions: &mut Vec<(Arc<Topic>, i32)>) {
        if !partitions.is_empty() {
            self.metrics.partitions.sub(partitions.len() as u64);
            self.reader.unassign(std::mem::take(partitions));
        }
    }

    fn ask(&mut self, question: impl Future<Output = Answer> + Send + 'static) {
        self.asking = Some(Box::pin(question));
    }
}

async fn answered(asking: &mut Option<Asking>) -> Answer {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}

async fn until(timeout: Option<Instant>) {
    match timeout {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
