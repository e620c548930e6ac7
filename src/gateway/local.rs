//! Events of `local` routes: plain Bayeux publish and subscribe within the node.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;

use crate::bayeux::Channel;
use crate::stream::{Batch, Body, RawRecord, Record, Render, Span, Topic};

/// The data, as it was published.
struct Verbatim;

impl Render for Verbatim {
    fn data(&self, record: &RawRecord<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(record.value.unwrap_or(b"null"));
    }
}

static NOWHERE: LazyLock<Arc<Topic>> = LazyLock::new(|| Arc::new(Topic::new("".into(), 0)));
static VERBATIM: LazyLock<Arc<dyn Render>> = LazyLock::new(|| Arc::new(Verbatim));

/// A batch of one event that is in no topic; `data` is JSON. Subscriptions with a wildcard get it only if `patterns`.
pub(super) fn event(channel: Channel, data: &Bytes, patterns: bool) -> Batch {
    let raw = RawRecord {
        topic: "",
        partition: 0,
        offset: 0,
        timestamp: None,
        key: None,
        value: Some(data),
        headers: &[],
    };
    let record = Record::new(channel, None, Arc::new(Body::copy(&raw, false)), VERBATIM.clone())
        .with_patterns(patterns);
    let size = record.size();
    let records = vec![Arc::new(record)];
    Batch { spans: vec![Span { topic: NOWHERE.clone(), partition: 0, from: 0, to: 0, records }], size }
}
