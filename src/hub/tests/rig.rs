//! A shard with both of its ends in hand: clients, and what stands for Kafka.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::io::IoSlice;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};

use crate::bayeux::{Channel, ConnectionType, Error, Limits, Pattern, parse};
use crate::hub::{
    Event, HttpId, Input, Output, PublishTicket, SessionKey, Settings, Shard, SocketKey, SubscribeTicket, Via,
};
use crate::stream::{Batch, Body, Positions, RawRecord, Record, Render, Source, Span, Topic};

/// Sessions of [`settings`] that may wait for their first connect.
pub(super) const MAX_UNCONNECTED: usize = 50;

const LIMITS: Limits = Limits { batch: 1000, depth: 32, channel: 400 };

/// Renders the value as it is.
struct Copied;

/// A WebSocket's other end.
#[derive(Default)]
struct Wire {
    bytes: Vec<u8>,
    /// Whether it is an event stream.
    blocks: bool,
    /// Bytes that it takes before it is full; `None`: any number.
    room: Option<usize>,
}

/// A publish that Kafka has not answered.
pub(super) struct Produced {
    pub(super) ticket: PublishTicket,
    pub(super) session: SessionKey,
    pub(super) channel: String,
    pub(super) id: Option<String>,
    pub(super) data: String,
    pub(super) binary: Option<String>,
}

/// An [`Output::Close`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Closed {
    pub(super) socket: SocketKey,
    pub(super) code: u16,
    pub(super) grace: Duration,
}

pub(super) struct Rig {
    pub(super) shard: Shard,
    pub(super) now: Instant,
    pub(super) browser: Option<&'static str>,
    pub(super) peer: IpAddr,
    pub(super) multiplexed: bool,
    /// Whether responses are taken as soon as they are there.
    pub(super) takes: bool,
    next_http: HttpId,
    /// The time of day, ms.
    pub(super) clock: Rc<Cell<i64>>,
    responses: BTreeMap<HttpId, Vec<Value>>,
    cookies: HashMap<HttpId, String>,
    wires: HashMap<SocketKey, Wire>,
    /// Subscribes that wait for positions.
    pub(super) asked: VecDeque<(SubscribeTicket, Pattern)>,
    /// Listeners by pattern: successful subscribes less unsubscribes.
    pub(super) demand: HashMap<Pattern, i64>,
    pub(super) produced: VecDeque<Produced>,
    pub(super) closed: Vec<Closed>,
    pub(super) ended: Vec<SessionKey>,
    topics: HashMap<String, Arc<Topic>>,
}

impl Render for Copied {
    fn data(&self, record: &RawRecord<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(record.value.unwrap_or(b"null"));
    }
}

/// An event on `channel` whose data is the number `n`.
pub(in crate::hub) fn event(channel: &str, n: i64) -> Event {
    event_of(channel, &n.to_string())
}

/// An event on `channel` with this data.
pub(in crate::hub) fn event_of(channel: &str, data: &str) -> Event {
    Rc::new(Arc::new(record(channel, None, data)))
}

fn record(channel: &str, source: Option<Source>, value: &str) -> Record {
    let raw = RawRecord {
        topic: "",
        partition: 0,
        offset: 0,
        timestamp: None,
        key: None,
        value: Some(value.as_bytes()),
        headers: &[],
    };
    Record::new(Channel::parse(channel).unwrap(), source, Arc::new(Body::copy(&raw, false)), Arc::new(Copied))
}

pub(super) fn settings() -> Settings {
    Settings {
        shard: 3,
        timeout: Duration::from_secs(30),
        interval: Duration::ZERO,
        max_interval: Duration::from_mins(1),
        types: ConnectionType::ALL.to_vec(),
        clients_per_browser: Some(1),
        multi_client_interval: Duration::from_secs(2),
        max_unconnected: MAX_UNCONNECTED,
        max_subscriptions: 20,
        root_patterns: true,
        queue_bytes: 10_000,
        publishes_per_session: 4,
        activity: None,
        publish_rate: None,
        addresses: None,
    }
}

pub(super) fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap()
}

/// The events among messages, as `(channel, data)`.
pub(super) fn events(messages: &[Value]) -> Vec<(String, i64)> {
    messages
        .iter()
        .filter(|message| message.get("data").is_some())
        .map(|event| (event["channel"].as_str().unwrap().to_owned(), event["data"].as_i64().unwrap()))
        .collect()
}

