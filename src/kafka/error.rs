//! What goes wrong with Kafka, as the rest of Halley sees it.

/// Why a question to Kafka, or the start of a client, failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A client could not be started, for a reason on this machine.
    #[error("cannot start: {0}")]
    Start(String),
    /// No answer in time; Kafka may be away.
    #[error("no answer from Kafka in time: {0}")]
    TimedOut(String),
    /// ACLs keep these credentials from the topic.
    #[error("ACLs do not allow it")]
    Denied,
    /// Kafka answered with an error, or librdkafka gave up.
    #[error("{0}")]
    Kafka(String),
}
