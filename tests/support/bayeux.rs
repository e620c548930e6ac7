//! A Bayeux client over both transports, written from the protocol alone.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::http::{Http, PATIENCE};
use super::scan;
use super::ws::{CLOSE, PING, PONG, TEXT, Ws, frame};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    LongPolling,
    WebSocket,
}

/// The transports that every test of both goes through.
pub const BOTH: [Transport; 2] = [Transport::WebSocket, Transport::LongPolling];

/// A session. Between calls a connect is always with the gateway, as with a real client.
pub struct Client {
    pub transport: Transport,
    pub id: String,
    wire: Wire,
    next_id: u64,
    events: VecDeque<Value>,
    replies: VecDeque<Value>,
    /// Kept apart from the other replies; what a drain says is in its advice.
    connects: VecDeque<Value>,
}

enum Wire {
    WebSocket(Ws),
    /// One connection for the held connect, one for everything else: two at most (Bayeux R2).
    LongPolling {
        poll: Http,
        main: Http,
    },
}

/// What [`Client::receive`] is given: channel and data of one delivery.
pub type Delivery<'a> = (&'a [u8], &'a [u8]);

// === impl Transport ===

impl Transport {
    pub fn name(self) -> &'static str {
        match self {
            Self::LongPolling => "long-polling",
            Self::WebSocket => "websocket",
        }
    }
}

// === impl Client ===

impl Client {
    /// Handshakes, connects once, and leaves the next connect held.
    pub fn open(addr: SocketAddr, transport: Transport) -> Self {
        let wire = match transport {
            Transport::WebSocket => Wire::WebSocket(Ws::connect(addr, "/cometd")),
            Transport::LongPolling => {
                Wire::LongPolling { poll: Http::connect(addr), main: Http::connect(addr) }
            }
        };
        let mut client = Self {
            transport,
            id: String::new(),
            wire,
            next_id: 0,
            events: VecDeque::new(),
            replies: VecDeque::new(),
            connects: VecDeque::new(),
        };
        let reply = client.request(&json!({
            "channel": "/meta/handshake",
            "version": "1.0",
            "supportedConnectionTypes": [transport.name()],
        }));
        assert_eq!(reply["successful"], true, "{reply}");
        reply["clientId"].as_str().expect("a clientId").clone_into(&mut client.id);
        client.send_connect(Some(0)).expect("the connect is sent");
        let first = client.connect_reply(PATIENCE).expect("the first connect is answered");
        assert_eq!(first["successful"], true, "{first}");
        client
    }

    /// Handshakes and subscribes; the subscribe must succeed.
    pub fn subscribed(addr: SocketAddr, transport: Transport, channel: &str) -> Self {
        let mut client = Self::open(addr, transport);
        let reply = client.subscribe(channel);
        assert_eq!(reply["successful"], true, "{reply}");
        client
    }

    fn next_id(&mut self) -> String {
        self.next_id += 1;
        self.next_id.to_string()
    }

    /// Sends one message with an id of its own and the session's clientId; returns the id.
    pub fn send(&mut self, message: &Value) -> io::Result<String> {
        let id = self.next_id();
        self.resend(message, &id)?;
        Ok(id)
    }

    /// Sends a message with an id that was used before.
    pub fn resend(&mut self, message: &Value, id: &str) -> io::Result<()> {
        let mut message = message.clone();
        message["id"] = json!(id);
        if !self.id.is_empty() {
            message["clientId"] = json!(self.id);
        }
        let text = json!([message]).to_string();
        match &mut self.wire {
            Wire::WebSocket(ws) => ws.send_text(&text),
            Wire::LongPolling { main, .. } => main.send_post("/cometd", &[], text.as_bytes()),
        }
    }

    /// Sends a message and waits for the reply with its id.
    pub fn request(&mut self, message: &Value) -> Value {
        let id = self.send(message).expect("the message is sent");
        self.reply(&id, PATIENCE).expect("the message is answered")
    }

    /// The reply to a message sent before.
    pub fn reply(&mut self, id: &str, limit: Duration) -> io::Result<Value> {
        let until = Instant::now() + limit;
        loop {
            if let Some(found) = self.replies.iter().position(|reply| reply["id"] == id) {
                return Ok(self.replies.remove(found).expect("just found"));
            }
            self.pump(until, false)?;
        }
    }

    pub fn subscribe(&mut self, channel: &str) -> Value {
        self.request(&json!({ "channel": "/meta/subscribe", "subscription": channel }))
    }

    pub fn unsubscribe(&mut self, channel: &str) -> Value {
        self.request(&json!({ "channel": "/meta/unsubscribe", "subscription": channel }))
    }

    pub fn publish(&mut self, channel: &str, data: &Value) -> Value {
        self.request(&json!({ "channel": channel, "data": data }))
    }

    pub fn disconnect(&mut self) -> Value {
        self.request(&json!({ "channel": "/meta/disconnect" }))
    }

    fn send_connect(&mut self, timeout: Option<u64>) -> io::Result<()> {
        let mut connect = json!({
            "channel": "/meta/connect",
            "clientId": self.id,
            "connectionType": self.transport.name(),
            "id": self.next_id(),
        });
        if let Some(timeout) = timeout {
            connect["advice"] = json!({ "timeout": timeout });
        }
        let text = json!([connect]).to_string();
        match &mut self.wire {
            Wire::WebSocket(ws) => ws.send_text(&text),
            Wire::LongPolling { poll, .. } => poll.send_post("/cometd/connect", &[], text.as_bytes()),
        }
    }

