//! A record on a channel, with its shared rendering.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use super::{RawRecord, Rendering, Topic, event_block};
use crate::bayeux::Channel;

/// Where a record stands in Kafka.
#[derive(Clone, Debug)]
pub struct Source {
    /// The topic, one incarnation of it.
    pub topic: Arc<Topic>,
    /// The partition, from 0.
    pub partition: i32,
    /// The offset in the partition.
    pub offset: i64,
}

/// A record's bytes, copied once from Kafka's memory into one buffer and shared by every [`Record`] made of it.
#[derive(Debug, Default)]
pub struct Body {
    bytes: Bytes,
    timestamp: Option<i64>,
    /// Where the key ends and the value begins and ends; `None` for a null.
    key: Option<usize>,
    value: Option<usize>,
    /// Name and value by their lengths, in order after the value.
    headers: Box<[(usize, Option<usize>)]>,
}

/// Makes a record's event, `{"channel":…,"data":…}`. Supplied by whoever knows the record's route.
pub trait Render: Send + Sync {
    /// Appends the JSON value of `data`.
    fn data(&self, record: &RawRecord<'_>, out: &mut Vec<u8>);

    /// Appends `,"ext":{…}` to the event, if the record has something to say there.
    fn ext(&self, _record: &RawRecord<'_>, _out: &mut Vec<u8>) {}
}

/// A record on its channel. Shared by all shards; rendered by whoever first delivers it.
pub struct Record {
    /// The channel that subscribers see.
    pub channel: Channel,
    /// Where it comes from; `None` for an event of a `local` route.
    pub source: Option<Source>,
    /// Whether subscriptions with a wildcard get it too.
    pub patterns: bool,
    /// How long it may wait for others to travel with.
    pub lazy: Option<Duration>,
    body: Arc<Body>,
    render: Arc<dyn Render>,
    plain: OnceLock<Rendering>,
    /// In a box, since few records ever have one.
    block: OnceLock<Box<Bytes>>,
}

/// Of what is rendered already.
struct Nothing;

impl Render for Nothing {
    fn data(&self, _: &RawRecord<'_>, _: &mut Vec<u8>) {}
}

// === impl Body ===

impl Body {
    /// Copies `raw`'s key and value, and its headers if `with_headers` (few routes look at them).
    pub fn copy(raw: &RawRecord<'_>, with_headers: bool) -> Self {
        let headers = if with_headers { raw.headers } else { &[] };
        let size = raw.key.map_or(0, <[u8]>::len)
            + raw.value.map_or(0, <[u8]>::len)
            + headers.iter().map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len)).sum::<usize>();
        let mut bytes = BytesMut::with_capacity(size);
        bytes.put_slice(raw.key.unwrap_or_default());
        bytes.put_slice(raw.value.unwrap_or_default());
        for (name, value) in headers {
            bytes.put_slice(name.as_bytes());
            bytes.put_slice(value.unwrap_or_default());
        }
        Self {
            bytes: bytes.freeze(),
            timestamp: raw.timestamp,
            key: raw.key.map(<[u8]>::len),
            value: raw.value.map(<[u8]>::len),
            headers: headers.iter().map(|(name, value)| (name.len(), value.map(<[u8]>::len))).collect(),
        }
    }

    /// The value's bytes; `None` is a tombstone.
    pub fn value(&self) -> Option<&[u8]> {
        let from = self.key.unwrap_or(0);
        self.bytes.get(from..from + self.value?)
    }

    /// Bytes held.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing is held: null key, null value.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

// === impl Record ===

impl Record {
    /// A record of `source` on `channel`.
    pub fn new(channel: Channel, source: Option<Source>, body: Arc<Body>, render: Arc<dyn Render>) -> Self {
        let (plain, block) = (OnceLock::new(), OnceLock::new());
        Self { channel, source, patterns: true, lazy: None, body, render, plain, block }
    }

    /// A message for one session, rendered already: `message` is one complete JSON object. It is in no topic.
    pub fn message(channel: Channel, message: &[u8]) -> Self {
        Self {
            channel,
            source: None,
            patterns: false,
            lazy: None,
            body: Arc::new(Body::default()),
            render: Arc::new(Nothing),
            plain: OnceLock::from(Rendering::of_event(message)),
            block: OnceLock::new(),
        }
    }

    /// The same, for subscriptions with a wildcard only if `patterns`.
    #[must_use]
    pub fn with_patterns(self, patterns: bool) -> Self {
        Self { patterns, ..self }
    }

    /// The same, which may wait so long if `lazy`.
    #[must_use]
    pub fn with_lazy(self, lazy: Option<Duration>) -> Self {
        Self { lazy, ..self }
    }

    /// The plain rendering, `{"channel":…,"data":…}`; made by the first call.
    pub fn plain(&self) -> &Rendering {
        self.plain.get_or_init(|| {
            let mut event = Vec::with_capacity(self.body.len() + self.channel.as_str().len() + 32);
            event.extend_from_slice(br#"{"channel":""#);
            // Legal channels hold no character that JSON escapes.
            event.extend_from_slice(self.channel.as_str().as_bytes());
            event.extend_from_slice(br#"","data":"#);
            self.with_raw(|raw| {
                self.render.data(raw, &mut event);
                self.render.ext(raw, &mut event);
            });
            event.push(b'}');
            Rendering::of_event(&event)
        })
    }

    /// The plain rendering in its array, as a block of an event stream; made by the first call.
    pub fn block(&self) -> &Bytes {
        self.block.get_or_init(|| Box::new(event_block(self.plain().array())))
    }

    /// About how many bytes the record holds, for bounds.
    pub fn size(&self) -> usize {
        self.body.len() + self.channel.as_str().len() + size_of::<Self>()
    }

    fn with_raw(&self, see: impl FnOnce(&RawRecord<'_>)) {
        let (key, rest) = self.body.bytes.split_at(self.body.key.unwrap_or(0));
        let (value, mut rest) = rest.split_at(self.body.value.unwrap_or(0));
        let mut headers = Vec::with_capacity(self.body.headers.len());
        for (name_len, value_len) in &self.body.headers {
            let (name, tail) = rest.split_at(*name_len);
            let (value, tail) = tail.split_at(value_len.unwrap_or(0));
            rest = tail;
            headers.push((std::str::from_utf8(name).unwrap_or_default(), value_len.map(|_| value)));
        }
        see(&RawRecord {
            topic: self.source.as_ref().map_or("", |source| &source.topic.name),
            partition: self.source.as_ref().map_or(0, |source| source.partition),
            offset: self.source.as_ref().map_or(0, |source| source.offset),
            timestamp: self.body.timestamp,
            key: self.body.key.map(|_| key),
            value: self.body.value.map(|_| value),
            headers: &headers,
        });
    }
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record")
            .field("channel", &self.channel)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Everything;
    impl Render for Everything {
        fn data(&self, record: &RawRecord<'_>, out: &mut Vec<u8>) {
            out.extend_from_slice(format!("{record:?}").as_bytes());
        }
    }

    #[test]
    fn a_kept_record_is_seen_as_it_came() {
        let raw = RawRecord {
            topic: "t",
            partition: 3,
            offset: 9,
            timestamp: Some(5),
            key: None,
            value: Some(b"value"),
            headers: &[("a", Some(b"1")), ("b", None), ("a", Some(b""))],
        };
        let topic = Arc::new(Topic::new("t".into(), 1));
        let source = Source { topic, partition: 3, offset: 9 };
        let record = Record::new(
            Channel::parse("/x/y").unwrap(),
            Some(source),
            Arc::new(Body::copy(&raw, true)),
            Arc::new(Everything),
        );
        let expected = format!(r#"{{"channel":"/x/y","data":{raw:?}}}"#);
        assert_eq!(record.plain().event(), expected);
        assert_eq!(Body::copy(&raw, true).value(), Some(&b"value"[..]));
        assert_eq!(Body::copy(&RawRecord { key: Some(b"k"), ..raw }, false).value(), Some(&b"value"[..]));
        assert_eq!(Body::copy(&RawRecord { value: None, ..raw }, true).value(), None);
    }
}
