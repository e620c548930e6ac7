//! The names of transports in handshakes (Bayeux 1.0 §3.6).

/// A transport that clients may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConnectionType {
    /// RFC 6455.
    WebSocket,
    /// Held POSTs.
    LongPolling,
}

impl ConnectionType {
    /// The transport called `name`, if Halley has it.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::WebSocket, Self::LongPolling].into_iter().find(|kind| kind.name() == name)
    }

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::LongPolling => "long-polling",
        }
    }
}
