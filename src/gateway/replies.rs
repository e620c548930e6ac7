//! Replies from the reader to the shards whose sessions asked. On the reader's thread.

use std::collections::HashMap;
use std::sync::Arc;

use super::inbox::{Inbox, Note};
use crate::codec::BINARY_HEADER;
use crate::feed;
use crate::route::RouteTable;
use crate::service::{Outstanding, Verdict};
use crate::stream::{Body, RawRecord};
use crate::telemetry::NodeMetrics;

/// Sorts the records of reply topics.
pub(super) struct Replies {
    /// By topic, the headers of which one tells what a record is the reply to.
    headers: HashMap<Arc<str>, Vec<Arc<str>>>,
    outstanding: Arc<Outstanding>,
    inboxes: Arc<[Inbox]>,
    metrics: Arc<NodeMetrics>,
}

impl Replies {
    pub(super) fn new(
        routes: &RouteTable,
        outstanding: Arc<Outstanding>,
        inboxes: Arc<[Inbox]>,
        metrics: Arc<NodeMetrics>,
    ) -> Self {
        let topics = routes.routes().iter().filter_map(|route| route.reply()).map(|reply| &reply.topic);
        let headers = topics.map(|topic| (Arc::clone(topic), routes.correlation_headers(topic))).collect();
        Self { headers, outstanding, inboxes, metrics }
    }
}

impl feed::Replies for Replies {
    fn reply(&self, record: &RawRecord<'_>) {
        let mut headers = self.headers.get(record.topic).into_iter().flatten();
        let id = headers.find_map(|name| record.header(name));
        match self.outstanding.replied(id) {
            Verdict::Reply(shard, id) => {
                if let Some(inbox) = self.inboxes.get(usize::from(shard)) {
                    let with_headers = record.header(BINARY_HEADER).is_some();
                    inbox.note(Note::Replied(id, Body::copy(record, with_headers)));
                }
            }
            Verdict::Unexpected => self.metrics.service_replies_unexpected.inc(),
            Verdict::Foreign => self.metrics.service_replies_foreign.inc(),
            Verdict::Uncorrelated => self.metrics.service_replies_uncorrelated.inc(),
        }
    }
}
