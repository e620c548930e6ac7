//! Real clients, unchanged: the CometD library in Node and in a browser; and the tools of the command line against Faye.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../support/mod.rs"]
mod support;

mod cometd;
mod faye;
mod page;