/// The data of the events among messages.
pub(super) fn numbers(messages: &[Value]) -> Vec<i64> {
    events(messages).into_iter().map(|(_, number)| number).collect()
}

impl Rig {
    pub(super) fn new() -> Self {
        Self::with(settings())
    }

    pub(super) fn with(settings: Settings) -> Self {
        let mut seed = 1u64;
        let entropy = Box::new(move |bytes: &mut [u8]| {
            for byte in bytes {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                *byte = (seed >> 56) as u8;
            }
        });
        let clock = Rc::new(Cell::new(1_000_000));
        let told = clock.clone();
        Self {
            shard: Shard::new(settings, entropy, Box::new(move || told.get())),
            now: Instant::now(),
            browser: None,
            peer: Ipv4Addr::LOCALHOST.into(),
            multiplexed: false,
            takes: true,
            clock,
            next_http: 0,
            responses: BTreeMap::new(),
            cookies: HashMap::new(),
            wires: HashMap::new(),
            asked: VecDeque::new(),
            demand: HashMap::new(),
            produced: VecDeque::new(),
            closed: Vec::new(),
            ended: Vec::new(),
            topics: HashMap::new(),
        }
    }

    // === What happens ===

    pub(super) fn tell(&mut self, input: Input) {
        self.shard.handle(input, self.now);
        self.act();
    }

    fn act(&mut self) {
        self.flush();
        self.shard.handle(Input::Flush, self.now);
        while let Some(output) = self.shard.poll_output() {
            match output {
                Output::Respond(http, response) => {
                    let parsed =
                        response.objects.iter().map(|object| serde_json::from_slice(object).unwrap());
                    assert!(self.responses.insert(http, parsed.collect()).is_none(), "answered twice");
                    if let Some(browser) = response.browser {
                        self.cookies.insert(http, browser.into());
                    }
                    if self.takes {
                        self.shard.handle(Input::Taken(http), self.now);
                        self.shard.handle(Input::Flush, self.now);
                    }
                }
                Output::Subscribe(ticket, pattern) => self.asked.push_back((ticket, pattern)),
                Output::Unsubscribe(pattern) => {
                    let listeners = self.demand.get_mut(&pattern).expect("nobody listens there");
                    *listeners -= 1;
                    assert!(*listeners >= 0, "unsubscribed too often from {pattern}");
                }
                Output::Ended(session) => self.ended.push(session),
                Output::Publish { ticket, session, channel, id, data, binary } => {
                    self.produced.push_back(Produced {
                        ticket,
                        session,
                        channel: channel.as_str().into(),
                        id: id.map(|id| String::from_utf8(id.to_vec()).unwrap()),
                        data: String::from_utf8(data.to_vec()).unwrap(),
                        binary: binary.map(|binary| String::from_utf8(binary.to_vec()).unwrap()),
                    });
                }
                Output::Close { socket, code, reason: _, grace } => {
                    self.closed.push(Closed { socket, code, grace });
                }
            }
        }
        self.flush();
    }

    fn flush(&mut self) {
        while let Some(socket) = self.shard.poll_flush() {
            self.write(socket);
        }
    }

