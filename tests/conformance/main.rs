//! What the wire must be, and what happens to those who break it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../support/mod.rs"]
mod support;

mod bodies;
mod browsers;
mod callback_polling;
mod connect;
mod cors;
mod disconnect;
mod event_streams;
mod extensions;
mod handshake;
mod hostile;
mod limits;
mod pipelining;
mod publish;
mod raw;
mod sessions;
mod subscribe;
mod tolerance;
mod transports;
mod websocket;
mod wire;
