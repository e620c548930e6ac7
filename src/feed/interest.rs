//! Demand: which partitions to read, and from where. A state machine without Kafka, threads or a clock.
//!
//! Subscribers come and go by [`Interest::subscribe`] and [`Interest::unsubscribe`]. Those that wait are served together, by a round:
//! which topics there are ([`Effect::List`]), what they are like now ([`Effect::Find`]), where their partitions end
//! ([`Effect::QueryEnd`]). Reading is fixed before the reply is given. The same rounds, without anybody waiting, discover what is new.

#[cfg(test)]
mod model;
mod round;
#[cfg(test)]
mod tests;
mod topic;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::topic::{Known, Reading, partitions_of};
use super::{Start, SubscribeError};
use crate::bayeux::Pattern;
use crate::kafka;
use crate::stream::Topic;

/// How soon a look is taken again at what was not there, or could not be asked.
const QUICK: Duration = Duration::from_millis(500);
/// How soon a round that failed is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// What a pattern reads, by one of the routes that it meets.
pub(super) trait Reads {
    /// Topics by name.
    fn literals(&self) -> &[Arc<str>];
    /// Whether there is a template, so that all topics have to be looked at.
    fn is_template(&self) -> bool;
    /// Whether a topic is read.
    fn covers(&self, topic: &str) -> bool;
    /// The only partition of `count` that can hold what is wanted; `None` for all.
    fn partition(&self, count: i32) -> Option<i32>;
}

/// Times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// How long a subscribe may take.
    pub subscribe: Duration,
    /// How long a partition is read after its last listener.
    pub linger: Duration,
    /// How often topics are looked for.
    pub discovery: Duration,
}

/// What is to be done, in this order.
#[derive(Debug)]
pub(super) enum Effect {
    /// Name all topics; answer by [`Interest::listed`].
    List,
    /// See what these topics are like; answer by [`Interest::found`].
    Find(BTreeSet<Arc<str>>),
    /// Ask for the ends of partitions; answer by [`Interest::ended`].
    QueryEnd(Vec<(Arc<str>, i32)>),
    /// A topic is going to be read, and has this many partitions now.
    Open(Arc<Topic>, i32),
    /// A topic is read no more.
    Close(Arc<Topic>),
    /// Who listens to a partition: a bit for each shard.
    Listen(Arc<Topic>, i32, u64),
    /// Read a partition.
    Assign(Arc<Topic>, i32, kafka::From),
    /// Read a partition that was lost from its log start.
    Resume(Arc<Topic>, i32),
    /// Read a partition no more.
    Unassign(Arc<Topic>, i32),
    /// What is read was found to be what there is, after this [`Interest::doubt`].
    Trust(u64),
    /// Answer a subscriber.
    Reply(u64, Result<Start, SubscribeError>),
}

/// Who listens to something.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Listening {
    /// Those who subscribed to a pattern.
    To(Pattern),
    /// The routes that are kept warm.
    Warm,
    /// Those who follow a topic as such.
    Following(Arc<str>),
}

/// All demand.
pub(super) struct Interest<R> {
    times: Times,
    shards: usize,
    demands: HashMap<Listening, Demand<R>>,
    topics: HashMap<Arc<str>, Known>,
    /// Subscribers that no round serves yet.
    queue: Vec<Waiting>,
    round: Option<round::Round>,
    /// The next look for topics, while there is demand.
    discover_at: Instant,
    /// The latest doubt that no round clears up yet.
    doubt: Option<u64>,
    /// A round that failed is not tried again before.
    retry_at: Instant,
    /// Why the last round failed.
    last_failure: Option<String>,
    /// When partitions lost their last listener: those that lost it first come first.
    idle: VecDeque<(Instant, Arc<Topic>, i32)>,
    incarnations: u64,
    effects: VecDeque<Effect>,
}

struct Demand<R> {
    reads: Vec<R>,
    /// How many listen, by shard.
    listeners: Vec<u32>,
    /// How many have had their reply, so that nothing new may be missed.
    established: u32,
}

#[derive(Debug)]
struct Waiting {
    ticket: u64,
    shard: usize,
    pattern: Listening,
    deadline: Instant,
    /// Since when some of what it wants could be asked, but not all.
    partly_since: Option<Instant>,
}

// === impl Interest ===

impl<R: Reads> Interest<R> {
    pub(super) fn new(times: Times, shards: usize, now: Instant) -> Self {
        Self {
            times,
            shards,
            demands: HashMap::new(),
            topics: HashMap::new(),
            queue: Vec::new(),
            round: None,
            discover_at: now,
            doubt: None,
            retry_at: now,
            last_failure: None,
            idle: VecDeque::new(),
            incarnations: 0,
            effects: VecDeque::new(),
        }
    }

