//! Plain values that go into librdkafka and come out of it; `ffi` does the conversions.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::time::Duration;

pub(super) use rdkafka::bindings::rd_kafka_AclOperation_t as Right;
pub(super) use rdkafka::types::RDKafkaErrorCode as Code;

/// What a client is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Consumer,
    Producer,
}

/// A property that librdkafka does not accept.
#[derive(Debug)]
pub(super) enum Refused {
    Unknown,
    Invalid(String),
}

/// An error, and the partition that it is about.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub code: Code,
    pub text: String,
    /// Topic, partition and offset.
    pub at: Option<(String, i32, i64)>,
}

/// How far a message came, as far as librdkafka knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    NotPersisted,
    PossiblyPersisted,
    Persisted,
}

/// A message to send; all parts are copied.
pub(super) struct Outgoing<'a> {
    pub topic: &'a CStr,
    pub partition: i32,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
    /// Comes back in the delivery report.
    pub token: u64,
}

/// What Kafka says of a topic.
#[derive(Clone, Debug)]
pub(super) struct Description {
    pub name: String,
    pub id: u128,
    /// For each partition, whether it has a leader.
    pub leaders: Vec<bool>,
    pub error: Option<Code>,
    /// What these credentials may do, if that was asked for and is known.
    pub rights: Option<Vec<Right>>,
}

/// An offset of a partition.
#[derive(Clone, Debug)]
pub(super) struct PartitionOffset {
    pub topic: String,
    pub partition: i32,
    pub offset: Result<i64, Code>,
}

/// Which end of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The log start.
    Start,
    /// The last stable offset.
    Stable,
}

/// Milliseconds, as librdkafka counts time.
pub(super) fn millis(timeout: Duration) -> c_int {
    c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX)
}

/// Where bytes are and how many; null for none.
pub(super) fn parts_of(bytes: Option<&[u8]>) -> (*const c_void, usize) {
    bytes.map_or((ptr::null(), 0), |bytes| (bytes.as_ptr().cast(), bytes.len()))
}

/// The text in a buffer, up to its NUL.
pub(super) fn text_of(buffer: &[c_char]) -> String {
    buffer.iter().take_while(|c| **c != 0).map(|c| char::from(c.cast_unsigned())).collect()
}

/// A token as the opaque pointer of librdkafka's calls.
pub(super) fn opaque_of(token: u64) -> *mut c_void {
    ptr::without_provenance_mut(usize::try_from(token).unwrap_or(usize::MAX))
}

/// The token that an opaque pointer is.
pub(super) fn token_of(opaque: *mut c_void) -> u64 {
    opaque.addr() as u64
}
