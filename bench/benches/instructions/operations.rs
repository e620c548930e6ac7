//! What is counted.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use halley::bayeux::{self, Channel, Limits, Pattern};
use halley::route::{self, RouteTable};
use halley::stream::{Body, RawRecord, Record, Render};
use halley::transport::websocket::decoder::Decoder;

use crate::population::{CLIENTS, Population};

pub struct Operation {
    pub name: &'static str,
    /// What it is divided by: deliveries, where it makes many.
    pub parts: u64,
    /// Prepares it; what is returned does it once.
    pub prepare: fn() -> Box<dyn FnMut()>,
}

pub const OPERATIONS: &[Operation] = &[
    Operation { name: "parse a publish of 512 bytes", parts: 1, prepare: parse },
    Operation { name: "decode its frame", parts: 1, prepare: decode },
    Operation { name: "record to channel, key of text", parts: 1, prepare: channels },
    Operation { name: "record to channel, fields of the value", parts: 1, prepare: channels_of_value },
    Operation { name: "channel to record", parts: 1, prepare: target },
    Operation { name: "topics that a pattern covers", parts: 1, prepare: covering },
    Operation { name: "render a record of 512 bytes", parts: 1, prepare: render },
    Operation { name: "a delivery, one of 1,000 of a broadcast record", parts: CLIENTS, prepare: broadcast },
    Operation { name: "a delivery, the only one of a keyed record", parts: 1, prepare: keyed },
    Operation { name: "a record that nobody listens to", parts: 1, prepare: unheard },
];

const ROUTES: &str = r#"
routes:
  - { name: prices, channel: "/prices/{key}", topic: prices, key: "{key}", publish: {} }
  - { name: orders, channel: "/orders/{region}/{key}", topic: "orders-{region}", key: "{key}", publish: {} }
  - { name: logs, channel: "/log/{host}/{level}", topic: log, bind: { host: "value:/host", level: "value:/level" } }
"#;

const LIMITS: Limits = Limits { batch: 1000, depth: 32, channel: 400 };

/// JSON of 512 bytes.
pub fn value() -> Vec<u8> {
    let mut value = br#"{"host":"web-17","level":"warn","n":1234567,"fill":""#.to_vec();
    value.resize(510, b'x');
    value.extend_from_slice(br#""}"#);
    value
}

pub fn raw<'a>(topic: &'a str, key: &'a [u8], value: &'a [u8]) -> RawRecord<'a> {
    RawRecord {
        topic,
        partition: 3,
        offset: 41,
        timestamp: Some(1_700_000_000_000),
        key: Some(key),
        value: Some(value),
        headers: &[],
    }
}

fn table() -> RouteTable {
    let source = route::Source { file: Path::new("routes.yaml"), text: ROUTES };
    route::parse(&[source]).unwrap_or_else(|problems| panic!("{problems}")).table
}

fn publish() -> Bytes {
    let mut message =
        br#"[{"channel":"/prices/ACME","clientId":"Abcdefghijklmnopqrstuvwxyz","id":"17","data":"#.to_vec();
    message.extend_from_slice(&value());
    message.extend_from_slice(b"}]");
    message.into()
}

fn parse() -> Box<dyn FnMut()> {
    let body = publish();
    Box::new(move || drop(black_box(bayeux::parse(&body, &LIMITS).unwrap())))
}

fn decode() -> Box<dyn FnMut()> {
    const MASK: [u8; 4] = [1, 2, 3, 4];
    let payload = publish();
    let mut frame = vec![0x81, 0xfe];
    frame.extend_from_slice(&u16::try_from(payload.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(&MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    let mut decoder = Decoder::new(1 << 20, true);
    Box::new(move || drop(black_box(decoder.decode(&mut &frame[..]).unwrap().unwrap())))
}

fn channels_from(topic: &'static str, expected: &'static str) -> Box<dyn FnMut()> {
    let plan = table().topic(topic).unwrap();
    let value = value();
    let mut out = Vec::new();
    Box::new(move || {
        out.clear();
        plan.channels_of(black_box(&raw(topic, b"ACME", &value)), &mut out);
        assert_eq!(out[0].result.as_ref().unwrap().as_str(), expected);
    })
}

fn channels() -> Box<dyn FnMut()> {
    channels_from("prices", "/prices/ACME")
}

fn channels_of_value() -> Box<dyn FnMut()> {
    channels_from("log", "/log/web-17/warn")
}

fn target() -> Box<dyn FnMut()> {
    let table = table();
    let channel = Channel::parse("/orders/north/4711").unwrap();
    Box::new(move || drop(black_box(table.target(&channel).unwrap())))
}

fn covering() -> Box<dyn FnMut()> {
    let table = table();
    let pattern = Pattern::parse("/orders/north/*").unwrap();
    Box::new(move || assert_eq!(black_box(table.covering(&pattern)).len(), 1))
}

/// The value as it is.
pub struct Copied;

impl Render for Copied {
    fn data(&self, record: &RawRecord<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(record.value.unwrap_or(b"null"));
    }
}

fn render() -> Box<dyn FnMut()> {
    let value = value();
    let render: Arc<dyn Render> = Arc::new(Copied);
    let channel = Channel::parse("/prices/ACME").unwrap();
    Box::new(move || {
        let body = Arc::new(Body::copy(&raw("prices", b"ACME", &value), false));
        let record = Record::new(channel.clone(), None, body, Arc::clone(&render));
        black_box(record.plain().frame().len());
    })
}

/// One record in a batch, to the last byte that a socket takes.
fn deliver(subscribed: fn(u64) -> String, channel: &'static str, deliveries: u64) -> Box<dyn FnMut()> {
    let mut population = Population::new(subscribed);
    Box::new(move || assert_eq!(population.deliver(channel), deliveries))
}

fn broadcast() -> Box<dyn FnMut()> {
    deliver(|_| "/prices/ACME".into(), "/prices/ACME", CLIENTS)
}

fn keyed() -> Box<dyn FnMut()> {
    deliver(|n| format!("/prices/{n}"), "/prices/500", 1)
}

fn unheard() -> Box<dyn FnMut()> {
    deliver(|n| format!("/prices/{n}"), "/prices/none", 0)
}
