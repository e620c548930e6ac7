//! Events of `local` routes: plain Bayeux publish and subscribe within the node.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;

use crate::bayeux::Channel;
use crate::codec::{BINARY_HEADER, put_binary_ext};
use crate::route::Route;
use crate::stream::{Batch, Body, RawRecord, Record, Render, Span, Topic};

/// The data, as it was published.
struct Verbatim;

impl Render for Verbatim {
    fn data(&self, record: &RawRecord<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(record.value.unwrap_or(b"null"));
    }

    fn ext(&self, record: &RawRecord<'_>, out: &mut Vec<u8>) {
        if let Some(mark) = record.header(BINARY_HEADER) {
            put_binary_ext(mark, out);
        }
    }
}

static NOWHERE: LazyLock<Arc<Topic>> = LazyLock::new(|| Arc::new(Topic::new("".into(), 0)));
static VERBATIM: LazyLock<Arc<dyn Render>> = LazyLock::new(|| Arc::new(Verbatim));

/// A batch of one event of `route`, which has no topic; `data` is JSON, and so is `binary`, its `ext.binary`.
pub(super) fn event(channel: Channel, data: &Bytes, binary: Option<&[u8]>, route: &Route) -> Batch {
    let mark = binary.map(|mark| (BINARY_HEADER, Some(mark)));
    let raw = RawRecord {
        topic: "",
        partition: 0,
        offset: 0,
        timestamp: None,
        key: None,
        value: Some(data),
        headers: mark.as_slice(),
    };
    let record = Record::new(channel, None, Arc::new(Body::copy(&raw, mark.is_some())), VERBATIM.clone())
        .with_patterns(route.has_patterns())
        .with_lazy(route.lazy());
    let size = record.size();
    let records = vec![Arc::new(record)];
    Batch { spans: vec![Span { topic: NOWHERE.clone(), partition: 0, from: 0, to: 0, records }], size }
}
