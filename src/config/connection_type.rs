//! The names of transports in handshakes (Bayeux 1.0 §3.6) and in the settings.

/// A transport that clients may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConnectionType {
    /// RFC 6455.
    WebSocket,
    /// Events by an `EventSource` of the browser, everything else by POST: Faye's.
    EventSource,
    /// Held POSTs.
    LongPolling,
    /// The same, by the name that Faye asks for when page and gateway are of different origins.
    CrossOriginLongPolling,
    /// Held GETs of a `<script>`: JSONP.
    CallbackPolling,
}

impl ConnectionType {
    /// All of them, those that clients had best use first.
    pub const ALL: [Self; 5] = [
        Self::WebSocket,
        Self::EventSource,
        Self::LongPolling,
        Self::CrossOriginLongPolling,
        Self::CallbackPolling,
    ];

    /// The transport called `name`, if Halley has it.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::EventSource => "eventsource",
            Self::LongPolling => "long-polling",
            Self::CrossOriginLongPolling => "cross-origin-long-polling",
            Self::CallbackPolling => "callback-polling",
        }
    }
}