    /// Lets time pass.
    pub(super) fn after(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while let Some(due) = self.shard.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.tell(Input::Timeout);
        }
        self.now = end;
    }

    fn request(&mut self, via: Via, body: &Value) {
        let messages = parse(&Bytes::from(body.to_string()), &LIMITS).unwrap();
        let browser = self.browser.map(Into::into);
        self.tell(Input::Request { via, browser, peer: self.peer, multiplexed: self.multiplexed, messages });
    }

    // === Clients on HTTP ===

    /// Sends an HTTP request.
    pub(super) fn post(&mut self, body: &Value) -> HttpId {
        self.next_http += 1;
        let http = self.next_http;
        self.request(Via::Http(http), body);
        http
    }

    /// What an HTTP request was answered, if it was.
    pub(super) fn response(&mut self, http: HttpId) -> Option<Vec<Value>> {
        self.responses.remove(&http)
    }

    /// The cookie that came with a response.
    pub(super) fn cookie(&self, http: HttpId) -> Option<&str> {
        self.cookies.get(&http).map(String::as_str)
    }

    /// Sends an HTTP request that is answered at once.
    pub(super) fn call(&mut self, body: &Value) -> Vec<Value> {
        let http = self.post(body);
        self.response(http).expect("answered at once")
    }

    // === Clients on WebSockets ===

    pub(super) fn open(&mut self) -> SocketKey {
        let socket = self.shard.open_socket(false);
        self.wires.insert(socket, Wire::default());
        socket
    }

    /// Opens an event stream for a session.
    pub(super) fn stream(&mut self, id: &str) -> SocketKey {
        let socket = self.shard.open_stream();
        self.wires.insert(socket, Wire { blocks: true, ..Wire::default() });
        let browser = self.browser.map(Into::into);
        self.tell(Input::Stream { socket, client_id: id.into(), browser });
        socket
    }

    pub(super) fn send(&mut self, socket: SocketKey, body: &Value) {
        self.request(Via::Socket(socket), body);
    }

    /// The socket takes no more than so many bytes; `None`: as many as there are.
    pub(super) fn narrow(&mut self, socket: SocketKey, room: Option<usize>) {
        self.wires.get_mut(&socket).unwrap().room = room;
        self.write(socket);
    }

    /// The socket breaks.
    pub(super) fn lose(&mut self, socket: SocketKey) {
        self.wires.remove(&socket);
        self.tell(Input::SocketClosed(socket));
    }

    fn write(&mut self, socket: SocketKey) {
        let Some(wire) = self.wires.get_mut(&socket) else { return };
        while let Some(outbox) = self.shard.outbox(socket).filter(|outbox| !outbox.is_empty()) {
            let mut slices = [IoSlice::new(&[]); 3];
            let filled = outbox.fill(&mut slices);
            let ready: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
            let count = wire.room.map_or(ready.len(), |room| room.min(ready.len()));
            if count == 0 {
                return;
            }
            wire.room = wire.room.map(|room| room - count);
            wire.bytes.extend_from_slice(&ready[..count]);
            outbox.wrote(count);
        }
    }

    /// The whole frames that a socket received since the last call, each an array of messages.
    pub(super) fn frames(&mut self, socket: SocketKey) -> Vec<Vec<Value>> {
        let Some(wire) = self.wires.get_mut(&socket) else { return Vec::new() };
        let mut frames = Vec::new();
        while let Some(end) = wire.bytes.windows(2).position(|end| end == b"\n\n").filter(|_| wire.blocks) {
            let block = String::from_utf8(wire.bytes.drain(..end + 2).collect()).unwrap();
            frames.push(serde_json::from_str(block.strip_prefix("data: ").unwrap()).unwrap());
        }
        while let Some((header, length)) =
            frame(&wire.bytes).filter(|(h, l)| !wire.blocks && wire.bytes.len() >= h + l)
        {
            assert_eq!(wire.bytes[0], 0x81);
            frames.push(serde_json::from_slice(&wire.bytes[header..header + length]).unwrap());
            wire.bytes.drain(..header + length);
        }
        frames
    }

    /// The messages that a socket received since the last call, of whatever frames.
    pub(super) fn received(&mut self, socket: SocketKey) -> Vec<Value> {
        self.frames(socket).into_iter().flatten().collect()
    }

    // === Common requests ===

    /// A session that polls, and has connected once.
    pub(super) fn poller(&mut self) -> String {
        let id = client_id(&self.call(&handshake()));
        assert_eq!(self.call(&connect(&id)).len(), 1);
        id
    }

    /// A session that polls and acknowledges, and has connected once: batch 1 is closed.
    pub(super) fn acker(&mut self) -> String {
        let reply = self.call(&handshake_with_ack());
        assert_eq!(reply[0]["ext"], json!({"ack": true}));
        let id = client_id(&reply);
        assert_eq!(batch_of(&self.call(&connect_ack(&id, 0))), Some(1));
        id
    }

    /// A session on a socket of its own, which has connected once; its connect is held.
    pub(super) fn streamer(&mut self) -> (String, SocketKey) {
        let socket = self.open();
        self.send(socket, &handshake());
        let id = client_id(&self.received(socket));
        self.send(socket, &connect(&id));
        assert_eq!(self.received(socket).len(), 1);
        self.send(socket, &connect(&id));
        assert_eq!(self.received(socket).len(), 0);
        (id, socket)
    }

    /// Subscribes a session by HTTP; Kafka answers at once.
    pub(super) fn subscribed(&mut self, id: &str, pattern: &str) {
        let http = self.post(&subscribe(id, &json!(pattern)));
        self.grant();
        assert_eq!(self.response(http).unwrap()[0]["successful"], true);
    }

    // === Kafka ===

    fn answer_first(&mut self, result: Result<Positions, Error>) {
        let (ticket, pattern) = self.asked.pop_front().expect("a subscribe");
        if result.is_ok() {
            *self.demand.entry(pattern).or_default() += 1;
        }
        self.tell(Input::Subscribed(ticket, result));
    }

    /// Answers all subscribes that wait: everything from now on.
    pub(super) fn grant(&mut self) {
        while !self.asked.is_empty() {
            self.answer_first(Ok(Positions::default()));
        }
    }

    /// Answers the first subscribe that waits with positions of topic `t`.
    pub(super) fn grant_from(&mut self, starts: &[(i32, i64)]) {
        let mut positions = Positions::default();
        let topic = self.topic("t");
        for (partition, next) in starts {
            positions.set(topic.clone(), *partition, *next);
        }
        self.answer_first(Ok(positions));
    }

    /// Refuses the first subscribe that waits.
    pub(super) fn deny(&mut self) {
        let name = self.asked[0].1.clone();
        self.answer_first(Err(Error::unknown_channel(name.as_str())));
    }

    /// Answers the first publish that waits.
    pub(super) fn produce(&mut self, result: Result<(), Error>) {
        let produced = self.produced.pop_front().expect("a publish");
        self.tell(Input::Published(produced.ticket, result));
    }

    fn topic(&mut self, name: &str) -> Arc<Topic> {
        self.topics.entry(name.into()).or_insert_with(|| Arc::new(Topic::new(name.into(), 1))).clone()
    }

    /// Records of topic `t`: channel, partition, offset; their data is the offset.
    pub(super) fn records(&mut self, records: &[(&str, i32, i64)]) {
        let values: Vec<String> = records.iter().map(|(_, _, offset)| offset.to_string()).collect();
        let records: Vec<_> =
            records.iter().zip(&values).map(|((c, p, o), value)| (*c, *p, *o, value.as_str())).collect();
        self.values(&records);
    }

    /// Records of topic `t` with values.
    pub(super) fn values(&mut self, records: &[(&str, i32, i64, &str)]) {
        let batch = self.batch(records);
        self.tell(Input::Batch(batch));
    }

    /// Records of a route whose events may wait for so long.
    pub(super) fn lazily(&mut self, lazy: Duration, records: &[(&str, i32, i64)]) {
        for (channel, partition, offset) in records {
            let batch = self.lazy_batch(lazy, &[(channel, *partition, *offset, &offset.to_string())]);
            self.tell(Input::Batch(batch));
        }
    }

    pub(super) fn batch(&mut self, records: &[(&str, i32, i64, &str)]) -> Arc<Batch> {
        self.any_batch(None, records)
    }

    pub(super) fn lazy_batch(&mut self, lazy: Duration, records: &[(&str, i32, i64, &str)]) -> Arc<Batch> {
        self.any_batch(Some(lazy), records)
    }

    fn any_batch(&mut self, lazy: Option<Duration>, records: &[(&str, i32, i64, &str)]) -> Arc<Batch> {
        let topic = self.topic("t");
        let spans = records.iter().map(|(channel, partition, offset, value)| Span {
            topic: topic.clone(),
            partition: *partition,
            from: *offset,
            to: offset + 1,
            records: vec![Arc::new(
                record(
                    channel,
                    Some(Source { topic: topic.clone(), partition: *partition, offset: *offset }),
                    value,
                )
                .with_lazy(lazy),
            )],
        });
        Arc::new(Batch { spans: spans.collect(), size: 0 })
    }

    /// An event of a route without topic.
    pub(super) fn local(&mut self, channel: &str, value: &str) {
        let topic = self.topic("local");
        let records = vec![Arc::new(record(channel, None, value))];
        let span = Span { topic, partition: 0, from: 0, to: 0, records };
        self.tell(Input::Batch(Arc::new(Batch { spans: vec![span], size: 0 })));
    }

    // === The end ===

    /// Everything goes away; nothing may stay behind.
    pub(super) fn end(mut self) {
        self.grant();
        while !self.produced.is_empty() {
            self.produce(Ok(()));
        }
        let sockets: HashSet<SocketKey> = self.wires.keys().copied().collect();
        for socket in sockets {
            self.lose(socket);
        }
        if !self.takes {
            let waiting: Vec<HttpId> = self.responses.keys().copied().collect();
            for http in waiting {
                self.tell(Input::Taken(http));
            }
            self.takes = true;
        }
        self.after(200_000_000);
        let shard = &self.shard;
        assert!(shard.is_idle());
        assert_eq!(shard.stats().sessions, 0);
        assert_eq!((shard.stats().sockets, shard.stats().streams), (0, 0));
        assert_eq!(shard.stats().subscriptions, 0);
        assert_eq!(shard.queue_bytes(), 0);
        assert_eq!(
            left_over(shard),
            [0; 10],
            "exchanges, https, parcels, publishes, cancelled, clientIds, timers, outputs, touched, holding"
        );
        for (pattern, listeners) in &self.demand {
            assert_eq!(*listeners, 0, "{pattern}");
        }
    }
}

