//! The transports over real sockets, with a real hub behind them.

mod client;
mod driver;
mod http;
mod websocket;

pub(super) use driver::Recorder;