    /// The next answer to a connect.
    pub fn connect_reply(&mut self, limit: Duration) -> io::Result<Value> {
        let until = Instant::now() + limit;
        loop {
            if let Some(reply) = self.connects.pop_front() {
                return Ok(reply);
            }
            self.pump(until, true)?;
        }
    }

    /// The connection that deliveries come on.
    pub fn stream(&mut self) -> &mut TcpStream {
        match &mut self.wire {
            Wire::WebSocket(ws) => ws.stream(),
            Wire::LongPolling { poll, .. } => poll.stream(),
        }
    }

    /// The next response on the connection of the held connect, as it is.
    pub fn raw_poll_response(&mut self, limit: Duration) -> io::Result<super::http::Response> {
        match &mut self.wire {
            Wire::LongPolling { poll, .. } => poll.response(Instant::now() + limit),
            Wire::WebSocket(_) => panic!("a WebSocket has no responses"),
        }
    }

    /// The next delivery, whole.
    pub fn event(&mut self, limit: Duration) -> io::Result<Value> {
        let until = Instant::now() + limit;
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            self.pump(until, true)?;
        }
    }

    /// The next delivery's channel and data; panics when none comes.
    pub fn expect_event(&mut self) -> (String, Value) {
        let event = self.event(Duration::from_secs(20)).expect("a delivery comes");
        let fields: Vec<&str> = event.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(fields, ["channel", "data"], "a delivery is channel and data: {event}");
        (event["channel"].as_str().expect("a channel").to_owned(), event["data"].clone())
    }

    /// Panics if anything is delivered within `limit`.
    pub fn expect_silence(&mut self, limit: Duration) {
        match self.event(limit) {
            Err(error) if error.kind() == ErrorKind::TimedOut => {}
            other => panic!("silence expected, not {other:?}"),
        }
    }

    /// Reads from the wire once and sorts what came. `poll`: from the connection with the held connect, else from the other.
    fn pump(&mut self, until: Instant, poll: bool) -> io::Result<()> {
        let mut messages = Vec::new();
        match &mut self.wire {
            Wire::WebSocket(ws) => {
                let frame = ws.receive(until)?;
                match frame.opcode {
                    TEXT => messages = parse(&frame.payload)?,
                    PING => ws.send_raw(&super::ws::frame(PONG, &frame.payload, true))?,
                    CLOSE => return Err(io::Error::other(format!("closed: {:?}", frame.close_code()))),
                    other => panic!("opcode {other}"),
                }
            }
            Wire::LongPolling { poll: polling, main } => {
                let response = if poll { polling } else { main }.response(until)?;
                if response.status != 200 {
                    return Err(io::Error::other(format!("status {}: {}", response.status, response.text())));
                }
                messages = parse(&response.body)?;
            }
        }
        for message in messages {
            self.sort(message)?;
        }
        Ok(())
    }

    fn sort(&mut self, message: Value) -> io::Result<()> {
        // An answer on a /service channel has both.
        if message.get("data").is_some() || message.get("successful").is_none() {
            self.events.push_back(message);
        } else if message["channel"] == "/meta/connect" {
            let goes_on = message["successful"] == true && message["advice"]["reconnect"] != "none";
            self.connects.push_back(message);
            if goes_on {
                self.send_connect(None)?;
            }
        } else {
            self.replies.push_back(message);
        }
        Ok(())
    }

    /// Hands every delivery to `each`, fast, until it breaks. Replies to connects are answered with the next connect on the way.
    ///
    /// # Errors
    /// Those of the socket; `TimedOut` at `until`.
    pub fn receive(
        &mut self,
        until: Instant,
        mut each: impl FnMut(Delivery<'_>) -> ControlFlow<()>,
    ) -> io::Result<()> {
        while let Some(event) = self.events.pop_front() {
            let channel = event["channel"].as_str().unwrap_or_default().to_owned();
            if each((channel.as_bytes(), event["data"].to_string().as_bytes())).is_break() {
                return Ok(());
            }
        }
        loop {
            let mut done = false;
            let mut replies = Vec::new();
            let mut look = |array: &[u8]| {
                scan::objects(array, |object| match scan::delivery(object) {
                    Some(delivery) => done |= each(delivery).is_break(),
                    None => replies.push(serde_json::from_slice::<Value>(object).expect("a reply in JSON")),
                });
            };
            match &mut self.wire {
                Wire::WebSocket(ws) => {
                    ws.fill(until)?;
                    let mut pong = None;
                    while let Some((opcode, payload)) = ws.take() {
                        match opcode {
                            TEXT => look(payload),
                            PING => pong = Some(frame(PONG, payload, true)),
                            other => return Err(io::Error::other(format!("opcode {other}"))),
                        }
                    }
                    if let Some(pong) = pong {
                        ws.send_raw(&pong)?;
                    }
                }
                Wire::LongPolling { poll, .. } => {
                    let response = poll.response(until)?;
                    if response.status != 200 {
                        return Err(io::Error::other(format!("status {}", response.status)));
                    }
                    look(&response.body);
                }
            }
            for reply in replies {
                self.sort(reply)?;
            }
            if done {
                return Ok(());
            }
        }
    }
}

fn parse(body: &[u8]) -> io::Result<Vec<Value>> {
    match serde_json::from_slice(body) {
        Ok(Value::Array(messages)) => Ok(messages),
        _ => Err(io::Error::other(format!("not an array: {}", String::from_utf8_lossy(body)))),
    }
}
