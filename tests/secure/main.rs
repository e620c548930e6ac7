//! A cluster that wants TLS and a password: what is in order works as ever, what is not is told, and no password is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../support/mod.rs"]
mod support;

mod broker;
mod refused;
mod trusted;
