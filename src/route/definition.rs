//! One route, checked.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use regex::bytes::Regex;

use super::channel::{ChannelTemplate, Rank};
use super::partition::Partitioner;
use super::project::Renderer;
use super::reply::Reply;
use super::selector::Selector;
use super::template::{Names, Template, Values};
use crate::codec::{KeyFormat, ValueFormat};
use crate::config::Place;
use crate::stream::Render;

/// A channel template and the topics behind it.
pub struct Route {
    pub(super) name: Arc<str>,
    pub(super) place: Place,
    pub(super) channel: ChannelTemplate,
    pub(super) rank: Vec<Rank>,
    pub(super) names: Names,
    /// Per variable, its `match`, anchored.
    pub(super) matches: Vec<Option<Regex>>,
    pub(super) binds: Vec<(usize, Selector)>,
    /// `None` for a `local` route.
    pub(super) source: Option<TopicSource>,
    pub(super) lazy: Option<Duration>,
    pub(super) subscribe: Option<Subscribe>,
    pub(super) publish: Option<Publish>,
    /// For `/service` channels: where the replies to its publishes are.
    pub(super) reply: Option<Arc<Reply>>,
}

/// The Kafka side of a route.
pub(super) struct TopicSource {
    pub(super) topics: Vec<TopicTemplate>,
    pub(super) key: Option<Template>,
    pub(super) partitioner: Option<Partitioner>,
    pub(super) renderer: Arc<Renderer>,
}

/// A topic's name, or a template of names.
#[derive(Clone, Debug)]
pub(super) struct TopicTemplate(pub(super) Template);

/// How a route is subscribed to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subscribe {
    pub(super) patterns: bool,
    pub(super) warm: bool,
}

/// How a route is published to.
#[derive(Clone, Debug, Default)]
pub(super) struct Publish {
    pub(super) headers: Vec<(String, Template)>,
    pub(super) strict: bool,
}

// === impl Route ===

impl Route {
    /// Its name; unique.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Where it is defined.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The text of its channel template.
    pub fn channel(&self) -> &str {
        self.channel.as_str()
    }

    /// The texts of its topics: names or templates; none for a `local` route.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.source.iter().flat_map(|source| &source.topics).map(|topic| topic.0.as_str())
    }

    /// The text of its key template.
    pub fn key(&self) -> Option<&str> {
        self.source.as_ref()?.key.as_ref().map(Template::as_str)
    }

    /// Whether it has no topic: plain publish and subscribe within the node.
    pub fn is_local(&self) -> bool {
        self.source.is_none()
    }

    /// Whether it may be subscribed to.
    pub fn can_subscribe(&self) -> bool {
        self.subscribe.is_some()
    }

    /// Whether a subscription with a wildcard covers it.
    pub fn has_patterns(&self) -> bool {
        self.subscribe.is_some_and(|subscribe| subscribe.patterns)
    }

    /// Whether its topics are read even when nobody listens.
    pub fn is_warm(&self) -> bool {
        self.subscribe.is_some_and(|subscribe| subscribe.warm)
    }

    /// How long its events may wait for others to travel with.
    pub fn lazy(&self) -> Option<Duration> {
        self.lazy
    }

    /// Whether it may be published to.
    pub fn can_publish(&self) -> bool {
        self.publish.is_some()
    }

    /// Where replies to its publishes are, if those are requests.
    pub fn reply(&self) -> Option<&Arc<Reply>> {
        self.reply.as_ref()
    }

    /// How keys are written.
    pub fn key_format(&self) -> KeyFormat {
        self.source.as_ref().map_or_else(KeyFormat::default, |source| source.renderer.key_format)
    }

    /// How values are written; JSON for a `local` route.
    pub fn value_format(&self) -> ValueFormat {
        self.source.as_ref().map_or_else(ValueFormat::default, |source| source.renderer.value_format)
    }

    /// How the topic's producers place keys, if that is known.
    pub fn partitioner(&self) -> Option<Partitioner> {
        self.source.as_ref()?.partitioner
    }

    /// What makes the `data` of its records.
    ///
    /// An event of a `local` route is rendered as a record whose value is the published `data`.
    pub fn render(&self) -> Arc<dyn Render> {
        match &self.source {
            Some(source) => Arc::clone(&source.renderer) as Arc<dyn Render>,
            None => Arc::new(Renderer {
                key_format: KeyFormat::default(),
                value_format: ValueFormat::Json,
                data: None,
            }),
        }
    }

    /// Whether `match` allows all the values that are known.
    pub(super) fn allows(&self, values: &Values<'_>) -> bool {
        values.iter().all(|(id, value)| match self.matches.get(id) {
            Some(Some(regex)) => regex.is_match(value),
            _ => true,
        })
    }

    pub(super) fn has_match(&self, id: usize) -> bool {
        matches!(self.matches.get(id), Some(Some(_)))
    }

    /// The variables of a channel, if it is one of this template's and `match` allows it.
    pub(super) fn read<'a>(&self, channel: &'a str) -> Option<Values<'a>> {
        let mut values = Values::new(self.names.len());
        (self.channel.read(channel, &mut values) && self.allows(&values)).then_some(values)
    }

    /// Whether the two can have a channel in common of which this one is the owner.
    pub(super) fn may_own_of(&self, other: &Self) -> bool {
        self.rank < other.rank && self.channel.overlaps(&other.channel)
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route")
            .field("name", &self.name)
            .field("channel", &self.channel())
            .finish_non_exhaustive()
    }
}

// === impl TopicTemplate ===

impl TopicTemplate {
    /// The name, if it is no template.
    pub(super) fn literal(&self) -> Option<&str> {
        self.0.literal()
    }

    /// Takes the variables out of a topic's name.
    pub(super) fn read<'a>(&self, topic: &'a str, values: &mut Values<'a>) -> bool {
        match self.literal() {
            Some(literal) => literal == topic,
            None => !topic.starts_with('_') && self.0.read(topic.as_bytes(), Some(b'.'), values),
        }
    }

    /// The name that some values give; `None` if one is missing or Kafka has no such topic.
    pub(super) fn write(&self, values: &Values<'_>) -> Option<String> {
        let name = String::from_utf8(self.0.write(values)?).ok()?;
        // What does not lead back to the same values is no topic of theirs.
        let mut again = Values::new(values.len());
        let same =
            self.read(&name, &mut again) && self.0.variables().all(|id| again.get(id) == values.get(id));
        (same && is_topic(&name)).then_some(name)
    }
}

/// Whether Kafka allows a topic of that name.
pub(super) fn is_topic(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 249
        && !matches!(name, "." | "..")
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}
