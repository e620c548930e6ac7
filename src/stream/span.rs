//! What a reader hands over: stretches of partitions.

use std::sync::Arc;

use super::Record;

/// One incarnation of a topic. A topic that was deleted and created again is another one.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Topic {
    /// Kafka's name of it.
    pub name: Box<str>,
    /// Tells the incarnations of one name apart, within this process.
    pub incarnation: u64,
}

/// A stretch of one partition: everything in `[from, to)` that matters to somebody.
///
/// `to` passes over offsets that carry no record (control records, aborted, compacted or filtered ones), so every decision about positions uses it.
#[derive(Debug)]
pub struct Span {
    /// The topic.
    pub topic: Arc<Topic>,
    /// The partition, from 0.
    pub partition: i32,
    /// The first offset covered.
    pub from: i64,
    /// The first offset not covered.
    pub to: i64,
    /// The records on channels, ascending by offset; one offset may be on several channels.
    pub records: Vec<Arc<Record>>,
}

/// What one turn of a reader brought; one allocation and one wake for a shard.
#[derive(Debug, Default)]
pub struct Batch {
    /// In the order read.
    pub spans: Vec<Span>,
    /// Bytes of the records, for bounds.
    pub size: usize,
}

impl Topic {
    /// The `incarnation`-th topic called `name`.
    pub fn new(name: Box<str>, incarnation: u64) -> Self {
        Self { name, incarnation }
    }
}
