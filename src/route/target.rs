//! From a channel to the record that a publish on it becomes.

use std::borrow::Cow;
use std::sync::Arc;

use super::definition::{Route, TopicSource};
use super::escape;
use super::partition::Partitioner;
use super::selector::{Selector, View};
use super::template::Values;
use crate::bayeux::Channel;
use crate::codec::{
    BINARY_HEADER, CodecError, KeyFormat, ValueFormat, binary_header_of, decode_key, encode_key, encode_value,
};
use crate::stream::RawRecord;

/// The record that a publish on a channel becomes, all but its value.
#[derive(Clone, Debug)]
pub struct Target {
    /// The route that owns the channel.
    pub route: Arc<Route>,
    /// Whether there is no record: the event goes to the node's own subscribers.
    pub local: bool,
    /// The topic; empty if `local`.
    pub topic: Arc<str>,
    /// The key's bytes; `None` is a record without key.
    pub key: Option<Vec<u8>>,
    /// Headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Whether one publish of a session must be acknowledged before the next is sent.
    pub strict: bool,
    partitioner: Partitioner,
    format: ValueFormat,
    /// What the value itself must say, for the record to lead back to the channel.
    told: Vec<(usize, Selector, Box<[u8]>)>,
}

/// Why nothing can be published on a channel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// No route has the channel.
    #[error("no route has this channel")]
    UnknownChannel,
    /// Its route is not open for publishing.
    #[error("this channel is not open for publishing")]
    NotPublishable,
    /// The record would not lead back to the channel.
    #[error("{why}")]
    Invalid {
        /// Why, for whoever published.
        why: String,
    },
}

/// Why `data` cannot be the value of the record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// It is not of the route's `value_format`.
    #[error("data cannot be published here: {0}")]
    Codec(#[from] CodecError),
    /// The route takes a variable from the value, and the value has another one than the channel.
    #[error("data must have {expected:?} at {selector}, as the channel says")]
    Mismatch {
        /// Where.
        selector: String,
        /// What the channel says.
        expected: String,
    },
}

// === impl Target ===

impl Target {
    /// The target for `channel`, which `route` owns and whose variables are `values`.
    pub(super) fn new(route: &Arc<Route>, values: &Values<'_>) -> Result<Self, TargetError> {
        let publish = route.publish.as_ref().ok_or(TargetError::NotPublishable)?;
        let mut target = Self {
            route: Arc::clone(route),
            local: true,
            topic: Arc::default(),
            key: None,
            headers: Vec::new(),
            strict: publish.strict,
            partitioner: route.partitioner().unwrap_or_default(),
            format: route.value_format(),
            told: Vec::new(),
        };
        for (name, template) in &publish.headers {
            let value = template.write(values).ok_or_else(|| invalid("a header's variable is not known"))?;
            target.headers.push((name.clone(), value));
        }
        if let Some(source) = &route.source {
            target.local = false;
            target.fill(source, values)?;
            target.check(source, values)?;
        }
        Ok(target)
    }

