//! What Kafka says of topics.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::kafka::native::{Code, Description, Right};
use crate::kafka::words;
use crate::telemetry::Every;

/// A topic as it is in Kafka now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The topic's name.
    pub name: String,
    /// Kafka's id of this incarnation of the topic; 0 where brokers are too old to have one.
    pub id: u128,
    /// For each partition, whether it has a leader, without which nothing can be asked of it.
    pub leaders: Vec<bool>,
}

/// What became of a look at topics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// Those that exist and may be read.
    pub found: Vec<Found>,
    /// Those that ACLs keep these credentials from reading, or from seeing whether they exist.
    pub denied: BTreeSet<Arc<str>>,
}

/// A topic as these credentials see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// The topic's name.
    pub name: String,
    /// The topic; `None` if there is none, or why it is not shown, in librdkafka's words.
    pub found: Result<Option<Found>, String>,
    /// Whether its records may be read, where Kafka says that.
    pub may_read: Option<bool>,
    /// Whether records may be written to it, where Kafka says that.
    pub may_write: Option<bool>,
}

/// Whether ACLs keep these credentials from reading a topic; brokers that do not say so count as willing.
pub(super) fn is_denied(topic: &Description) -> bool {
    let unreadable = |rights: &Vec<Right>| !rights.contains(&Right::RD_KAFKA_ACL_OPERATION_READ);
    match topic.error {
        None | Some(Code::LeaderNotAvailable) => topic.rights.as_ref().is_some_and(unreadable),
        Some(code) => code == Code::TopicAuthorizationFailed,
    }
}

pub(super) fn found(description: Description) -> Option<Found> {
    static REFUSED: Every = Every::new(Duration::from_secs(10));
    let Description { name, id, leaders, error, .. } = description;
    match error {
        // A topic just created may still lack its leaders, which is an error to librdkafka.
        None | Some(Code::LeaderNotAvailable) => (!leaders.is_empty()).then_some(Found { name, id, leaders }),
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => None,
        Some(code) => {
            if let Some(suppressed) = REFUSED.due(Instant::now()) {
                let reason = words(code);
                tracing::warn!(topic = name, reason, suppressed, "Kafka does not show a topic");
            }
            None
        }
    }
}

pub(super) fn inspected(description: Description) -> Inspected {
    let may = |right| description.rights.as_ref().map(|rights| rights.contains(&right));
    let (may_read, may_write) =
        (may(Right::RD_KAFKA_ACL_OPERATION_READ), may(Right::RD_KAFKA_ACL_OPERATION_WRITE));
    let Description { name, id, leaders, error, .. } = description;
    let found = match error {
        None | Some(Code::LeaderNotAvailable) => Ok(Some(Found { name: name.clone(), id, leaders })),
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => Ok(None),
        // The same answer for a topic that is not there: Kafka does not say more to those who may not see it.
        Some(Code::TopicAuthorizationFailed) => {
            Err("these credentials may not see whether it exists (ACL: Describe)".to_owned())
        }
        Some(code) => Err(words(code)),
    };
    Inspected { name, found, may_read, may_write }
}

pub(super) fn count_of(topic: &Found) -> i32 {
    i32::try_from(topic.leaders.len()).unwrap_or(i32::MAX)
}
