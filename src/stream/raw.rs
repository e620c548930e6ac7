//! A record as Kafka hands it over, borrowed.

/// One record of a topic, borrowed from wherever its bytes are.
///
/// The same view serves a record that a reader just received and one that is kept for rendering.
#[derive(Clone, Copy, Debug)]
pub struct RawRecord<'a> {
    /// The topic's name.
    pub topic: &'a str,
    /// The partition, from 0.
    pub partition: i32,
    /// The offset in the partition.
    pub offset: i64,
    /// Milliseconds since 1970, where the record has a time.
    pub timestamp: Option<i64>,
    /// The key's bytes; `None` is a record without key.
    pub key: Option<&'a [u8]>,
    /// The value's bytes; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Headers in order; a header may be repeated, its value may be null.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
}

impl<'a> RawRecord<'a> {
    /// The value of the last header called `name` (Kafka's `lastHeader`); `None` if there is none or it is null.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers.iter().rev().find(|(key, _)| *key == name).and_then(|(_, value)| *value)
    }
}
