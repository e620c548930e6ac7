//! Kafka and the gateway are killed and stopped; what was promised holds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../support/mod.rs"]
mod support;

mod drain;
mod outage;
