//! A round: topics, then what they are like, then where they end; and what follows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use super::topic::{Known, Reading, partitions_of};
use super::{Effect, Interest, Listening, QUICK, RETRY, Reads, Start, Waiting};
use crate::feed::SubscribeError;
use crate::kafka::{Found, From, OffsetOf};
use crate::stream::Topic;

/// A round under way.
pub(super) struct Round {
    /// Whom it serves.
    pub waiting: Vec<Waiting>,
    /// Whether it looks at all demand, or only at that of those who wait.
    discovers: bool,
    /// The doubt that it clears up.
    doubt: Option<u64>,
    /// The topics that there are, of those asked for.
    there: BTreeSet<Arc<str>>,
    /// The topics that ACLs keep from us, of those asked for.
    denied: BTreeSet<Arc<str>>,
    /// Literal topics that there are not.
    missing: bool,
    /// Partitions without a leader.
    leaderless: Vec<(Arc<str>, i32)>,
}

impl<R: Reads> Interest<R> {
    /// Begins a round if somebody waits or it is time to look for topics.
    pub(super) fn begin_round(&mut self, now: Instant) {
        if self.round.is_some() || self.demands.is_empty() || now < self.retry_at {
            return;
        }
        let discovers = now >= self.discover_at || self.doubt.is_some();
        if self.queue.is_empty() && !discovers {
            return;
        }
        let waiting = std::mem::take(&mut self.queue);
        self.round = Some(Round {
            waiting,
            discovers,
            doubt: if discovers { self.doubt.take() } else { None },
            there: BTreeSet::new(),
            denied: BTreeSet::new(),
            missing: false,
            leaderless: Vec::new(),
        });
        if self.asking().any(Reads::is_template) {
            self.effects.push_back(Effect::List);
        } else {
            self.find(now, &[]);
        }
    }

    /// All topics, by name, or why they are not known.
    pub(in crate::feed) fn listed(&mut self, now: Instant, topics: Result<&[(String, i32)], String>) {
        match topics {
            Ok(topics) => self.find(now, topics),
            Err(reason) => self.round_failed(now, reason),
        }
    }

    /// Those of the topics asked for that may not be read; said before [`Interest::found`].
    pub(in crate::feed) fn denied(&mut self, names: BTreeSet<Arc<str>>) {
        if let Some(round) = &mut self.round {
            round.denied = names;
        }
    }

    /// Those of the topics asked for that there are, or why that is not known.
    pub(in crate::feed) fn found(&mut self, now: Instant, found: Result<Vec<Found>, String>) {
        let found = match found {
            Ok(found) => found,
            Err(reason) => return self.round_failed(now, reason),
        };
        for topic in &found {
            self.look_at(now, topic);
        }
        if let Some(number) = self.round.as_mut().and_then(|round| round.doubt.take()) {
            self.effects.push_back(Effect::Trust(number));
        }
        let there: BTreeSet<Arc<str>> = found.iter().map(|topic| topic.name.as_str().into()).collect();
        let missing = self.asking().flat_map(Reads::literals).any(|name| !there.contains(name));
        if let Some(round) = &mut self.round {
            (round.there, round.missing) = (there, missing && !round.waiting.is_empty());
        }
        let ask = self.ends_to_ask(&found);
        if ask.is_empty() {
            self.ended(now, Ok(Vec::new()));
        } else {
            self.effects.push_back(Effect::QueryEnd(ask));
        }
    }

    /// Where partitions end, or why that is not known.
    pub(in crate::feed) fn ended(&mut self, now: Instant, ends: Result<Vec<OffsetOf>, String>) {
        let ends: BTreeMap<_, _> = match ends {
            Ok(ends) => ends.into_iter().collect(),
            Err(reason) => return self.round_failed(now, reason),
        };
        let Some(round) = self.round.take() else { return };
        let mut all_answered = true;
        for ((name, number), end) in &ends {
            let Some(known) = self.topics.get_mut(name) else { continue };
            let topic = Arc::clone(&known.topic);
            let Some(partition) = known.get_mut(*number) else { continue };
            if !partition.is_wanted() {
                partition.ended = end.as_ref().ok().copied();
                continue;
            }
            match (end, partition.reading) {
                (Ok(end), Reading::Not | Reading::Pending) => {
                    partition.reading = Reading::Yes;
                    self.effects.push_back(Effect::Assign(topic, *number, From::Offset(*end)));
                }
                (Err(_), Reading::Not) => partition.reading = Reading::Pending,
                _ => {}
            }
            all_answered &= end.is_ok();
        }
        for (name, number) in &round.leaderless {
            let partition = self.topics.get_mut(name).and_then(|known| known.get_mut(*number));
            if let Some(partition) = partition.filter(|p| p.is_wanted() && p.reading == Reading::Not) {
                partition.reading = Reading::Pending;
            }
        }
        for waiting in round.waiting {
            self.answer(now, waiting, &round.there, &round.denied, &ends);
        }
        self.after_round(now, round.discovers, !round.missing && all_answered && round.leaderless.is_empty());
    }

