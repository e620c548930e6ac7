//! Many records to many subscribers, and what an idle gateway costs. One test at a time, on a machine that does nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../support/mod.rs"]
mod support;

mod fan_out;
mod start;
