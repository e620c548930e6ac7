//! Kafka as it is, on one broker: topics come, go, grow, shrink and are compacted while clients listen. Every test counts records
//! that carry a number.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../support/mod.rs"]
mod support;

mod grow;
mod large;
mod many;
mod numbers;
mod partitioner;
mod recreated;
mod shrink;