    /// What the present round has to look at.
    fn asking(&self) -> impl Iterator<Item = &R> {
        let round = self.round.as_ref();
        let all = round.is_some_and(|round| round.discovers);
        let waiting = round.filter(|_| !all).into_iter().flat_map(|round| &round.waiting);
        let demands = waiting.filter_map(|waiting| self.demands.get(&waiting.pattern));
        let every = if all { Some(self.demands.values()) } else { None };
        demands.chain(every.into_iter().flatten()).flat_map(|demand| &demand.reads)
    }

    fn find(&mut self, now: Instant, listed: &[(String, i32)]) {
        let mut names = BTreeSet::new();
        for reads in self.asking() {
            names.extend(reads.literals().iter().cloned());
            if reads.is_template() {
                let covered = listed.iter().filter(|(name, _)| reads.covers(name));
                names.extend(covered.map(|(name, _)| Arc::from(name.as_str())));
                // One that is gone, or was created again.
                names.extend(self.topics.keys().filter(|name| reads.covers(name)).cloned());
            }
        }
        if names.is_empty() {
            self.found(now, Ok(Vec::new()));
        } else {
            self.effects.push_back(Effect::Find(names));
        }
    }

    /// Takes in what a topic is like now.
    fn look_at(&mut self, now: Instant, found: &Found) {
        let name: Arc<str> = Arc::from(found.name.as_str());
        let count = found.leaders.len();
        match self.topics.get_mut(&name) {
            Some(known) if found.id == known.id => {
                let had = known.partitions.len();
                if count == had {
                    // Still as it was, so that it was so when these ends were asked for.
                    known
                        .partitions
                        .iter_mut()
                        .for_each(|partition| partition.ended_before = partition.ended);
                }
                if count > had {
                    // Keys move when partitions are added, and producers learn of it one by one.
                    known.widened = true;
                    known.grow(count);
                    self.effects.push_back(Effect::Open(Arc::clone(&known.topic), partition_count(count)));
                    self.rebind(now, &name);
                    self.read_what_appeared(&name, had);
                    self.pend(&name);
                }
                self.resume(&name);
                return;
            }
            Some(known) => {
                for (number, _) in known.numbered().filter(|(_, partition)| partition.reading.is_begun()) {
                    self.effects.push_back(Effect::Unassign(Arc::clone(&known.topic), number));
                }
                self.effects.push_back(Effect::Close(Arc::clone(&known.topic)));
            }
            None => {}
        }
        self.incarnations += 1;
        let topic = Arc::new(Topic::new(found.name.as_str().into(), self.incarnations));
        let mut known = Known::new(Arc::clone(&topic), found.id, self.shards);
        known.grow(count);
        self.effects.push_back(Effect::Open(topic, partition_count(count)));
        self.topics.insert(Arc::clone(&name), known);
        self.rebind(now, &name);
        self.read_what_appeared(&name, 0);
        self.forget_if_unused(&name);
    }

    /// Goes on with what was lost of a topic that is still the same.
    fn resume(&mut self, name: &Arc<str>) {
        let Some(known) = self.topics.get_mut(name) else { return };
        for (number, partition) in (0..).zip(&mut known.partitions) {
            if partition.reading == Reading::Lost {
                partition.reading = Reading::Yes;
                self.effects.push_back(Effect::Resume(Arc::clone(&known.topic), number));
            }
        }
    }

    /// Reads partitions from the `first` on from their log start, where somebody listens since before they were there.
    fn read_what_appeared(&mut self, name: &Arc<str>, first: usize) {
        let Some(known) = self.topics.get_mut(name) else { return };
        let established = self.demands.values().filter(|demand| demand.established > 0);
        let wanted: BTreeSet<i32> =
            established.flat_map(|demand| partitions_of(&demand.reads, name, known)).collect();
        for number in wanted.into_iter().filter(|number| usize::try_from(*number).is_ok_and(|n| n >= first)) {
            if let Some(partition) = known.get_mut(number) {
                partition.reading = Reading::Yes;
                self.effects.push_back(Effect::Assign(Arc::clone(&known.topic), number, From::LogStart));
            }
        }
    }

