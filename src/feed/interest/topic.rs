//! One topic that is read: who listens to which partition.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::{Effect, Reads};
use crate::stream::Topic;

/// A topic that somebody listens to, or did until lately.
pub(super) struct Known {
    pub topic: Arc<Topic>,
    /// Kafka's id of it; 0 where it has none.
    pub id: u128,
    pub partitions: Vec<Partition>,
    /// All partitions are read, whatever the key: keys are not where they should be.
    pub widened: bool,
    shards: usize,
}

#[derive(Debug, Default)]
pub(super) struct Partition {
    pub reading: Reading,
    /// Since when nobody has listened, if it is read still.
    pub idle_since: Option<Instant>,
    /// Where one that is not read ended when topics were last looked for, and the time before that: what its topic's new
    /// partitions take away from keys read elsewhere cannot lie before the latter.
    pub ended: Option<i64>,
    pub ended_before: Option<i64>,
    /// How many patterns listen, by shard; the last place is for what is kept warm.
    listeners: Vec<u32>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Reading {
    #[default]
    Not,
    /// It is to be read from its end, which could not be asked for yet.
    Pending,
    Yes,
    /// Kafka did not have what was next. To be read on once it is known whether it is still the same topic.
    Lost,
}

impl Reading {
    /// Whether the reader has it.
    pub(super) fn is_begun(self) -> bool {
        matches!(self, Self::Yes | Self::Lost)
    }
}

/// The partitions of a topic that `reads` needs, each once.
pub(super) fn partitions_of<R: Reads>(reads: &[R], name: &str, known: &Known) -> Vec<i32> {
    let count = i32::try_from(known.partitions.len()).unwrap_or(i32::MAX);
    let mut partitions = Vec::new();
    for reads in reads.iter().filter(|reads| reads.covers(name)) {
        match reads.partition(count).filter(|_| !known.widened) {
            Some(partition) if !partitions.contains(&partition) => partitions.push(partition),
            Some(_) => {}
            None => return (0..count).collect(),
        }
    }
    partitions
}

// === impl Known ===

impl Known {
    pub(super) fn new(topic: Arc<Topic>, id: u128, shards: usize) -> Self {
        Self { topic, id, partitions: Vec::new(), widened: false, shards }
    }

    /// Grows to `count` partitions.
    pub(super) fn grow(&mut self, count: usize) {
        let places = self.shards + 1;
        self.partitions
            .resize_with(count, || Partition { listeners: vec![0; places], ..Partition::default() });
    }

    pub(super) fn get_mut(&mut self, partition: i32) -> Option<&mut Partition> {
        self.partitions.get_mut(usize::try_from(partition).ok()?)
    }

    /// Partitions with their numbers.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (i32, &Partition)> {
        (0..).zip(&self.partitions)
    }

    /// Partitions that nobody wants, of a topic that somebody reads by fixed keys: they have to be known where they end.
    pub(super) fn watched(&self) -> impl Iterator<Item = i32> {
        let some = self.partitions.iter().any(Partition::is_wanted);
        let rest = self.numbered().filter(move |(_, p)| some && !p.is_wanted() && p.reading == Reading::Not);
        rest.map(|(number, _)| number)
    }

    /// Whether nothing of it is read or wanted.
    pub(super) fn is_unused(&self) -> bool {
        self.partitions.iter().all(|partition| partition.reading == Reading::Not && !partition.is_wanted())
    }

    /// Counts a shard in or out.
    pub(super) fn count(
        &mut self,
        now: Instant,
        partition: i32,
        shard: usize,
        join: bool,
        effects: &mut VecDeque<Effect>,
        idle: &mut VecDeque<(Instant, Arc<Topic>, i32)>,
    ) {
        let topic = Arc::clone(&self.topic);
        let Some(at) = self.get_mut(partition) else { return };
        let before = at.mask();
        let Some(count) = at.listeners.get_mut(shard) else { return };
        *count = if join { *count + 1 } else { count.saturating_sub(1) };
        at.settle(now, before, &topic, partition, effects, idle);
    }

    /// Counts a shard in; to be settled later.
    pub(super) fn add(&mut self, partition: i32, shard: usize) {
        if let Some(count) = self.get_mut(partition).and_then(|partition| partition.listeners.get_mut(shard))
        {
            *count += 1;
        }
    }

    /// Forgets who listens; what is returned is for [`Known::settle_counts`].
    pub(super) fn clear_counts(&mut self) -> Vec<u64> {
        let masks = self.partitions.iter().map(Partition::mask).collect();
        self.partitions.iter_mut().for_each(|partition| partition.listeners.fill(0));
        masks
    }

    pub(super) fn settle_counts(
        &mut self,
        now: Instant,
        before: &[u64],
        effects: &mut VecDeque<Effect>,
        idle: &mut VecDeque<(Instant, Arc<Topic>, i32)>,
    ) {
        for ((number, partition), before) in (0..).zip(&mut self.partitions).zip(before) {
            partition.settle(now, *before, &self.topic, number, effects, idle);
        }
    }
}

// === impl Partition ===

impl Partition {
    /// Whether anybody listens.
    pub(super) fn is_wanted(&self) -> bool {
        self.listeners.iter().any(|count| *count > 0)
    }

    /// A bit for each shard that listens. Shards beyond the 64th share bits.
    fn mask(&self) -> u64 {
        let bit = |(shard, count): (usize, &u32)| if *count > 0 { 1 << (shard % 64) } else { 0 };
        let shards = self.listeners.len().saturating_sub(1);
        self.listeners.iter().take(shards).enumerate().map(bit).fold(0, |mask, bit| mask | bit)
    }

    /// Tells what changed for who listens.
    fn settle(
        &mut self,
        now: Instant,
        before: u64,
        topic: &Arc<Topic>,
        number: i32,
        effects: &mut VecDeque<Effect>,
        idle: &mut VecDeque<(Instant, Arc<Topic>, i32)>,
    ) {
        let mask = self.mask();
        if mask != before {
            effects.push_back(Effect::Listen(Arc::clone(topic), number, mask));
        }
        if self.is_wanted() {
            self.idle_since = None;
        } else if self.reading == Reading::Pending {
            self.reading = Reading::Not;
        } else if self.reading.is_begun() && self.idle_since.is_none() {
            self.idle_since = Some(now);
            idle.push_back((now, Arc::clone(topic), number));
        }
    }
}