    fn fill(&mut self, source: &TopicSource, values: &Values<'_>) -> Result<(), TargetError> {
        // Checking has seen to it that there is one.
        let template = source.topics.first().ok_or(TargetError::NotPublishable)?;
        let topic = template.write(values);
        self.topic = topic.ok_or_else(|| invalid("the channel leads to no legal topic"))?.into();
        if let Some(template) = &source.key {
            let text = template.write(values).ok_or_else(|| invalid("the key's variable is not known"))?;
            let key = encode_key(source.renderer.key_format, &text);
            self.key = Some(key.map_err(|error| {
                invalid(format!(
                    "{:?} is no {} key: {error}",
                    escape::display(&text),
                    source.renderer.key_format
                ))
            })?);
        }
        for (id, selector) in &self.route.binds {
            let Some(value) = values.get(*id) else { continue };
            match selector {
                Selector::Header(name) => self.headers.push((name.to_string(), value.to_vec())),
                Selector::Value | Selector::ValueAt(_) => {
                    self.told.push((*id, selector.clone(), value.into()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether the record leads back to the values of the channel.
    fn check(&self, source: &TopicSource, values: &Values<'_>) -> Result<(), TargetError> {
        let route = &self.route;
        let mut again = Values::new(values.len());
        for (id, _, value) in &self.told {
            let _ = again.set(*id, Cow::Borrowed(value));
        }
        let reads_topic =
            source.topics.iter().find(|template| template.read(&self.topic, &mut again)).is_some();
        let key = self.key.as_deref().map(|key| decode_key(source.renderer.key_format, key)).transpose();
        let key = key.map_err(|error| invalid(format!("the key is bad: {error}")))?;
        let reads_key = match (&source.key, &key) {
            (Some(template), Some(key)) => template.read(key, None, &mut again),
            _ => true,
        };
        let headers: Vec<_> =
            self.headers.iter().map(|(name, value)| (name.as_str(), Some(value.as_slice()))).collect();
        let record = RawRecord {
            topic: &self.topic,
            partition: 0,
            offset: 0,
            timestamp: None,
            key: self.key.as_deref(),
            value: None,
            headers: &headers,
        };
        let view = View {
            record: &record,
            key: key.as_deref(),
            key_format: source.renderer.key_format,
            value_format: self.format,
        };
        for (id, selector) in &route.binds {
            if let Ok(Some(value)) = selector.text(view) {
                let _ = again.set(*id, value);
            }
        }
        let lost = route.channel.variables().find(|id| again.get(*id) != values.get(*id));
        match lost {
            None if reads_topic && reads_key => Ok(()),
            Some(id) => {
                Err(invalid(format!("{{{}}} would not be read back from the record", route.names.get(id))))
            }
            None => Err(invalid("the record would not be read back")),
        }
    }

    /// The partition that the record goes to, of a topic with `partitions`: by its key, or, for a record without
    /// key, by its channel.
    pub fn partition(&self, channel: &Channel, partitions: i32) -> i32 {
        let by = self.key.as_deref().unwrap_or(channel.as_str().as_bytes());
        self.partitioner.partition(by, partitions)
    }

    /// The header that keeps what a publish says with its `ext.binary`, or of its bytes, if the record does not.
    pub fn mark(&self, data: &[u8], binary: &[u8]) -> Option<(String, Vec<u8>)> {
        let mark = match self.format {
            ValueFormat::Json => Some(binary.to_vec()),
            ValueFormat::Bytes => binary_header_of(data),
            ValueFormat::Text => None,
        };
        mark.map(|mark| (BINARY_HEADER.to_owned(), mark))
    }

    /// The record's value for the published `data`, complete JSON, with `ext.binary` if that came; `None` is a tombstone.
    ///
    /// Borrowed bytes are a part of `data` itself.
    pub fn value<'d>(
        &self,
        data: &'d [u8],
        binary: Option<&[u8]>,
    ) -> Result<Option<Cow<'d, [u8]>>, ValueError> {
        let value = encode_value(self.format, data)?;
        if self.format == ValueFormat::Bytes && binary.is_none() && value.is_some() {
            return Err(CodecError::NotBinary.into());
        }
        for (_, selector, expected) in &self.told {
            let record = RawRecord {
                topic: &self.topic,
                partition: 0,
                offset: 0,
                timestamp: None,
                key: None,
                value: value.as_deref(),
                headers: &[],
            };
            let (key_format, value_format) = (KeyFormat::default(), self.format);
            let found = selector.text(View { record: &record, key: None, key_format, value_format })?;
            if found.as_deref() != Some(expected) {
                let expected = escape::display(expected).into_owned();
                return Err(ValueError::Mismatch { selector: selector.to_string(), expected });
            }
        }
        Ok(value)
    }
}

fn invalid(why: impl Into<String>) -> TargetError {
    TargetError::Invalid { why: why.into() }
}
