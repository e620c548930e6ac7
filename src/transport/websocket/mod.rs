//! WebSocket (RFC 6455) with compression (RFC 7692), the server's side.

pub mod decoder;
mod extension;
pub mod frame;
pub mod handshake;
mod inflate;
mod socket;
mod upgrade;

pub use socket::Handover;
pub(super) use socket::adopt;
pub(super) use upgrade::{connect, upgrade};
