//! Messages as a test writes them, over either transport, and all that comes back.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::bayeux::Transport;
use crate::support::gateway::{Gateway, LOCAL};
use crate::support::http::{Http, Response};
use crate::support::ws::{CLOSE, PING, TEXT, Ws};

/// How long an answer may take that is not held.
pub const SOON: Duration = Duration::from_secs(10);

/// A connection and what was said on it.
pub struct Raw {
    pub transport: Transport,
    wire: Wire,
}

enum Wire {
    Http(Http),
    WebSocket(Ws),
}

/// A gateway whose channels are `/chat/ROOM` and `/deep/ANY/THING`.
pub fn gateway(settings: &str) -> Gateway {
    Gateway::local(LOCAL, settings)
}

/// The messages of a response: always 200, always JSON, always an array, never empty.
pub fn messages(response: &Response) -> Vec<Value> {
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.header("content-type"), Some("application/json;charset=UTF-8"));
    let Value::Array(messages) = response.json() else { panic!("always an array: {}", response.text()) };
    assert!(!messages.is_empty(), "never an empty array");
    messages
}

/// Whether a message is a reply: deliveries have no `successful`.
pub fn is_reply(message: &Value) -> bool {
    message.get("successful").is_some()
}

// === impl Raw ===

impl Raw {
    pub fn connect(addr: SocketAddr, transport: Transport) -> Self {
        let wire = match transport {
            Transport::LongPolling => Wire::Http(Http::connect(addr)),
            Transport::WebSocket => Wire::WebSocket(Ws::connect(addr, "/cometd")),
        };
        Self { transport, wire }
    }

    /// A connection and a session that was shaken hands.
    pub fn shaken(addr: SocketAddr, transport: Transport) -> (Self, String) {
        let mut raw = Self::connect(addr, transport);
        let reply = raw.one(&json!({
            "channel": "/meta/handshake",
            "version": "1.0",
            "supportedConnectionTypes": [transport.name()],
        }));
        assert_eq!(reply["successful"], true, "{reply}");
        let id = reply["clientId"].as_str().expect("a clientId").to_owned();
        (raw, id)
    }

    /// A connection and a session with its first connect behind it.
    pub fn session(addr: SocketAddr, transport: Transport) -> (Self, String) {
        let (mut raw, id) = Self::shaken(addr, transport);
        let reply = raw.one(&raw.connect_message(&id));
        assert_eq!(reply["successful"], true, "{reply}");
        (raw, id)
    }

    /// A connect that says no more than it must.
    pub fn connect_message(&self, id: &str) -> Value {
        json!({ "channel": "/meta/connect", "clientId": id, "connectionType": self.transport.name() })
    }

    /// Sends a text as one body or frame.
    pub fn send(&mut self, text: &str) {
        match &mut self.wire {
            Wire::Http(http) => http.send_post("/cometd", &[], text.as_bytes()).expect("the body is sent"),
            Wire::WebSocket(ws) => ws.send_text(text).expect("the frame is sent"),
        }
    }

    /// The messages of the next body or frame.
    pub fn receive(&mut self, limit: Duration) -> io::Result<Vec<Value>> {
        let until = Instant::now() + limit;
        match &mut self.wire {
            Wire::Http(http) => http.response(until).map(|response| messages(&response)),
            Wire::WebSocket(ws) => loop {
                let frame = ws.receive(until)?;
                match frame.opcode {
                    TEXT => return Ok(serde_json::from_slice(&frame.payload).expect("always an array")),
                    PING => {}
                    CLOSE => return Err(io::Error::other(format!("closed: {:?}", frame.close_code()))),
                    other => panic!("opcode {other}"),
                }
            },
        }
    }

    /// Receives until replies come; whatever came, in its order.
    pub fn until_replies(&mut self, limit: Duration) -> Vec<Value> {
        let until = Instant::now() + limit;
        let mut all: Vec<Value> = Vec::new();
        while !all.iter().any(is_reply) {
            all.extend(self.receive(until - Instant::now()).expect("an answer comes"));
        }
        all
    }

    /// Sends messages and receives until they are answered; whatever came, in its order.
    pub fn all(&mut self, messages: &Value) -> Vec<Value> {
        self.send(&messages.to_string());
        self.until_replies(SOON)
    }

    /// Sends messages; the replies to them.
    pub fn replies(&mut self, messages: &Value) -> Vec<Value> {
        let mut all = self.all(messages);
        all.retain(is_reply);
        all
    }

    /// Sends one message, bare; its reply.
    pub fn one(&mut self, message: &Value) -> Value {
        let mut replies = self.replies(message);
        assert_eq!(replies.len(), 1, "one message, one reply: {replies:?}");
        replies.remove(0)
    }

    /// Nothing comes for a while.
    pub fn expect_silence(&mut self, limit: Duration) {
        match self.receive(limit) {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
            other => panic!("silence expected, not {other:?}"),
        }
    }

    /// The WebSocket under it.
    pub fn ws(&mut self) -> &mut Ws {
        match &mut self.wire {
            Wire::WebSocket(ws) => ws,
            Wire::Http(_) => panic!("this is no WebSocket"),
        }
    }

    /// The HTTP connection under it.
    pub fn http(&mut self) -> &mut Http {
        match &mut self.wire {
            Wire::Http(http) => http,
            Wire::WebSocket(_) => panic!("this is no plain HTTP"),
        }
    }
}
