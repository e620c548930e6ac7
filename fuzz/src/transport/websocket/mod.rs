#[path = "../../../../src/transport/websocket/decoder.rs"]
pub mod decoder;
#[path = "../../../../src/transport/websocket/frame.rs"]
pub mod frame;
#[path = "../../../../src/transport/websocket/inflate.rs"]
mod inflate;
