//! The extensions, on the wire and with Kafka behind it: ack, timesync, timestamp, activity, binary, lazy, reload.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::support::bayeux::{BOTH, Client, Transport};
use crate::support::gateway::{Gateway, Setup, keyed};
use crate::support::http::{Http, PATIENCE};
use crate::support::kafka::Kafka;
use crate::support::records::{Writer, read_all};
use crate::support::ws::{TEXT, Ws};
use crate::support::{eventually, unique};

/// A while in which nothing is to come.
const WHILE: Duration = Duration::from_millis(300);

/// A connection on which arrays of messages go and come.
enum Wire {
    Http(Http),
    WebSocket(Ws),
}

/// A session in the hands of the test: what it sends, and when, is the test's.
struct Session {
    id: String,
    /// Where it connects, and, by HTTP, where it does everything else.
    wire: Wire,
    other: Option<Wire>,
}

impl Wire {
    fn open(addr: SocketAddr, transport: Transport) -> Self {
        match transport {
            Transport::LongPolling => Self::Http(Http::connect(addr)),
            Transport::WebSocket => Self::WebSocket(Ws::connect(addr, "/cometd")),
        }
    }

    fn send(&mut self, messages: &Value) {
        match self {
            Self::Http(http) => http.send_post("/cometd", &[], messages.to_string().as_bytes()).unwrap(),
            Self::WebSocket(ws) => ws.send_text(&messages.to_string()).unwrap(),
        }
    }

    /// The messages of the next response or frame; `None` if there is none within `limit`.
    fn receive(&mut self, limit: Duration) -> Option<Vec<Value>> {
        let until = Instant::now() + limit;
        let body = match self {
            Self::Http(http) => http.response(until).map(|response| {
                assert_eq!(response.status, 200);
                response.body
            }),
            Self::WebSocket(ws) => ws.receive(until).map(|frame| {
                assert_eq!(frame.opcode, TEXT);
                frame.payload
            }),
        };
        match body {
            Ok(body) => Some(serde_json::from_slice(&body).unwrap()),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
                None
            }
        }
    }

    fn hang_up(&mut self) {
        let stream = match self {
            Self::Http(http) => http.stream(),
            Self::WebSocket(ws) => ws.stream(),
        };
        stream.shutdown(std::net::Shutdown::Both).unwrap();
    }

    fn call(&mut self, messages: &Value) -> Vec<Value> {
        self.send(messages);
        self.receive(PATIENCE).expect("an answer")
    }
}

impl Session {
    /// Handshakes with this `ext`; the reply, too.
    fn open(addr: SocketAddr, transport: Transport, ext: &Value) -> (Self, Value) {
        let mut wire = Wire::open(addr, transport);
        let reply = wire.call(&json!([{
            "channel": "/meta/handshake", "version": "1.0", "id": "1", "ext": ext,
            "supportedConnectionTypes": ["websocket", "long-polling"],
        }]));
        assert_eq!((reply.len(), &reply[0]["successful"]), (1, &json!(true)), "{reply:?}");
        let id = reply[0]["clientId"].as_str().unwrap().to_owned();
        let other = (transport == Transport::LongPolling).then(|| Wire::open(addr, transport));
        (Self { id, wire, other }, reply[0].clone())
    }

    /// A session that acknowledges, subscribed to `channel`; its first batch is closed.
    fn with_ack(addr: SocketAddr, transport: Transport, channel: &str) -> Self {
        let (mut session, reply) = Self::open(addr, transport, &json!({ "ack": true }));
        assert_eq!(reply["ext"], json!({ "ack": true }));
        session.subscribe(channel);
        let first = session.connect(0);
        assert_eq!((numbers(&first), batch(&first)), (vec![], Some(1)));
        session
    }

    fn ask(&mut self, message: Value) -> Value {
        let mut message = message;
        message["clientId"] = json!(self.id);
        message["id"] = json!("x");
        let wire = self.other.as_mut().unwrap_or(&mut self.wire);
        let mut replies = wire.call(&json!([message]));
        assert_eq!(replies.len(), 1, "{replies:?}");
        replies.remove(0)
    }

