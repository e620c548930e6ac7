//! Next offsets, per partition.

use std::sync::Arc;

use super::Topic;

/// For each partition of some topics, the next offset that has not been seen.
///
/// A sorted list, not a map: subscriptions mostly name few partitions, and drop theirs soon after they started. It takes
/// thousands too: positions are set in about the order of their partitions, and one that is dropped is only marked.
#[derive(Clone, Debug, Default)]
pub struct Positions {
    /// By topic and partition. `None` is forgotten.
    entries: Vec<Entry>,
    /// Entries that are not forgotten.
    live: usize,
}

#[derive(Clone, Debug)]
struct Entry {
    topic: Arc<Topic>,
    partition: i32,
    next: Option<i64>,
}

impl Positions {
    /// Sets the next offset of a partition.
    pub fn set(&mut self, topic: Arc<Topic>, partition: i32, next: i64) {
        match self.find(&topic, partition) {
            Ok(at) => {
                if let Some(entry) = self.entries.get_mut(at) {
                    self.live += usize::from(entry.next.replace(next).is_none());
                }
            }
            Err(at) => {
                self.entries.insert(at, Entry { topic, partition, next: Some(next) });
                self.live += 1;
            }
        }
    }

    /// The next offset of a partition, if it is named.
    pub fn get(&self, topic: &Topic, partition: i32) -> Option<i64> {
        let at = self.find(topic, partition).ok()?;
        self.entries.get(at)?.next
    }

    /// Forgets a partition.
    pub fn remove(&mut self, topic: &Topic, partition: i32) {
        let Ok(at) = self.find(topic, partition) else { return };
        if self.entries.get_mut(at).is_some_and(|entry| entry.next.take().is_some()) {
            self.live -= 1;
        }
        // The list shrinks as often as its length halves, so that forgetting costs little and holds no memory for long.
        if self.live * 2 <= self.entries.len() {
            self.entries.retain(|entry| entry.next.is_some());
            self.entries.shrink_to_fit();
        }
    }

    /// Whether no partition is named.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Every partition named, with its next offset.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<Topic>, i32, i64)> {
        self.entries.iter().filter_map(|entry| Some((&entry.topic, entry.partition, entry.next?)))
    }

    fn find(&self, topic: &Topic, partition: i32) -> Result<usize, usize> {
        let wanted = (&*topic.name, topic.incarnation, partition);
        let place =
            |entry: &Entry| (&*entry.topic.name, entry.topic.incarnation, entry.partition).cmp(&wanted);
        self.entries.binary_search_by(place)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn positions_are_a_map(
            steps in prop::collection::vec((0usize..3, 0i32..4, prop::option::of(0i64..9)), 0..60),
        ) {
            let topics = [("b", 1), ("a", 2), ("a", 1)].map(|(name, n)| Arc::new(Topic::new(name.into(), n)));
            let mut positions = Positions::default();
            let mut model = BTreeMap::new();
            for (which, partition, next) in steps {
                let topic = &topics[which];
                let key = (topic.name.clone(), topic.incarnation, partition);
                if let Some(next) = next {
                    positions.set(topic.clone(), partition, next);
                    model.insert(key.clone(), next);
                } else {
                    positions.remove(topic, partition);
                    model.remove(&key);
                }
                prop_assert_eq!(positions.get(topic, partition), model.get(&key).copied());
                prop_assert_eq!(positions.is_empty(), model.is_empty());
                prop_assert!(positions.entries.len() <= model.len() * 2);
                let all = positions.iter().map(|(t, p, next)| ((t.name.clone(), t.incarnation, p), next));
                prop_assert!(all.eq(model.clone()));
            }
        }
    }

    #[test]
    fn thousands_of_partitions_are_no_work() {
        let topic = Arc::new(Topic::new("t".into(), 1));
        let mut positions = Positions::default();
        for partition in 0..100_000 {
            positions.set(topic.clone(), partition, 0);
        }
        for partition in 0..100_000 {
            assert_eq!(positions.get(&topic, partition), Some(0));
            positions.remove(&topic, partition);
        }
        assert!(positions.is_empty());
    }
}