    /// The partitions of those who wait, and those that could not be asked before.
    fn ends_to_ask(&mut self, found: &[Found]) -> Vec<(Arc<str>, i32)> {
        let mut ask = BTreeSet::new();
        let mut leaderless = Vec::new();
        let discovers = self.round.as_ref().is_some_and(|round| round.discovers);
        let waiting = self.round.iter().flat_map(|round| &round.waiting);
        let waiting: Vec<_> = waiting.filter_map(|waiting| self.demands.get(&waiting.pattern)).collect();
        for topic in found {
            let Some((name, known)) = self.topics.get_key_value(topic.name.as_str()) else { continue };
            let mut wanted: BTreeSet<i32> =
                waiting.iter().flat_map(|demand| partitions_of(&demand.reads, name, known)).collect();
            let pending = known.numbered().filter(|(_, partition)| partition.reading == Reading::Pending);
            wanted.extend(pending.map(|(number, _)| number));
            if discovers {
                wanted.extend(known.watched());
            }
            for number in wanted {
                let led = usize::try_from(number).ok().and_then(|number| topic.leaders.get(number));
                if led == Some(&true) {
                    ask.insert((Arc::clone(name), number));
                } else {
                    leaderless.push((Arc::clone(name), number));
                }
            }
        }
        if let Some(round) = &mut self.round {
            round.leaderless = leaderless;
        }
        ask.into_iter().collect()
    }

    /// Answers a subscriber, or has it wait on if nothing of what it wants could be asked; and for a while if not all could:
    /// a partition without leader takes no records, and most have one again soon.
    fn answer(
        &mut self,
        now: Instant,
        mut waiting: Waiting,
        there: &BTreeSet<Arc<str>>,
        denied: &BTreeSet<Arc<str>>,
        ends: &BTreeMap<(Arc<str>, i32), Result<i64, String>>,
    ) {
        let Some(demand) = self.demands.get_mut(&waiting.pattern) else { return };
        let mut start = Start::default();
        let mut failure = None;
        for name in there.iter().filter(|name| demand.reads.iter().any(|reads| reads.covers(name))) {
            let Some(known) = self.topics.get(name) else { continue };
            for number in partitions_of(&demand.reads, name, known) {
                match ends.get(&(Arc::clone(name), number)) {
                    Some(Ok(end)) => start.positions.set(Arc::clone(&known.topic), number, *end),
                    unknown => {
                        let reason = unknown.and_then(|end| end.as_ref().err());
                        failure = Some(reason.map_or("the partition has no leader", String::as_str));
                        start.pending.push((name.to_string(), number));
                    }
                }
            }
        }
        let mut literals = demand.reads.iter().flat_map(Reads::literals);
        let nothing = start.positions.is_empty() && failure.is_none();
        // What is kept warm is kept, until it may be read.
        if nothing && waiting.pattern != Listening::Warm && literals.any(|name| denied.contains(name)) {
            self.leave(now, waiting.shard, &waiting.pattern);
            self.effects.push_back(Effect::Reply(waiting.ticket, Err(SubscribeError::Denied)));
            return;
        }
        if failure.is_some() && !start.positions.is_empty() {
            waiting.partly_since.get_or_insert(now);
        }
        let patient = waiting.partly_since.is_none_or(|since| now < since + self.times.subscribe / 4);
        if let Some(reason) = failure.filter(|_| patient || start.positions.is_empty()) {
            self.last_failure = Some(reason.to_owned());
            self.queue.push(waiting);
            return;
        }
        demand.established += 1;
        self.effects.push_back(Effect::Reply(waiting.ticket, Ok(start)));
    }

    fn after_round(&mut self, now: Instant, discovered: bool, complete: bool) {
        if self.queue.is_empty() {
            self.last_failure = None;
        } else if self.last_failure.is_some() {
            self.retry_at = now + RETRY;
        }
        if discovered {
            self.discover_at = now + self.times.discovery;
        }
        let lost =
            |known: &Known| known.partitions.iter().any(|partition| partition.reading == Reading::Lost);
        if !complete || (discovered && self.topics.values().any(lost)) {
            self.discover_at = self.discover_at.min(now + QUICK);
        }
        self.tick(now);
    }

    fn round_failed(&mut self, now: Instant, reason: String) {
        let Some(round) = self.round.take() else { return };
        self.queue.splice(..0, round.waiting);
        self.doubt = self.doubt.or(round.doubt);
        self.last_failure = Some(reason);
        self.retry_at = now + RETRY;
        if round.discovers {
            self.discover_at = now + QUICK;
        }
        self.tick(now);
    }
}

fn partition_count(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
