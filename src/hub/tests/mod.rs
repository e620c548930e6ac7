//! The shard without sockets, broker or sleeps.

use std::rc::Rc;
use std::sync::Arc;

use super::Event;
use crate::bayeux::Channel;
use crate::stream::{Body, RawRecord, Record, Render};

/// Renders the value as it is.
struct Value;

impl Render for Value {
    fn data(&self, record: &RawRecord<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(record.value.unwrap_or(b"null"));
    }
}

/// An event on `channel` whose data is the number `n`.
pub(super) fn event(channel: &str, n: i64) -> Event {
    Rc::new(Arc::new(record(channel, n)))
}

fn record(channel: &str, n: i64) -> Record {
    let value = n.to_string();
    let raw = RawRecord {
        topic: "",
        partition: 0,
        offset: 0,
        timestamp: None,
        key: None,
        value: Some(value.as_bytes()),
        headers: &[],
    };
    Record::new(Channel::parse(channel).unwrap(), None, Arc::new(Body::copy(&raw, false)), Arc::new(Value))
}
