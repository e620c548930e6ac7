#[path = "../../../src/transport/body.rs"]
pub mod body;
pub mod websocket;
#[path = "../../../src/transport/form.rs"]
mod form;
