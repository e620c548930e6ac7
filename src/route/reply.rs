//! `reply`: a publish on a `/service` channel is a request, and a record of another topic its reply.

use std::sync::Arc;
use std::time::Duration;

use super::channel::ChannelTemplate;
use super::definition::{Route, is_topic};
use super::file::Reader;
use super::selector::Selector;
use super::template::Values;
use crate::config::{duration, duration_text};

/// Where a reply is found, and how long it is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The topic that replies are in.
    pub topic: Arc<str>,
    /// How long a reply is waited for, from the time that Kafka has the request.
    pub timeout: Duration,
    /// The header that a request carries and its reply carries back.
    pub correlation_header: Arc<str>,
    /// The header of a request that names [`topic`](Self::topic).
    pub reply_topic_header: Arc<str>,
}

const TIMEOUT: Duration = Duration::from_secs(8);
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_hours(1);
pub(super) const CORRELATION_HEADER: &str = "correlation-id";
pub(super) const REPLY_TOPIC_HEADER: &str = "reply-to";

// === reading ===

impl Reader<'_> {
    pub(super) fn reply(&mut self, channel: Option<&ChannelTemplate>) -> Option<Reply> {
        let path = self.fields.path("reply");
        let node = self.fields.value("reply")?;
        if channel.is_some_and(|channel| !channel.is_service()) {
            let what = "only a route under /service has replies";
            self.report.at_with_hint(node, &path, what, "the channel has to begin with /service/");
            return None;
        }
        let mut fields = self.report.fields(&path, node)?;
        let topic = fields.required("topic").and_then(|node| {
            let path = fields.path("topic");
            let name = self.report.string(&path, node)?;
            if !is_topic(name) {
                let what = format!("{name:?} is not a name that Kafka allows");
                let hint = "one topic, no template: letters, digits, '.', '_' and '-', at most 249";
                self.report.at_with_hint(node, &path, what, hint);
                return None;
            }
            Some(name.into())
        });
        let timeout = fields.value("timeout").and_then(|node| {
            let path = fields.path("timeout");
            let text = self.report.scalar(&path, node)?;
            let found = duration(text).filter(|time| (SHORTEST..=LONGEST).contains(time));
            if found.is_none() {
                let what = format!(
                    "{text:?} is not a duration from {} to {}",
                    duration_text(SHORTEST),
                    duration_text(LONGEST)
                );
                self.report.at_with_hint(node, &path, what, "such as 8s or 500ms");
            }
            found
        });
        let mut header = |key: &'static str, default: &'static str| {
            let Some(node) = fields.value(key) else { return Arc::from(default) };
            let path = fields.path(key);
            let name = self.report.string(&path, node).unwrap_or(default);
            if name.is_empty() {
                self.report.at(node, &path, "it is empty");
            }
            Arc::from(name)
        };
        let correlation_header = header("correlation_header", CORRELATION_HEADER);
        let reply_topic_header = header("reply_topic_header", REPLY_TOPIC_HEADER);
        fields.finish();
        Some(Reply {
            topic: topic?,
            timeout: timeout.unwrap_or(TIMEOUT),
            correlation_header,
            reply_topic_header,
        })
    }
}

// === checking ===

/// Reports what keeps requests from their replies.
pub(super) fn check(reader: &mut Reader<'_>, route: &Route) {
    let Some(reply) = &route.reply else { return };
    let mut wrong = Vec::new();
    if reply.correlation_header == reply.reply_topic_header {
        wrong
            .push(format!("correlation_header and reply_topic_header are both {}", reply.correlation_header));
    }
    for topic in route.source.iter().flat_map(|source| &source.topics) {
        if !topic.read(&reply.topic, &mut Values::new(route.names.len())) {
            continue;
        }
        wrong.push(format!("requests would be read as replies: topic {} may be {}", topic.0, reply.topic));
    }
    for name in [&reply.correlation_header, &reply.reply_topic_header] {
        let written = route.publish.iter().flat_map(|publish| &publish.headers);
        if written.clone().any(|(header, _)| **header == **name) {
            wrong.push(format!("publish.headers writes the header {name} as well"));
        }
        let is_bound =
            |selector: &Selector| matches!(selector, Selector::Header(header) if **header == **name);
        if route.binds.iter().any(|(_, selector)| is_bound(selector)) {
            wrong.push(format!("bind writes the header {name} as well"));
        }
    }
    if let Some(node) = reader.fields.take("reply") {
        for what in wrong {
            reader.report.at(node, &reader.fields.path("reply"), what);
        }
    }
}
