//! How clients reach the hub: long-polling and WebSocket over HTTP/1.1; CORS and the browser cookie.

pub mod body;
pub mod cookie;
pub mod origin;
pub mod websocket;
