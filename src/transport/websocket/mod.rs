//! WebSocket (RFC 6455), the server's side.

pub mod frame;
pub mod handshake;
mod link;
mod socket;
mod upgrade;
mod wire;

pub use link::Link;
pub use socket::{Handover, adopt};
pub(super) use upgrade::{connect, upgrade};
