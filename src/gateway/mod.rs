//! The gateway as a whole: built from settings, driven by its threads, taken down in order.
//!
//! - `load` reads and checks settings and mappings;
//! - `run` builds everything and takes it down again;
//! - `shard` is a shard's thread: it drives a [`crate::hub::Shard`] and a [`crate::publish::Pipeline`];
//! - `requests` has it drive its [`crate::service::Requests`], `replies` brings those their replies;
//! - `secure` is the thread of TLS handshakes;
//! - `inbox` is how other threads reach a shard.

#[cfg(feature = "dev")]
pub mod demo;
mod door;
mod inbox;
mod load;
mod local;
mod replies;
mod requests;
mod run;
#[cfg(feature = "dev")]
pub mod sample;
#[cfg(feature = "dev")]
mod samples;
mod secure;
mod shard;

pub use load::{Loaded, load, routes};
pub use run::{Gateway, MakeFallback};
#[cfg(feature = "dev")]
pub use samples::sample_routes;
