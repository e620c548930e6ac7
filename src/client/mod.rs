//! A Bayeux client for the tools of the command line, against any Bayeux server.
//!
//! - `message` is what goes over the wire;
//! - `session` is the protocol: messages and instants in, messages and news out, no I/O;
//! - `wire` is the two transports;
//! - `run` drives a session over a wire, and over the next one when that breaks.

mod message;
mod run;
mod session;
mod wire;

pub use run::{Client, Error};
pub use session::News;
pub use wire::Transport;

#[cfg(test)]
mod tests;
