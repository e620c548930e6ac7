//! One Bayeux client: what it says, and what it makes of the answers. Sans I/O.

use crate::histogram::Histogram;
use crate::record::{Record, SIZE, key_name};
use crate::{clock, wire};

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Transport {
    Websocket,
    LongPolling,
}

/// What all clients of a run have in common.
#[derive(Clone, Debug)]
pub struct Plan {
    pub transport: Transport,
    /// Of the `Host` header.
    pub host: String,
    /// Where Bayeux is mounted.
    pub path: String,
    /// Channels are this and a key.
    pub channel: String,
}

/// What all clients of a run have received.
#[derive(Debug, Default)]
pub struct Tally {
    /// Events, all of them.
    pub deliveries: u64,
    /// Events of another key than the client's, or with another content.
    pub wrong: u64,
    pub doubled: u64,
    /// Events that came after a later one.
    pub late: u64,
    /// Clients whose first held connect is under way.
    pub ready: usize,
    /// From the instant a record was due to its receipt, in microseconds; of records due in `measured`.
    pub latency: Histogram,
    /// Clock times; empty: none.
    pub measured: std::ops::Range<u64>,
    /// Events of records due in `measured`.
    pub counted: u64,
}

#[derive(Debug)]
pub struct Client {
    state: State,
    key: u32,
    id: String,
    next: u64,
    /// Numbers below `next` that have not come.
    missing: Vec<u64>,
    /// Length and place of the value in the frames that this client usually gets.
    usual: (usize, usize),
    /// What is to be sent.
    pub out: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Upgrading,
    Bayeux,
    Ready,
}

// === impl Client ===

impl Client {
    /// A client that listens to one key.
    pub fn new(plan: &Plan, key: u32) -> Self {
        let state = if plan.transport == Transport::Websocket { State::Upgrading } else { State::Bayeux };
        let mut client = Self {
            state,
            key,
            id: String::new(),
            next: 0,
            missing: Vec::new(),
            usual: (0, 0),
            out: Vec::new(),
        };
        match plan.transport {
            Transport::Websocket => {
                client.out.extend_from_slice(wire::upgrade(&plan.host, &plan.path).as_bytes());
            }
            Transport::LongPolling => client.handshake(plan),
        }
        client
    }

    /// Takes what is whole of `bytes`, and returns how many bytes that was.
    pub fn receive(&mut self, plan: &Plan, bytes: &[u8], tally: &mut Tally) -> Result<usize, String> {
        let mut taken = 0;
        loop {
            let rest = &bytes[taken..];
            if self.state == State::Upgrading {
                let Some(response) = wire::response(rest)? else { return Ok(taken) };
                if response.status != 101 {
                    return Err(format!("the upgrade was answered {}", response.status));
                }
                taken += response.length;
                self.state = State::Bayeux;
                self.handshake(plan);
            } else if plan.transport == Transport::LongPolling {
                let Some(response) = wire::response(rest)? else { return Ok(taken) };
                if response.status != 200 {
                    return Err(format!("a request was answered {}", response.status));
                }
                taken += response.length;
                self.payload(plan, &response.body, tally)?;
            } else {
                let Some(frame) = wire::frame(rest) else { return Ok(taken) };
                taken += frame.length;
                match frame.opcode {
                    wire::TEXT => self.payload(plan, frame.payload, tally)?,
                    wire::PING => wire::put_frame(wire::PONG, frame.payload, &mut self.out),
                    wire::CLOSE => return Err("the server closed".into()),
                    _ => {}
                }
            }
        }
    }

    fn payload(&mut self, plan: &Plan, payload: &[u8], tally: &mut Tally) -> Result<(), String> {
        let (length, at) = self.usual;
        if payload.len() == length
            && let Some(record) = Record::read(&payload[at..])
        {
            self.event(record, tally);
            return Ok(());
        }
        let mut rest = payload;
        let mut events = 0;
        while let Some(at) = Record::find(rest) {
            match Record::read(&rest[at..]) {
                Some(record) => self.event(record, tally),
                None => tally.wrong += 1,
            }
            events += 1;
            self.usual = (payload.len(), at);
            rest = rest.get(at + SIZE..).unwrap_or_default();
        }
        let meta = memchr::memmem::find(payload, b"/meta/").is_some();
        if events != 1 || meta {
            self.usual = (0, 0);
        }
        if meta { self.replies(plan, payload, tally) } else { Ok(()) }
    }

    fn event(&mut self, record: Record, tally: &mut Tally) {
        tally.deliveries += 1;
        if tally.measured.contains(&record.due) {
            tally.counted += 1;
            tally.latency.add(clock::now().saturating_sub(record.due) / 1000);
        }
        let number = record.number;
        if record.key != self.key {
            tally.wrong += 1;
        } else if number >= self.next {
            self.missing.extend(self.next..number);
            self.next = number + 1;
        } else if let Some(place) = self.missing.iter().position(|missing| *missing == number) {
            self.missing.swap_remove(place);
            tally.late += 1;
        } else {
            tally.doubled += 1;
        }
    }

    /// How many of the `written` records of its key have not come.
    pub fn lost(&self, written: u64) -> u64 {
        self.missing.len() as u64 + written.saturating_sub(self.next)
    }

    pub fn key(&self) -> u32 {
        self.key
    }

    fn replies(&mut self, plan: &Plan, payload: &[u8], tally: &mut Tally) -> Result<(), String> {
        let text = String::from_utf8_lossy(payload);
        if text.contains(r#""successful":false"#) {
            return Err(text.chars().take(400).collect());
        }
        if text.contains("/meta/handshake") {
            let id = text.split_once(r#""clientId":""#).and_then(|(_, rest)| rest.split_once('"'));
            id.ok_or("a handshake reply without clientId")?.0.clone_into(&mut self.id);
            let (id, channel, key) = (&self.id, &plan.channel, key_name(self.key));
            let subscribe = format!(
                r#"[{{"id":"2","channel":"/meta/subscribe","clientId":"{id}","subscription":"{channel}{key}"}}]"#
            );
            self.send(plan, &subscribe);
        } else if text.contains("/meta/subscribe") {
            self.connect(plan);
        } else if text.contains("/meta/connect") {
            if self.state != State::Ready {
                self.state = State::Ready;
                tally.ready += 1;
            }
            self.connect(plan);
        }
        Ok(())
    }

    fn handshake(&mut self, plan: &Plan) {
        self.send(
            plan,
            r#"[{"id":"1","channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["websocket","long-polling"]}]"#,
        );
    }

    fn connect(&mut self, plan: &Plan) {
        let kind = match plan.transport {
            Transport::Websocket => "websocket",
            Transport::LongPolling => "long-polling",
        };
        let id = &self.id;
        let connect = format!(
            r#"[{{"id":"3","channel":"/meta/connect","clientId":"{id}","connectionType":"{kind}"}}]"#
        );
        self.send(plan, &connect);
    }

    /// Sends messages as the transport has it.
    pub fn send(&mut self, plan: &Plan, messages: &str) {
        match plan.transport {
            Transport::Websocket => wire::put_frame(wire::TEXT, messages.as_bytes(), &mut self.out),
            Transport::LongPolling => {
                self.out.extend_from_slice(wire::post(&plan.host, &plan.path, messages).as_bytes());
            }
        }
    }
}
