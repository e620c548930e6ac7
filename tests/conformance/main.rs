//! What the wire must be, and what happens to those who break it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../support/mod.rs"]
mod support;

mod connect;
mod disconnect;
mod extensions;
mod handshake;
mod hostile;
mod limits;
mod publish;
mod raw;
mod sessions;
mod subscribe;
mod tolerance;
mod websocket;
mod wire;
