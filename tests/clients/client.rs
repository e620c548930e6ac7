//! A client of somebody else's, as the scenario sees it.
//!
//! A driver is given the gateway's URL and a transport, shakes hands at once, and speaks JSON lines:
//!
//! | it is told | it says, when the client says so |
//! | --- | --- |
//! | | `{"event":"ready","version":…}` first: which release of the client this is |
//! | | `{"event":"handshake","successful":…}` for every reply, also after the session was lost |
//! | `{"do":"subscribe","channel":…}` | `{"event":"subscribe","successful":…}` |
//! | `{"do":"publish","channel":…,"data":…}` | `{"event":"publish","successful":…}` |
//! | `{"do":"disconnect"}` | `{"event":"disconnect","successful":…}` |
//! | | `{"event":"message","channel":…,"data":…}` for every event |
//! | | `{"event":"failed","error":…}` when there is no going on |
//!
//! After a new handshake it subscribes to the same again, as the client's documentation tells applications to; where the client does that
//! itself, the driver does nothing.

use std::fmt;

use crate::support::driver::Driver;

/// What is asked of a client, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// It gets a session.
    Handshake,
    /// It subscribes.
    Subscribe,
    /// It publishes; Kafka has the record, and the client its own event.
    Publish,
    /// It gets the events of every other client, and that of a plain producer, once each.
    Receive,
    /// The gateway is killed and another started at its address: it gets events again.
    Restart,
    /// Its session expires because nothing comes from it for too long: it gets events again.
    Expiry,
    /// The gateway goes down in good order while another takes new connections: it gets events again.
    Drain,
    /// It disconnects, and the gateway has no session any more.
    Disconnect,
    /// The gateway has no WebSocket for it: it goes on with long-polling.
    Fallback,
}

/// What a client does other than it should, or not at all, and what its users can do.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub step: Step,
    pub what: &'static str,
    /// Whether the step fails every time: then one that works is a fault that is gone, and the table is wrong.
    pub always: bool,
}

/// Starts a driver for a URL and a transport.
type Start = dyn Fn(&str, &str) -> Driver;

/// A client over one transport.
pub struct Client {
    pub name: &'static str,
    /// As drivers are told: `websocket`, `long-polling`, ….
    pub transport: &'static str,
    /// What else is on.
    pub extensions: &'static str,
    /// The transport `any` leaves the choice to the client.
    pub start: Box<Start>,
    pub faults: Vec<Fault>,
}

impl Step {
    pub const ALL: [Self; 9] = [
        Self::Handshake,
        Self::Subscribe,
        Self::Publish,
        Self::Receive,
        Self::Restart,
        Self::Expiry,
        Self::Drain,
        Self::Disconnect,
        Self::Fallback,
    ];
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Handshake => "handshake",
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
            Self::Receive => "receive",
            Self::Restart => "restart",
            Self::Expiry => "expiry",
            Self::Drain => "drain",
            Self::Disconnect => "disconnect",
            Self::Fallback => "fallback",
        })
    }
}

// === impl Client ===

impl Client {
    pub fn new(
        name: &'static str,
        transport: &'static str,
        start: impl Fn(&str, &str) -> Driver + 'static,
    ) -> Self {
        let start = Box::new(start);
        Self { name, transport, extensions: "", start, faults: Vec::new() }
    }

    /// With an extension; its driver knows which.
    pub fn extended(mut self, extensions: &'static str) -> Self {
        self.extensions = extensions;
        self
    }

    /// Has a fault that shows every time.
    pub fn fault(mut self, step: Step, what: &'static str) -> Self {
        self.faults.push(Fault { step, what, always: true });
        self
    }

    /// Has a fault that shows now and then.
    pub fn whim(mut self, step: Step, what: &'static str) -> Self {
        self.faults.push(Fault { step, what, always: false });
        self
    }

    pub fn takes(&self, step: Step) -> bool {
        step != Step::Fallback || self.transport == "websocket"
    }

    pub fn known(&self, step: Step) -> Option<&Fault> {
        self.faults.iter().find(|fault| fault.step == step)
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} over {}", self.name, self.transport)?;
        if self.extensions.is_empty() { Ok(()) } else { write!(f, " with {}", self.extensions) }
    }
}
