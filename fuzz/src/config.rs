#[path = "../../src/config/connection_type.rs"]
mod connection_type;

pub use connection_type::ConnectionType;
