//! Clients that do harm, by fault or on purpose: what they cost is bounded, and the others notice next to nothing.
//!
//! `witnesses` are the others, and measure; every other module is one way to do harm.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../support/mod.rs"]
mod support;

mod deaf;
mod flood;
mod half;
mod reset;
mod rush;
mod witnesses;