    fn subscribe(&mut self, channel: &str) {
        let reply = self.ask(json!({ "channel": "/meta/subscribe", "subscription": channel }));
        assert_eq!(reply["successful"], true, "{reply}");
        assert_eq!(reply.get("ext"), None);
    }

    fn publish(&mut self, channel: &str, data: &Value, ext: &Value) -> Value {
        self.ask(json!({ "channel": channel, "data": data, "ext": ext, "timestamp": "Sun, 22 Nov 2026 20:44:25 GMT" }))
    }

    fn connect_message(&self, ext: &Value) -> Value {
        json!([{ "channel": "/meta/connect", "clientId": self.id, "connectionType": "any", "id": "c", "ext": ext }])
    }

    /// Sends a connect that acknowledges `batch`.
    fn send_connect(&mut self, batch: i64) {
        let message = self.connect_message(&json!({ "ack": batch }));
        self.wire.send(&message);
    }

    /// Connects and acknowledges `batch`; what comes back.
    fn connect(&mut self, batch: i64) -> Vec<Value> {
        self.send_connect(batch);
        self.answer()
    }

    fn answer(&mut self) -> Vec<Value> {
        self.wire.receive(PATIENCE).expect("the connect is answered")
    }

    /// Leaves the connection as it is, without reading what is on it, and opens one of another kind.
    fn move_to(&mut self, addr: SocketAddr, transport: Transport) -> Wire {
        std::mem::replace(&mut self.wire, Wire::open(addr, transport))
    }
}

/// The numbers that are the data of deliveries.
fn numbers(messages: &[Value]) -> Vec<i64> {
    messages.iter().filter_map(|message| message.get("data")?.as_i64()).collect()
}

/// The number of the batch that the last message, the reply to a connect, closes.
fn batch(messages: &[Value]) -> Option<i64> {
    let reply = messages.last().unwrap();
    assert_eq!((&reply["channel"], &reply["successful"]), (&json!("/meta/connect"), &json!(true)), "{reply}");
    reply.get("ext").map(|ext| ext["ack"].as_i64().unwrap())
}

/// A gateway with one keyed route, and a writer to its topic.
fn rig(stem: &str, settings: &str) -> (Gateway, String, Writer) {
    let kafka = Kafka::shared();
    let topic = unique(stem);
    kafka.create_topic(&topic, 1);
    let gateway = Gateway::with(&Setup { kafka: kafka.bootstrap(), routes: &keyed(&topic), settings });
    (gateway, topic, Writer::new(kafka))
}

/// B77, B79, W26: batches are numbered from 1, a connect acknowledges what it says it has, and the rest comes again at once,
/// before what is new.
#[test]
fn what_is_not_acknowledged_comes_again() {
    let (gateway, topic, writer) = rig("ack", "");
    for transport in BOTH {
        let mut session = Session::with_ack(gateway.addr(), transport, &format!("/{topic}/k"));
        session.send_connect(1);
        assert_eq!(session.wire.receive(WHILE), None, "held");
        writer.put(&topic, "k", "1");
        let body = session.answer();
        assert_eq!((numbers(&body), batch(&body)), (vec![1], Some(2)));
        // The client has not seen it, or says so.
        writer.put(&topic, "k", "2");
        let mut all = session.connect(1);
        let mut last = batch(&all).unwrap();
        while numbers(&all).last() != Some(&2) {
            all = session.connect(1);
            last = batch(&all).unwrap();
        }
        assert_eq!(numbers(&all), [1, 2], "in order, and nothing twice");
        assert!(last >= 3);
        session.send_connect(last);
        assert_eq!(session.wire.receive(WHILE), None, "everything is acknowledged");
        writer.put(&topic, "k", "3");
        assert_eq!(numbers(&session.answer()), [3]);
    }
}

