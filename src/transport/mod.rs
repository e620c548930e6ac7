//! How clients reach the hub: long-polling and WebSocket over HTTP/1.1 and HTTP/2; CORS and the browser cookie.

pub mod body;
mod connection;
mod cookie;
mod http;
mod http2;
mod hub;
mod longpoll;
mod origin;
mod response;
#[cfg(test)]
mod tests;
pub mod websocket;

pub use http::{Fallback, Server, Settings, files};
pub use hub::{Hub, Peer, PostId};
pub use origin::BadOrigin;
pub use response::{Body, text};
