//! Records and publishes against a real Kafka: what comes out is what went in, on the right channel, in the right topic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../support/mod.rs"]
mod support;

mod acl;
mod bad;
mod command_line;
mod publish;
mod records;
mod rig;
mod service;
mod tools;
mod transactions;