/// B80, B83: a poll that is aborted with its answer under way, or a socket with half of a frame, costs nothing: the next connect brings
/// it, once.
#[test]
fn an_aborted_connect_loses_nothing_and_brings_nothing_twice() {
    let (gateway, topic, writer) = rig("aborted", "");
    for transport in BOTH {
        let mut session = Session::with_ack(gateway.addr(), transport, &format!("/{topic}/k"));
        let (mut seen, mut last, delivered) = (Vec::new(), 1, gateway.metric("halley_deliveries_total", &[]));
        for n in 0..5 {
            session.send_connect(last);
            writer.put(&topic, "k", &n.to_string());
            // The answer is on its way, or there; nobody reads it.
            let expected = delivered + f64::from(n + 1);
            eventually(PATIENCE, "the event is sent", || {
                gateway.metric("halley_deliveries_total", &[]) >= expected
            });
            drop(session.move_to(gateway.addr(), transport));
            let body = session.connect(last);
            seen.extend(numbers(&body));
            last = batch(&body).unwrap();
        }
        assert_eq!(seen, [0, 1, 2, 3, 4]);
    }
}

/// B21, B81: of two connects the older is answered without events and without a number, so that it acknowledges nothing.
#[test]
fn an_overtaken_connect_acknowledges_nothing() {
    let (gateway, topic, writer) = rig("overtaken", "");
    for transport in BOTH {
        let mut session = Session::with_ack(gateway.addr(), transport, &format!("/{topic}/k"));
        session.send_connect(1);
        assert_eq!(session.wire.receive(WHILE), None);
        let mut older = session.move_to(gateway.addr(), transport);
        session.send_connect(1);
        let released = older.receive(PATIENCE).expect("the older one is released");
        assert_eq!((released.len(), batch(&released)), (1, None));
        writer.put(&topic, "k", "1");
        let body = session.answer();
        assert_eq!((numbers(&body), batch(&body)), (vec![1], Some(2)));
        assert_eq!(older.receive(WHILE), None);
    }
}

/// B66, B79, B92, W9: with its clientId a session goes from socket to poll to socket, as after a reload, and takes along what was not acknowledged
/// and what came meanwhile.
#[test]
fn a_session_with_ack_moves_from_transport_to_transport() {
    let (gateway, topic, writer) = rig("moves", "");
    let mut session = Session::with_ack(gateway.addr(), Transport::WebSocket, &format!("/{topic}/k"));
    let mut last = 1;
    let mut seen = Vec::new();
    for (n, transport) in
        [Transport::LongPolling, Transport::WebSocket, Transport::WebSocket].into_iter().enumerate()
    {
        session.send_connect(last);
        let delivered = gateway.metric("halley_deliveries_total", &[]);
        writer.put(&topic, "k", &(2 * n).to_string());
        eventually(PATIENCE, "the event is sent", || {
            gateway.metric("halley_deliveries_total", &[]) > delivered
        });
        // The page goes without reading what is there; another event comes while it is away.
        drop(session.move_to(gateway.addr(), transport));
        writer.put(&topic, "k", &(2 * n + 1).to_string());
        while seen.len() < 2 * n + 2 {
            let body = session.connect(last);
            seen.extend(numbers(&body));
            last = batch(&body).unwrap();
        }
    }
    assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
}

/// B92, W9: a page that is loaded again goes on without ack, too: its subscriptions stay, and what comes meanwhile waits.
#[test]
fn a_reloaded_page_goes_on() {
    let (gateway, topic, writer) = rig("reloaded", "");
    for transport in BOTH {
        let (mut session, _) = Session::open(gateway.addr(), transport, &json!({}));
        session.subscribe(&format!("/{topic}/k"));
        let connect = session.connect_message(&json!({}));
        assert_eq!(session.wire.call(&connect).len(), 1);
        session.wire.send(&connect);
        assert_eq!(session.wire.receive(WHILE), None);
        // Without ack, what is written into a connection that is gone is gone: the gateway must know first.
        let open = || gateway.metric("halley_connections", &[]) + gateway.metric("halley_websockets", &[]);
        let before = open();
        session.wire.hang_up();
        eventually(PATIENCE, "the gateway knows", || open() < before);
        drop(session.move_to(gateway.addr(), transport));
        let delivered = gateway.metric("halley_deliveries_total", &[]);
        writer.put(&topic, "k", "1");
        eventually(PATIENCE, "the event waits", || {
            gateway.metric("halley_deliveries_total", &[]) > delivered
        });
        session.wire.send(&connect);
        let mut messages = session.answer();
        while numbers(&messages).is_empty() {
            session.wire.send(&connect);
            messages = session.answer();
        }
        assert_eq!(numbers(&messages), [1]);
        session.subscribe_again(&format!("/{topic}/k"));
    }
}