/// How much there is of what ends with the sessions and requests.
fn left_over(shard: &Shard) -> [usize; 10] {
    [
        shard.exchanges.len(),
        shard.https.len(),
        shard.parcels.len(),
        shard.publishes.len(),
        shard.cancelled.len(),
        shard.client_ids.len(),
        shard.timers.len(),
        shard.outputs.len(),
        shard.touched.len() + shard.dirty.len() + shard.overfull.len(),
        shard.holding.len(),
    ]
}

/// The lengths of the first frame's header and payload.
fn frame(bytes: &[u8]) -> Option<(usize, usize)> {
    match bytes.get(1)? {
        126 => Some((4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap())))),
        127 => Some((10, usize::from_be_bytes(bytes.get(2..10)?.try_into().unwrap()))),
        short => Some((2, usize::from(*short))),
    }
}

pub(super) fn client_id(messages: &[Value]) -> String {
    assert_eq!(messages.len(), 1);
    messages[0]["clientId"].as_str().unwrap().into()
}

pub(super) fn handshake() -> Value {
    json!([{"channel": "/meta/handshake", "id": "h", "version": "1.0",
        "supportedConnectionTypes": ["websocket", "long-polling", "callback-polling"]}])
}

pub(super) fn connect(id: &str) -> Value {
    connect_as(id, "c")
}

