//! Next offsets, per partition.

use std::sync::Arc;

use super::Topic;

/// For each partition of some topics, the next offset that has not been seen.
///
/// A short list, not a map: subscriptions name few partitions, and most drop theirs soon after they started.
#[derive(Clone, Debug, Default)]
pub struct Positions(Vec<(Arc<Topic>, i32, i64)>);

impl Positions {
    /// Sets the next offset of a partition.
    pub fn set(&mut self, topic: Arc<Topic>, partition: i32, next: i64) {
        match self.find(&topic, partition) {
            Some(at) => at.2 = next,
            None => self.0.push((topic, partition, next)),
        }
    }

    /// The next offset of a partition, if it is named.
    pub fn get(&self, topic: &Topic, partition: i32) -> Option<i64> {
        self.0.iter().find(|(t, p, _)| *p == partition && **t == *topic).map(|(_, _, next)| *next)
    }

    /// Forgets a partition.
    pub fn remove(&mut self, topic: &Topic, partition: i32) {
        self.0.retain(|(t, p, _)| *p != partition || **t != *topic);
    }

    /// Whether no partition is named.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every partition named, with its next offset.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<Topic>, i32, i64)> {
        self.0.iter().map(|(topic, partition, next)| (topic, *partition, *next))
    }

    fn find(&mut self, topic: &Topic, partition: i32) -> Option<&mut (Arc<Topic>, i32, i64)> {
        self.0.iter_mut().find(|(t, p, _)| *p == partition && **t == *topic)
    }
}
