//! WebSocket (RFC 6455), the server's side.

pub mod frame;
pub mod handshake;
