//! How clients reach the hub: polling, event streams and WebSockets over HTTP/1.1 and HTTP/2; CORS and the browser cookie.

pub mod body;
mod callback;
mod connection;
mod cookie;
mod eventsource;
mod form;
mod http;
mod http2;
mod hub;
mod link;
mod open;
mod origin;
mod poll;
mod response;
#[cfg(test)]
mod tests;
pub mod websocket;
mod wire;

pub use http::{Fallback, Server, Settings, files};
pub use hub::{Handover, Hub, Peer, PostId};
pub use link::Link;
pub use origin::BadOrigin;
pub use response::{Body, text};
