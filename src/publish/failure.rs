//! What went wrong with a publish, in the words of the protocol.

use crate::bayeux::{Channel, Error};
use crate::kafka::{self, Outcome, SendError};
use crate::route::{TargetError, ValueError};

/// The gateway has no place for a publish, or the route does not take it.
pub(super) fn no_target(channel: &Channel, error: &TargetError) -> Error {
    match error {
        TargetError::UnknownChannel => Error::unknown_channel(channel.as_str()),
        TargetError::NotPublishable => Error::about(403, channel.as_str(), "publish_denied"),
        TargetError::Invalid { why } => Error::about(400, channel.as_str(), why.clone()),
    }
}

/// The route's format does not take the data.
pub(super) fn bad_value(channel: &Channel, error: &ValueError) -> Error {
    Error::about(400, channel.as_str(), format!("invalid_data, {error}"))
}

/// The topic that the channel stands for is not there.
pub(super) fn no_topic(channel: &Channel) -> Error {
    Error::about(404, channel.as_str(), "unknown_topic")
}

/// Kafka said nothing of the topic, so nothing was sent.
pub(super) fn not_asked(channel: &Channel, error: &kafka::Error) -> Error {
    match error {
        kafka::Error::Denied => denied(channel),
        _ => Error::about(504, channel.as_str(), "not_written, Kafka is out of reach"),
    }
}

/// Kafka's ACLs do not allow it.
fn denied(channel: &Channel) -> Error {
    Error::about(403, channel.as_str(), "denied_by_kafka")
}

/// The producer did not take the record.
pub(super) fn refused_send(channel: &Channel, error: &SendError) -> Error {
    match error {
        SendError::Busy => Error::busy(channel.as_str()),
        SendError::TooLarge => Error::about(413, channel.as_str(), "too_large"),
        SendError::UnknownTopic => no_topic(channel),
        SendError::Kafka(reason) => Error::about(502, channel.as_str(), format!("not_written, {reason}")),
    }
}

/// The result of a delivery report.
pub(super) fn unwritten(channel: &Channel, outcome: &Outcome) -> Result<(), Error> {
    match outcome {
        Outcome::Written { .. } => Ok(()),
        Outcome::TooLarge => Err(Error::about(413, channel.as_str(), "too_large")),
        Outcome::Denied => Err(denied(channel)),
        Outcome::NotWritten { reason } => {
            Err(Error::about(504, channel.as_str(), format!("not_written, {reason}")))
        }
        Outcome::Unknown { reason } => {
            Err(Error::about(504, channel.as_str(), format!("outcome_unknown, {reason}")))
        }
    }
}
