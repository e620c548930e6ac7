//! Real clients, unchanged: in Node, in Java, in Python, in a browser; and the tools of the command line against Faye.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../support/mod.rs"]
mod support;

mod client;
mod cometd;
mod extensions;
mod faye;
mod java;
mod node;
mod page;
mod party;
mod remote_call;
mod scenario;
mod scripts;
mod table;
