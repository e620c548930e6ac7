#[path = "../../../src/transport/body.rs"]
pub mod body;
pub mod websocket;
