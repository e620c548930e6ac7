//! Plain values that go into librdkafka and come out of it; `ffi` does the conversions.

use std::ffi::CStr;

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
