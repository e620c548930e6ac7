//! The modules of the gateway that read bytes from clients, and what is fuzzed of them.

extern crate self as halley;

#[path = "../../src/bayeux/mod.rs"]
pub mod bayeux;
pub mod config;
#[path = "../../src/stream/mod.rs"]
pub mod stream;
#[path = "targets.rs"]
pub mod targets;
pub mod transport;
