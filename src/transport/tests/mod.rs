//! The transports over real sockets, with a real hub behind them.

mod callback;
mod client;
mod driver;
mod http;
mod stream;
mod websocket;

pub(super) use driver::Recorder;
