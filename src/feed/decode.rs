//! Records on their channels, for the shards that listen. On the reader's thread.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::WeakUnboundedSender;

use super::{Command, Replies, ShardInbox};
use crate::kafka;
use crate::route::{Partitioner, Routed, TopicPlan, Unroutable};
use crate::stream::{Batch, Body, RawRecord, Record, Source, Span, Topic};
use crate::telemetry::{Every, NodeMetrics};

/// How often there is a log line about the records of one topic.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// The topics that are read, by incarnation; written by the feed's thread, read by the reader's.
#[derive(Default)]
pub(super) struct OpenTopics {
    topics: Mutex<HashMap<u64, Arc<OpenTopic>>>,
    /// Raised by every change of the above.
    generation: AtomicU64,
}

struct OpenTopic {
    /// `None` if no session can subscribe to it.
    plan: Option<TopicPlan>,
    /// Whether some route has its replies in it.
    has_replies: bool,
    /// How producers place keys, where routes say so.
    partitioners: Vec<Partitioner>,
    /// How many partitions the topic had, in the order that it grew: keys stay where they were put.
    counts: Vec<i32>,
    /// Who listens to each partition, a bit for each shard.
    listeners: Box<[AtomicU64]>,
    /// A key was found out of place, and it was told.
    misplaced: AtomicBool,
}

/// The reader's sink.
pub(super) struct Decoder {
    open: Arc<OpenTopics>,
    shards: Vec<Arc<dyn ShardInbox>>,
    replies: Arc<dyn Replies>,
    metrics: Arc<NodeMetrics>,
    commands: WeakUnboundedSender<Command>,
    generation: u64,
    known: HashMap<u64, Arc<OpenTopic>>,
    complaints: HashMap<Box<str>, Every>,
    /// This turn's spans with their listeners, and where each partition's is.
    spans: Vec<(u64, Span)>,
    places: HashMap<(u64, i32), usize>,
    routed: Vec<Routed>,
}

// === impl OpenTopics ===

impl OpenTopics {
    /// A topic is going to be read, or has more partitions now.
    pub(super) fn open(&self, topic: &Topic, plan: Option<TopicPlan>, has_replies: bool, partitions: usize) {
        self.change(|topics| {
            let before = topics.get(&topic.incarnation);
            let listeners = (0..partitions).map(|partition| {
                let mask = before.and_then(|before| before.listeners.get(partition));
                AtomicU64::new(mask.map_or(0, |mask| mask.load(Ordering::SeqCst)))
            });
            let routes = plan.iter().flat_map(TopicPlan::routes);
            let mut partitioners: Vec<_> = routes.filter_map(|route| route.partitioner()).collect();
            partitioners.dedup();
            let listeners = listeners.collect();
            let mut counts = before.map_or_else(Vec::new, |before| before.counts.clone());
            counts.push(i32::try_from(partitions).unwrap_or(i32::MAX));
            let told = before.is_some_and(|before| before.misplaced.load(Ordering::Relaxed));
            let misplaced = AtomicBool::new(told);
            let open = OpenTopic { plan, has_replies, partitioners, counts, listeners, misplaced };
            topics.insert(topic.incarnation, Arc::new(open));
        });
    }

    pub(super) fn close(&self, topic: &Topic) {
        self.change(|topics| drop(topics.remove(&topic.incarnation)));
    }

    /// Who listens to a partition from now on. Whatever is read after this call is delivered so.
    pub(super) fn listen(&self, topic: &Topic, partition: i32, shards: u64) {
        let topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        let listeners = topics.get(&topic.incarnation).and_then(|open| open.listeners_of(partition));
        if let Some(listeners) = listeners {
            listeners.store(shards, Ordering::SeqCst);
        }
    }

    fn change(&self, change: impl FnOnce(&mut HashMap<u64, Arc<OpenTopic>>)) {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut topics);
        self.generation.fetch_add(1, Ordering::SeqCst);
    }
}

// === impl OpenTopic ===