pub(super) fn connect_as(id: &str, message: &str) -> Value {
    json!([{"channel": "/meta/connect", "id": message, "clientId": id, "connectionType": "long-polling"}])
}

/// A handshake whose client acknowledges.
pub(super) fn handshake_with_ack() -> Value {
    with_ext(handshake(), &json!({"ack": true}))
}

/// A connect of a client that has the batches up to `batch`.
pub(super) fn connect_ack(id: &str, batch: i64) -> Value {
    with_ext(connect(id), &json!({"ack": batch}))
}

/// A request whose messages all carry `ext`.
pub(super) fn with_ext(mut request: Value, ext: &Value) -> Value {
    for message in request.as_array_mut().unwrap() {
        message["ext"] = ext.clone();
    }
    request
}

/// The number of the batch that the connect's reply among `messages` closes, if it has one.
pub(super) fn batch_of(messages: &[Value]) -> Option<i64> {
    let reply = messages.iter().find(|message| message["channel"] == "/meta/connect").expect("a reply");
    reply.get("ext").map(|ext| ext["ack"].as_i64().unwrap())
}

pub(super) fn connect_for(id: &str, timeout: u64) -> Value {
    json!([{"channel": "/meta/connect", "id": "c", "clientId": id, "connectionType": "long-polling",
        "advice": {"timeout": timeout}}])
}

pub(super) fn disconnect(id: &str) -> Value {
    json!([{"channel": "/meta/disconnect", "id": "d", "clientId": id}])
}

pub(super) fn subscribe(id: &str, subscription: &Value) -> Value {
    json!([{"channel": "/meta/subscribe", "id": "s", "clientId": id, "subscription": subscription}])
}

pub(super) fn unsubscribe(id: &str, subscription: &Value) -> Value {
    json!([{"channel": "/meta/unsubscribe", "id": "u", "clientId": id, "subscription": subscription}])
}

pub(super) fn publish(id: &str, message: &str, channel: &str, data: &Value) -> Value {
    json!([{"channel": channel, "id": message, "clientId": id, "data": data}])
}

/// Several requests as one array.
pub(super) fn together(requests: &[Value]) -> Value {
    requests.iter().flat_map(|request| request.as_array().unwrap().clone()).collect()
}
