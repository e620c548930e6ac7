//! Health, readiness and metrics over HTTP, on an address of their own.

mod server;
mod state;

pub use server::serve;
pub use state::State;