impl OpenTopic {
    fn listeners_of(&self, partition: i32) -> Option<&AtomicU64> {
        self.listeners.get(usize::try_from(partition).ok()?)
    }

    /// Whether a record's key is not where the routes' producers put it.
    fn is_misplaced(&self, record: &RawRecord<'_>) -> bool {
        let Some(key) = record.key else { return false };
        let places = |partitioner: &Partitioner| {
            self.counts.iter().any(|count| partitioner.partition(key, *count) == record.partition)
        };
        !self.partitioners.iter().all(places)
    }
}

// === impl Decoder ===

impl Decoder {
    pub(super) fn new(
        open: Arc<OpenTopics>,
        shards: Vec<Arc<dyn ShardInbox>>,
        replies: Arc<dyn Replies>,
        metrics: Arc<NodeMetrics>,
        commands: WeakUnboundedSender<Command>,
    ) -> Self {
        Self {
            open,
            shards,
            replies,
            metrics,
            commands,
            generation: 0,
            known: HashMap::new(),
            complaints: HashMap::new(),
            spans: Vec::new(),
            places: HashMap::new(),
            routed: Vec::new(),
        }
    }

    fn topic(&mut self, topic: &Topic) -> Option<&Arc<OpenTopic>> {
        let generation = self.open.generation.load(Ordering::SeqCst);
        if self.generation != generation {
            self.known.clone_from(&self.open.topics.lock().unwrap_or_else(PoisonError::into_inner));
            self.generation = generation;
        }
        self.known.get(&topic.incarnation)
    }

    /// The topic, and who listens to the partition; `None` if nobody does.
    fn listeners(&mut self, topic: &Topic, partition: i32) -> Option<(Arc<OpenTopic>, u64)> {
        let open = self.topic(topic)?;
        let listeners = open.listeners_of(partition)?.load(Ordering::SeqCst);
        (listeners != 0).then(|| (Arc::clone(open), listeners))
    }

    /// The partition's span of this turn, which reaches from `from` or before up to `to` now.
    fn span(
        &mut self,
        listeners: u64,
        topic: &Arc<Topic>,
        partition: i32,
        from: i64,
        to: i64,
    ) -> Option<&mut Span> {
        let place = *self.places.entry((topic.incarnation, partition)).or_insert_with(|| {
            let span = Span { topic: Arc::clone(topic), partition, from, to, records: Vec::new() };
            self.spans.push((0, span));
            self.spans.len() - 1
        });
        let (all, span) = self.spans.get_mut(place)?;
        *all |= listeners;
        span.to = to;
        Some(span)
    }

    fn complain(&mut self, topic: &Topic) -> Option<u64> {
        let every = self.complaints.entry(topic.name.clone()).or_insert_with(|| Every::new(COMPLAIN_EVERY));
        every.due(Instant::now())
    }

    fn bad(&mut self, topic: &Topic, record: &RawRecord<'_>, route: &str, why: &Unroutable) {
        match why {
            Unroutable::Key(_) | Unroutable::Value(_) | Unroutable::Variable(..) => {
                self.metrics.records_undecodable.inc();
            }
            Unroutable::TooLong => self.metrics.records_too_large.inc(),
            _ => self.metrics.records_unroutable.inc(),
        }
        if let Some(suppressed) = self.complain(topic) {
            let (partition, offset) = (record.partition, record.offset);
            let topic = &*topic.name;
            tracing::warn!(topic, partition, offset, route, %why, suppressed, "a record is skipped");
        }
    }

    fn misplaced(&mut self, open: &OpenTopic, topic: &Arc<Topic>, record: &RawRecord<'_>) {
        self.metrics.records_misplaced.inc();
        if !open.misplaced.swap(true, Ordering::Relaxed) {
            let (partition, offset) = (record.partition, record.offset);
            let name = &*topic.name;
            tracing::warn!(
                topic = name,
                partition,
                offset,
                "a key is on another partition than the route's partitioner says: reading all (other producers place keys \
                 otherwise, or the topic has just got more partitions)"
            );
            if let Some(commands) = self.commands.upgrade() {
                let _ = commands.send(Command::Misplaced(Arc::clone(topic)));
            }
        }
    }
}

