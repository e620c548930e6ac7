//! Sockets: listening, accepting, and not waiting for ever on a peer that does not read; and the HTTP client.

mod client;
mod io;
mod listener;

pub use client::{Answer, BadUrl, Client, ClientError, Url};
pub use io::Io;
pub use listener::{accept, bind, raise_open_files};

/// Longest time that a peer may take without accepting a single byte of what is to be written to it.
pub const WRITE_STALL: std::time::Duration = std::time::Duration::from_secs(30);
