//! Publishes to records: where each goes, in which order, and what became of it.
//!
//! A [`Pipeline`] belongs to one shard and is a state machine without Kafka: it takes publishes, answers about topics and delivery
//! reports, and says what to ask, what to send and what to answer.

mod failure;
mod pipeline;
#[cfg(test)]
mod tests;

pub use pipeline::{Bounds, Effect, Extras, Outgoing, Pipeline, Token, shard_of};