impl Session {
    /// Subscribes where a connect's answer may come in between.
    fn subscribe_again(&mut self, channel: &str) {
        let message = json!([{ "channel": "/meta/subscribe", "clientId": self.id, "subscription": channel, "id": "2" }]);
        let wire = self.other.as_mut().unwrap_or(&mut self.wire);
        wire.send(&message);
        loop {
            let messages = wire.receive(PATIENCE).expect("an answer");
            if let Some(reply) = messages.iter().find(|message| message["channel"] == "/meta/subscribe") {
                assert_eq!(reply["successful"], true);
                return;
            }
        }
    }
}

/// B90, W27: a message that tells the time is answered with the gateway's, in whole milliseconds; others are not.
#[test]
fn clocks_are_compared() {
    let gateway = Gateway::with(&Setup {
        kafka: "127.0.0.1:1".to_owned(),
        routes: "routes: []",
        settings: "bayeux: { timeout: 1s }",
    });
    let now = || i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let asked = json!({ "timesync": { "tc": 1_000, "l": 20, "o": -5 } });
    for transport in BOTH {
        let before = now();
        let (mut session, reply) = Session::open(gateway.addr(), transport, &asked);
        let answer = &reply["ext"]["timesync"];
        let ts = answer["ts"].as_i64().unwrap();
        assert!((before..=now()).contains(&ts), "{answer}");
        assert_eq!((answer["tc"].as_i64(), answer["a"].as_i64()), (Some(1_000), Some(1_015 - ts)));
        assert!((0..5_000).contains(&answer["p"].as_i64().unwrap()));
        let connect = session.connect_message(&asked);
        session.wire.call(&connect);
        let held = session.wire.call(&connect);
        let p = held[0]["ext"]["timesync"]["p"].as_i64().unwrap();
        assert!((900..10_000).contains(&p), "the hold counts: {p}");
        let reply = session.ask(json!({ "channel": "/meta/disconnect", "ext": { "timesync": { "tc": 7 } } }));
        assert_eq!((&reply["ext"]["timesync"]["tc"], reply["ext"]["timesync"].get("a")), (&json!(7), None));
    }
}

/// W6, W25, W27, B90: an `ext` of any shape, a `timestamp` and unknown fields are taken, and reach nobody else.
#[test]
fn what_a_publisher_adds_goes_no_further() {
    let (gateway, topic, _) = rig("additions", "");
    let mut reader = Client::subscribed(gateway.addr(), Transport::WebSocket, &format!("/{topic}/*"));
    for transport in BOTH {
        for (n, ext) in [
            json!({ "token": "secret", "ack": true }),
            json!([1]),
            json!("x"),
            Value::Null,
            json!({ "binary": null }),
        ]
        .into_iter()
        .enumerate()
        {
            let (mut session, reply) =
                Session::open(gateway.addr(), transport, &json!({ "a": [ext.clone()] }));
            assert_eq!(reply.get("ext"), None);
            let reply = session.publish(&format!("/{topic}/{n}"), &json!(n), &ext);
            assert_eq!(
                (&reply["successful"], reply.get("ext"), reply.get("timestamp")),
                (&json!(true), None, None)
            );
            assert_eq!(reader.expect_event(), (format!("/{topic}/{n}"), json!(n)));
        }
    }
}