impl kafka::Sink for Decoder {
    fn record(&mut self, topic: &Arc<Topic>, from: i64, record: &RawRecord<'_>) {
        let (partition, offset) = (record.partition, record.offset);
        if self.topic(topic).is_some_and(|open| open.has_replies) {
            self.metrics.service_replies_read.inc();
            self.replies.reply(record);
        }
        let Some((open, listeners)) = self.listeners(topic, partition) else { return };
        let Some(plan) = &open.plan else { return };
        self.metrics.records_read.inc();
        if open.is_misplaced(record) {
            self.misplaced(&open, topic, record);
        }
        let mut routed = std::mem::take(&mut self.routed);
        plan.channels_of(record, &mut routed);
        let mut body = None;
        for Routed { route, result } in routed.drain(..) {
            match result {
                Ok(channel) => {
                    let copy = || Arc::new(Body::copy(record, plan.needs_headers(record)));
                    let body = Arc::clone(body.get_or_insert_with(copy));
                    let source = Source { topic: Arc::clone(topic), partition, offset };
                    let record = Record::new(channel, Some(source), body, route.render());
                    let record = record.with_patterns(route.has_patterns()).with_lazy(route.lazy());
                    let record = Arc::new(record);
                    if let Some(span) = self.span(listeners, topic, partition, from, offset + 1) {
                        span.records.push(record);
                    }
                }
                Err(why) => self.bad(topic, record, route.name(), &why),
            }
        }
        self.routed = routed;
        self.span(listeners, topic, partition, from, offset + 1);
    }

    fn reached(&mut self, topic: &Arc<Topic>, partition: i32, from: i64, to: i64) {
        if let Some((_, listeners)) = self.listeners(topic, partition) {
            self.span(listeners, topic, partition, from, to);
        }
    }

    fn lost(&mut self, topic: &Arc<Topic>, partition: i32) {
        self.metrics.kafka_errors.inc();
        if let Some(commands) = self.commands.upgrade() {
            let _ = commands.send(Command::Lost(Arc::clone(topic), partition));
        }
    }

    fn doubt(&mut self, number: u64) {
        if let Some(commands) = self.commands.upgrade() {
            let _ = commands.send(Command::Doubt(number));
        }
    }

    fn moved(&mut self, topic: &Arc<Topic>, partition: i32, from: i64, to: i64) {
        self.metrics.records_missed.add(u64::try_from(to - from).unwrap_or(0));
        let topic = &*topic.name;
        tracing::warn!(
            topic,
            partition,
            from,
            to,
            "Kafka no longer has the next record: reading goes on at the log start"
        );
    }

    fn failed(&mut self, topic: &Arc<Topic>, partition: i32, reason: &str) {
        self.metrics.kafka_errors.inc();
        if let Some(suppressed) = self.complain(topic) {
            let topic = &*topic.name;
            tracing::warn!(topic, partition, reason, suppressed, "a partition can't be read at present");
        }
    }

    fn flush(&mut self) {
        self.places.clear();
        let mut batches: Vec<(u64, Batch)> = Vec::new();
        for (listeners, span) in self.spans.drain(..) {
            let size = span.records.iter().map(|record| record.size()).sum::<usize>();
            let same = batches.iter_mut().find(|(shards, _)| *shards == listeners);
            match same {
                Some((_, batch)) => {
                    batch.size += size;
                    batch.spans.push(span);
                }
                None => batches.push((listeners, Batch { spans: vec![span], size })),
            }
        }
        for (listeners, batch) in batches {
            let batch = Arc::new(batch);
            for (number, shard) in self.shards.iter().enumerate() {
                if listeners & (1 << (number % 64)) != 0 {
                    self.metrics.batches.inc();
                    shard.batch(Arc::clone(&batch));
                }
            }
        }
    }

    fn busy(&self) -> bool {
        self.shards.iter().any(|shard| shard.busy())
    }
}
