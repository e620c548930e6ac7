//! TLS and HTTP/2 in front of everything: the same Bayeux as over plain HTTP/1.1, certificates that change, and clients that misbehave.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// Metrics that count are whole numbers.
#![allow(clippy::float_cmp)]

#[path = "../support/mod.rs"]
mod support;

mod certificates;
mod clients;
mod command_line;
mod http2;
mod memory;
mod rig;
mod transports;
mod tunnel;
