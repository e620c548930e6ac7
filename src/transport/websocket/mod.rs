//! WebSocket (RFC 6455) with compression (RFC 7692), the server's side.

pub mod decoder;
mod extension;
pub mod frame;
pub mod handshake;
mod inflate;
mod link;
mod socket;
mod upgrade;
mod wire;

pub use link::Link;
pub use socket::{Handover, adopt};
pub(super) use upgrade::{connect, upgrade};