/// B89, W22: a client that only connects is told to stop, in every way that clients understand; one that does something is not.
#[test]
fn an_idle_client_is_sent_away() {
    let settings = "bayeux: { timeout: 400ms, activity: { mode: client, period: 1s } }";
    let (gateway, topic, _) = rig("idle", settings);
    for transport in BOTH {
        let (mut session, _) = Session::open(gateway.addr(), transport, &json!({}));
        let connect = session.connect_message(&json!({}));
        // Six connects of 0.4 s, with something done in between: longer than it may be idle.
        for n in 0..6 {
            session.subscribe(&format!("/{topic}/{n}"));
            assert_eq!(session.wire.call(&connect)[0]["advice"]["reconnect"], "retry");
        }
        let mut connects = 0;
        let last = loop {
            let messages = session.wire.call(&connect);
            if messages[0]["advice"]["reconnect"] != "retry" {
                break messages;
            }
            connects += 1;
        };
        assert!((1..5).contains(&connects), "{connects}");
        assert_eq!(last[0], json!({ "channel": "/meta/disconnect", "successful": true }));
        let mut last = last;
        let reply = match transport {
            Transport::LongPolling => last.remove(1),
            Transport::WebSocket => session.answer().remove(0),
        };
        assert_eq!(
            reply,
            json!({ "channel": "/meta/connect", "id": "c", "successful": true, "advice": { "reconnect": "none" } })
        );
        if let Wire::WebSocket(ws) = &mut session.wire {
            let close = ws.closed(Instant::now() + PATIENCE).unwrap().expect("a close frame");
            assert_eq!(close.close_code(), Some(1000));
        } else {
            assert_eq!(session.wire.call(&connect)[0]["error"], "402::session_unknown");
        }
    }
    assert!(gateway.metric("halley_sessions_inactive_total", &[]) >= 2.0);
}