    /// What to do next.
    pub(super) fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When to call [`Interest::tick`] again; `None` while nothing can happen by itself.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let waiting = self.queue.iter().chain(self.round.iter().flat_map(|round| &round.waiting));
        let deadline = waiting.map(|waiting| waiting.deadline).min();
        let idle = self.idle.front().map(|(since, _, _)| *since + self.times.linger);
        let round = (self.round.is_none() && !self.demands.is_empty())
            .then(|| if self.is_urgent() { self.retry_at } else { self.discover_at.max(self.retry_at) });
        [deadline, idle, round].into_iter().flatten().min()
    }

    /// Whether a round is waited for.
    fn is_urgent(&self) -> bool {
        !self.queue.is_empty() || self.doubt.is_some()
    }

    /// A subscriber of `shard` comes, whose pattern reads `reads`. The answer is a [`Effect::Reply`] with `ticket`.
    pub(super) fn subscribe(
        &mut self,
        now: Instant,
        ticket: u64,
        shard: usize,
        pattern: Pattern,
        reads: Vec<R>,
    ) {
        if reads.is_empty() {
            // Nothing of it comes from Kafka.
            return self.effects.push_back(Effect::Reply(ticket, Ok(Start::default())));
        }
        self.join(now, ticket, shard, Listening::To(pattern), reads);
    }

    /// Reads `reads` from now on, though nobody subscribes.
    pub(super) fn keep_warm(&mut self, now: Instant, reads: Vec<R>) {
        if !reads.is_empty() {
            // The place behind the shards': it counts as a listener, and gets nothing.
            self.join(now, 0, self.shards, Listening::Warm, reads);
        }
    }

    /// Reads a topic, which is all that `reads` reads, though nobody subscribes. Answered like [`Interest::subscribe`].
    pub(super) fn follow(&mut self, now: Instant, ticket: u64, topic: Arc<str>, reads: R) {
        self.join(now, ticket, self.shards, Listening::Following(topic), vec![reads]);
    }

    /// One that followed a topic, and had its answer, leaves.
    pub(super) fn unfollow(&mut self, now: Instant, topic: Arc<str>) {
        self.leave_for_good(now, self.shards, &Listening::Following(topic));
    }

    fn join(&mut self, now: Instant, ticket: u64, shard: usize, pattern: Listening, reads: Vec<R>) {
        let places = self.shards + 1;
        let demand = self.demands.entry(pattern.clone()).or_insert_with(|| Demand {
            reads,
            listeners: vec![0; places],
            established: 0,
        });
        let Some(count) = demand.listeners.get_mut(shard) else { return };
        *count += 1;
        if *count == 1 {
            self.bind(now, &pattern, shard, true);
        }
        self.queue.push(Waiting {
            ticket,
            shard,
            pattern,
            deadline: now + self.times.subscribe,
            partly_since: None,
        });
        self.tick(now);
    }

    /// A subscriber that had its reply leaves.
    pub(super) fn unsubscribe(&mut self, now: Instant, shard: usize, pattern: &Pattern) {
        self.leave_for_good(now, shard, &Listening::To(pattern.clone()));
    }

    fn leave_for_good(&mut self, now: Instant, shard: usize, pattern: &Listening) {
        if let Some(demand) = self.demands.get_mut(pattern) {
            demand.established = demand.established.saturating_sub(1);
        }
        self.leave(now, shard, pattern);
        self.tick(now);
    }

    /// A record was found on a partition that its key does not belong to: from now on all partitions are read.
    pub(super) fn misplaced(&mut self, now: Instant, topic: &str) {
        let Some((name, known)) = self.topics.get_key_value(topic) else { return };
        if known.widened {
            return;
        }
        let name = Arc::clone(name);
        if let Some(known) = self.topics.get_mut(topic) {
            known.widened = true;
        }
        self.rebind(now, &name);
        self.pend(topic);
        self.discover_at = now;
        self.tick(now);
    }

    /// Kafka does not have what is next of a partition: looks whether it is still the same topic.
    pub(super) fn lost(&mut self, now: Instant, topic: &Topic, partition: i32) {
        let known = self.topics.get_mut(&*topic.name).filter(|known| *known.topic == *topic);
        let partition = known.and_then(|known| known.get_mut(partition));
        if let Some(partition) = partition.filter(|partition| partition.reading == Reading::Yes) {
            partition.reading = Reading::Lost;
            self.discover_at = now;
            self.tick(now);
        }
    }

    /// What is read may be of topics that were created again: looks whether they are still the same. The answer is an
    /// [`Effect::Trust`] with `number`, behind what follows from it.
    pub(super) fn doubt(&mut self, now: Instant, number: u64) {
        self.doubt = Some(number);
        self.discover_at = now;
        self.tick(now);
    }

    /// Time passed.
    pub(super) fn tick(&mut self, now: Instant) {
        self.expire(now);
        self.stop_idle(now);
        self.begin_round(now);
    }

    /// Gives up on those whose time is over.
    fn expire(&mut self, now: Instant) {
        let mut late = Vec::new();
        let waiting = [Some(&mut self.queue), self.round.as_mut().map(|round| &mut round.waiting)];
        for waiting in waiting.into_iter().flatten() {
            late.extend(waiting.extract_if(.., |waiting| waiting.deadline <= now));
        }
        for Waiting { ticket, shard, pattern, .. } in late {
            if pattern == Listening::Warm {
                // What is to be warm waits for ever.
                self.queue.push(Waiting {
                    ticket,
                    shard,
                    pattern,
                    deadline: now + self.times.subscribe,
                    partly_since: None,
                });
                continue;
            }
            self.leave(now, shard, &pattern);
            let error = self.last_failure.clone().map_or(SubscribeError::TimedOut, SubscribeError::Kafka);
            self.effects.push_back(Effect::Reply(ticket, Err(error)));
        }
    }

    /// Ends the reading of what nobody has listened to for long enough.
    fn stop_idle(&mut self, now: Instant) {
        while let Some((since, ..)) = self.idle.front() {
            if *since + self.times.linger > now {
                return;
            }
            let Some((since, topic, partition)) = self.idle.pop_front() else { return };
            let Some(known) = self.topics.get_mut(&*topic.name).filter(|known| known.topic == topic) else {
                continue;
            };
            if let Some(idle) = known.get_mut(partition).filter(|p| p.idle_since == Some(since)) {
                idle.idle_since = None;
                if std::mem::take(&mut idle.reading).is_begun() {
                    self.effects.push_back(Effect::Unassign(Arc::clone(&topic), partition));
                }
            }
            self.forget_if_unused(&topic.name);
        }
    }

    fn leave(&mut self, now: Instant, shard: usize, pattern: &Listening) {
        let Some(demand) = self.demands.get_mut(pattern) else { return };
        let Some(count) = demand.listeners.get_mut(shard).filter(|count| **count > 0) else { return };
        *count -= 1;
        if *count > 0 {
            return;
        }
        self.bind(now, pattern, shard, false);
        if self.demands.get(pattern).is_some_and(|demand| demand.listeners.iter().all(|count| *count == 0)) {
            self.demands.remove(pattern);
        }
    }

    /// Counts a shard in, or out, at every partition that a pattern reads of the topics known.
    fn bind(&mut self, now: Instant, pattern: &Listening, shard: usize, join: bool) {
        let Some(demand) = self.demands.get(pattern) else { return };
        let mut names: BTreeSet<Arc<str>> = BTreeSet::new();
        for reads in &demand.reads {
            names.extend(reads.literals().iter().filter(|name| self.topics.contains_key(*name)).cloned());
            if reads.is_template() {
                names.extend(self.topics.keys().filter(|name| reads.covers(name)).cloned());
            }
        }
        for name in names {
            let Some(known) = self.topics.get_mut(&name) else { continue };
            for partition in partitions_of(&demand.reads, &name, known) {
                known.count(now, partition, shard, join, &mut self.effects, &mut self.idle);
            }
            if !join {
                Self::forget_unused(&mut self.topics, &mut self.effects, &name);
            }
        }
    }

    /// Counts all demand of a topic anew, after its partitions changed or reading was widened.
    fn rebind(&mut self, now: Instant, name: &Arc<str>) {
        let Some(known) = self.topics.get_mut(name) else { return };
        let before = known.clear_counts();
        for demand in self.demands.values() {
            for partition in partitions_of(&demand.reads, name, known) {
                for (shard, count) in demand.listeners.iter().enumerate() {
                    if *count > 0 {
                        known.add(partition, shard);
                    }
                }
            }
        }
        known.settle_counts(now, &before, &mut self.effects, &mut self.idle);
    }

    /// What is wanted of a topic but not read is read from where it was known to end, or else ends as soon as that is known.
    fn pend(&mut self, name: &str) {
        let Some(known) = self.topics.get_mut(name) else { return };
        for (number, partition) in (0..).zip(&mut known.partitions) {
            if !partition.is_wanted() || partition.reading != Reading::Not {
                continue;
            }
            partition.reading = Reading::Pending;
            if let Some(at) = partition.ended_before {
                partition.reading = Reading::Yes;
                let from = kafka::From::Offset(at);
                self.effects.push_back(Effect::Assign(Arc::clone(&known.topic), number, from));
            }
        }
    }

    fn forget_if_unused(&mut self, name: &str) {
        Self::forget_unused(&mut self.topics, &mut self.effects, name);
    }

    fn forget_unused(topics: &mut HashMap<Arc<str>, Known>, effects: &mut VecDeque<Effect>, name: &str) {
        if topics.get(name).is_some_and(Known::is_unused)
            && let Some(known) = topics.remove(name)
        {
            effects.push_back(Effect::Close(known.topic));
        }
    }
}
