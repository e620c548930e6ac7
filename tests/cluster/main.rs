//! Several brokers, bad networks and security: records are numbered and counted.
//!
//! The cluster is shared, and taken by one test at a time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../support/mod.rs"]
mod support;

mod brokers;
mod network;
mod numbers;