/// B90: bytes go from a client to Kafka as bytes, and from Kafka to a client as the binary extension has them.
#[test]
fn bytes_are_bytes_in_kafka_and_z85_on_the_wire() {
    let kafka = Kafka::shared();
    let (pictures, texts) = (unique("pictures"), unique("texts"));
    kafka.create_topic(&pictures, 1);
    kafka.create_topic(&texts, 1);
    let routes = format!(
        r#"
routes:
  - {{ name: pictures, channel: "/pictures/{{x}}", topic: {pictures}, key: "{{x}}", value_format: bytes, publish: }}
  - {{ name: texts, channel: "/texts/{{x}}", topic: {texts}, key: "{{x}}", publish: }}
  - {{ name: room, channel: "/room/{{x}}", local: true, publish: }}
"#
    );
    let gateway = Gateway::start(kafka, &routes);
    let mark = json!({ "binary": {} });
    let data = json!({ "data": "HelloWorld", "last": true });
    let bytes = [0x86, 0x4f, 0xd2, 0x6f, 0xb5, 0x59, 0xf7, 0x5b];
    for transport in BOTH {
        let mut reader = Client::subscribed(gateway.addr(), transport, "/**");
        let (mut session, _) = Session::open(gateway.addr(), transport, &json!({}));
        let mut publish = |channel: &str, data: &Value, ext: &Value| {
            let reply = session.publish(channel, data, ext);
            reply["error"].as_str().map(str::to_owned)
        };
        let mut event = || reader.event(PATIENCE).unwrap();

        assert_eq!(publish("/pictures/a", &data, &mark), None);
        assert_eq!(event(), json!({ "channel": "/pictures/a", "data": data, "ext": mark }));
        let record = read_all(kafka, &pictures).pop().unwrap();
        assert_eq!((record.value.as_deref(), record.headers.len()), (Some(&bytes[..]), 0));
        // A part of something larger stays one; of any length.
        let part = json!({ "data": "0rJu", "last": false, "meta": { "name": "é.png" } });
        assert_eq!(publish("/pictures/a", &part, &mark), None);
        assert_eq!(event(), json!({ "channel": "/pictures/a", "data": part, "ext": mark }));
        assert_eq!(read_all(kafka, &pictures).pop().unwrap().value.as_deref(), Some(&[1, 2, 3][..]));
        // What others wrote.
        let writer = Writer::new(kafka);
        writer.send(&pictures, Some(b"b"), Some(&[0xff]));
        writer.flush();
        let expected =
            json!({ "channel": "/pictures/b", "data": { "data": "@@", "last": true }, "ext": mark });
        assert_eq!(event(), expected);
        // A tombstone is nothing, and no bytes.
        assert_eq!(publish("/pictures/a", &Value::Null, &mark), None);
        assert_eq!(event(), json!({ "channel": "/pictures/a", "data": null }));
        // What is no bytes is refused.
        let refused = Some(
            "400:/pictures/a:invalid_data, data cannot be published here: it is not {\"data\": \"<Z85>\"} with ext.binary"
                .to_owned(),
        );
        assert_eq!(publish("/pictures/a", &data, &json!({})), refused);
        assert_eq!(publish("/pictures/a", &json!("HelloWorld"), &mark), refused);
        assert_eq!(
            publish("/pictures/a", &json!({ "data": "~" }), &mark).as_deref(),
            Some("400:/pictures/a:invalid_data, data cannot be published here: it is not Z85")
        );

        // On a route of JSON the mark is kept beside the record, and what it marks as it came.
        let mark = json!({ "binary": { "kind": 1.5 } });
        assert_eq!(publish("/texts/a", &data, &mark), None);
        assert_eq!(event(), json!({ "channel": "/texts/a", "data": data, "ext": mark }));
        let record = read_all(kafka, &texts).pop().unwrap();
        assert_eq!(record.header("bayeux-binary"), Some(r#"{"kind":1.5}"#));
        assert_eq!(serde_json::from_str::<Value>(record.value_text()).unwrap(), data);
        // A header that is no JSON is nothing.
        writer.send_record(&texts, None, Some(b"a"), Some(b"1"), &[("bayeux-binary", "{")]);
        writer.flush();
        assert_eq!(event(), json!({ "channel": "/texts/a", "data": 1 }));
        // So it is without a record.
        assert_eq!(publish("/room/a", &data, &mark), None);
        assert_eq!(event(), json!({ "channel": "/room/a", "data": data, "ext": mark }));
    }
}

/// B76: lazy events wait for company, or for their time; others take them along.
#[test]
fn lazy_events_travel_together() {
    let kafka = Kafka::shared();
    let (lazy, plain) = (unique("lazy"), unique("plain"));
    kafka.create_topic(&lazy, 1);
    kafka.create_topic(&plain, 1);
    let routes = format!(
        r#"
routes:
  - {{ name: lazy, channel: "/lazy/{{x}}", topic: {lazy}, key: "{{x}}", lazy: 1500ms }}
  - {{ name: plain, channel: "/plain/{{x}}", topic: {plain}, key: "{{x}}" }}
"#
    );
    let gateway = Gateway::start(kafka, &routes);
    let writer = Writer::new(kafka);
    for transport in BOTH {
        let mut client = Client::subscribed(gateway.addr(), transport, "/**");
        let written = Instant::now();
        writer.put(&lazy, "a", "1");
        writer.put(&lazy, "a", "2");
        assert_eq!(client.expect_event(), ("/lazy/a".to_owned(), json!(1)));
        let waited = written.elapsed();
        assert!(waited >= Duration::from_millis(1450), "{waited:?}");
        assert_eq!(client.event(WHILE).unwrap()["data"], 2, "with the first one");
        let delivered = gateway.metric("halley_deliveries_total", &[]);
        let written = Instant::now();
        writer.put(&lazy, "a", "3");
        eventually(PATIENCE, "it waits", || gateway.metric("halley_deliveries_total", &[]) > delivered);
        writer.put(&plain, "b", "4");
        assert_eq!(client.expect_event(), ("/lazy/a".to_owned(), json!(3)), "the order stays");
        assert_eq!(client.expect_event(), ("/plain/b".to_owned(), json!(4)));
        assert!(written.elapsed() < Duration::from_millis(1450), "taken along");
    }
}

/// B78: lazy events that were not acknowledged do not come again at once, but with what comes next.
#[test]
fn lazy_events_come_again_without_hurry() {
    let kafka = Kafka::shared();
    let (lazy, plain) = (unique("lazy"), unique("plain"));
    kafka.create_topic(&lazy, 1);
    kafka.create_topic(&plain, 1);
    let routes = format!(
        r#"
routes:
  - {{ name: lazy, channel: "/either/lazy", topic: {lazy}, lazy: 100ms }}
  - {{ name: plain, channel: "/either/plain", topic: {plain} }}
"#
    );
    let gateway = Gateway::start(kafka, &routes);
    let writer = Writer::new(kafka);
    for transport in BOTH {
        let mut session = Session::with_ack(gateway.addr(), transport, "/either/*");
        session.send_connect(1);
        writer.put(&lazy, "k", "1");
        let body = session.answer();
        assert_eq!((numbers(&body), batch(&body)), (vec![1], Some(2)));
        session.send_connect(1);
        assert_eq!(session.wire.receive(WHILE), None, "held");
        writer.put(&plain, "k", "2");
        assert_eq!(numbers(&session.answer()), [1, 2]);
    }
}
