//! From records to channels: one topic's routes, prepared.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::channel::{NoSegment, Step, prepare, write};
use super::definition::{Route, TopicSource};
use super::project::Projection;
use super::selector::{Selector, View};
use super::template::Values;
use crate::bayeux::Channel;
use crate::codec::{BINARY_HEADER, CodecError, KeyFormat, ValueFormat, check_key, check_value, decode_key};
use crate::stream::RawRecord;

/// Longer channels are not made of records: nobody could subscribe to them, and keys can be megabytes.
pub(super) const MAX_CHANNEL: usize = 4096;

/// The routes that the records of one topic may take.
#[derive(Debug)]
pub struct TopicPlan {
    routes: Vec<Planned>,
    headers: bool,
}

/// What became of a record on one route.
#[derive(Clone, Debug)]
pub struct Routed {
    /// The route.
    pub route: Arc<Route>,
    /// The channel that subscribers see, or why there is none.
    pub result: Result<Channel, Unroutable>,
}

/// Why a record has no channel on a route that reads its topic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unroutable {
    /// The channel needs a key, the record has none.
    #[error("it has no key")]
    NoKey,
    /// The key has no bytes, or no text.
    #[error("its key is empty")]
    EmptyKey,
    /// The key's bytes are not of the route's `key_format`.
    #[error("its key is bad: {0}")]
    Key(CodecError),
    /// The key does not fit the route's key template, nor that of another route of the topic.
    #[error("its key does not fit the template {0:?}")]
    KeyTemplate(Box<str>),
    /// The value's bytes are not of the route's `value_format`.
    #[error("its value is bad: {0}")]
    Value(CodecError),
    /// What a variable is bound to is not in the record.
    #[error("it has nothing for {{{0}}}")]
    Missing(Box<str>),
    /// What a variable is bound to is null, an object or an array, or cannot be read.
    #[error("what it has for {{{0}}} is bad: {1}")]
    Variable(Box<str>, CodecError),
    /// A variable is empty.
    #[error("{{{0}}} is empty")]
    Empty(Box<str>),
    /// A variable of several segments has an empty one.
    #[error("a part of {{{0}**}} is empty")]
    EmptyPart(Box<str>),
    /// Records never map to `/meta` or `/service`.
    #[error("its channel would be one of the protocol's own")]
    Reserved,
    /// The channel would be too long.
    #[error("its channel would be longer than {MAX_CHANNEL} bytes")]
    TooLong,
}

/// A route with all that the topic's name tells about it.
struct Planned {
    route: Arc<Route>,
    known: Values<'static>,
    steps: Vec<Step>,
    /// The channel, when the topic alone tells it.
    fixed: Option<Channel>,
    /// More specific routes, which may own the channel of a record.
    rivals: Vec<Arc<Route>>,
    key: KeyUse,
}

/// What a route wants of its records' keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyUse {
    Nothing,
    /// Shown as it is: the bytes must be of the format.
    Shown,
    /// One text.
    Text,
}

// === impl TopicPlan ===

impl TopicPlan {
    /// The plan for `topic`; `None` if no route open for subscribing reads it. `routes` in precedence order.
    pub(super) fn new(routes: &[Arc<Route>], topic: &str) -> Option<Self> {
        let routes: Vec<_> = routes.iter().filter_map(|route| Planned::new(route, routes, topic)).collect();
        let headers = routes.iter().any(|planned| {
            let data = planned.route.source.as_ref().and_then(|source| source.renderer.data.as_ref());
            data.is_some_and(|data| data.any(Selector::uses_headers))
                || planned.route.binds.iter().any(|(_, selector)| selector.uses_headers())
        });
        (!routes.is_empty()).then_some(Self { routes, headers })
    }

    /// Whether the headers of `record` are looked at.
    pub fn needs_headers(&self, record: &RawRecord<'_>) -> bool {
        self.headers || record.header(BINARY_HEADER).is_some()
    }

    /// The routes, most specific first.
    pub fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.routes.iter().map(|planned| &planned.route)
    }

    /// Appends what becomes of a record, per route: its channel, or why it has none. A route that `match` keeps
    /// from the record, or whose channel another route owns, is passed over silently.
    ///
    /// The value of a record with a channel has been checked: [`Route::render`] can do without.
    pub fn channels_of(&self, record: &RawRecord<'_>, out: &mut Vec<Routed>) {
        let before = out.len();
        let mut key = Decoded { format: KeyFormat::Text, key: Ok(None) };
        let mut decoded = false;
        let mut checked: Option<(ValueFormat, Result<(), CodecError>)> = None;
        let mut misfit = None;
        for planned in &self.routes {
            let Some(source) = &planned.route.source else { continue };
            if planned.key == KeyUse::Text && (!decoded || key.format != source.renderer.key_format) {
                key = Decoded::new(source.renderer.key_format, record.key);
                decoded = true;
            }
            let result = planned.channel(source, record, &key).and_then(|channel| {
                let Some(channel) = channel else { return Ok(None) };
                let format = source.renderer.value_format;
                match &checked {
                    Some((known, result)) if *known == format => result.clone(),
                    _ => checked.insert((format, check_value(format, record.value))).1.clone(),
                }
                .map_err(Unroutable::Value)?;
                Ok(Some(channel))
            });
            let result = match result {
                Ok(Some(channel)) => Ok(channel),
                Ok(None) => continue,
                Err(error @ Unroutable::KeyTemplate(_)) => {
                    misfit.get_or_insert((&planned.route, error));
                    continue;
                }
                Err(error) => Err(error),
            };
            out.push(Routed { route: Arc::clone(&planned.route), result });
        }
        // Routes may share a topic by the form of its keys. Only what none of them takes is worth a word.
        if let Some((route, error)) = misfit.filter(|_| out.len() == before) {
            out.push(Routed { route: Arc::clone(route), result: Err(error) });
        }
    }
}

// === impl Unroutable ===

impl Unroutable {
    /// The kind of reason, as a metric's label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoKey => "no_key",
            Self::EmptyKey => "empty_key",
            Self::Key(_) => "bad_key",
            Self::KeyTemplate(_) => "key_template",
            Self::Value(_) => "bad_value",
            Self::Missing(_) => "missing_variable",
            Self::Variable(..) => "bad_variable",
            Self::Empty(_) | Self::EmptyPart(_) => "empty_variable",
            Self::Reserved => "reserved",
            Self::TooLong => "too_long",
        }
    }

    pub(super) fn no_segment(route: &Route, error: NoSegment) -> Self {
        let name = route.names.get(error.id).into();
        if error.part { Self::EmptyPart(name) } else { Self::Empty(name) }
    }
}

// === impl Planned ===

/// A record's key, decoded once for all routes of one format.
struct Decoded<'a> {
    format: KeyFormat,
    key: Result<Option<Cow<'a, [u8]>>, CodecError>,
}

impl<'a> Decoded<'a> {
    fn new(format: KeyFormat, key: Option<&'a [u8]>) -> Self {
        Self { format, key: key.map(|key| decode_key(format, key)).transpose() }
    }
}

impl Planned {
    fn new(route: &Arc<Route>, routes: &[Arc<Route>], topic: &str) -> Option<Self> {
        let source = route.source.as_ref()?;
        route.subscribe?;
        let mut known = source.topics.iter().find_map(|template| {
            let mut values = Values::new(route.names.len());
            template.read(topic, &mut values).then_some(values)
        })?;
        for (id, selector) in &route.binds {
            let fits = match selector {
                Selector::Literal(text) => known.set(*id, Cow::Borrowed(text.as_bytes())),
                Selector::Topic => known.set(*id, Cow::Borrowed(topic.as_bytes())),
                _ => true,
            };
            if !fits {
                return None;
            }
        }
        if !route.allows(&known) {
            return None;
        }
        let known = known.into_owned();
        let steps = prepare(route.channel.steps(), &known).ok()?;
        let leading = match steps.first() {
            Some(Step::Text(text)) => text.as_str(),
            _ => "",
        };
        let rivals = routes.iter().filter(|rival| rival.may_own_of(route) && could_begin(rival, leading));
        let rivals: Vec<_> = rivals.cloned().collect();
        let whole = matches!(steps.as_slice(), [Step::Text(_)]).then_some(leading);
        let constant = source.key.is_none()
            && route
                .binds
                .iter()
                .all(|(_, selector)| matches!(selector, Selector::Literal(_) | Selector::Topic));
        let fixed = match whole.filter(|_| constant) {
            Some(text) => {
                let channel = Channel::parse(text).ok().filter(|channel| !is_reserved(channel))?;
                if rivals.iter().any(|rival| rival.read(text).is_some()) {
                    return None;
                }
                Some(channel)
            }
            None => None,
        };
        let uses_key = |data: &Projection| data.any(Selector::uses_key);
        let key = if source.key.is_some() || route.binds.iter().any(|(_, bound)| *bound == Selector::Key) {
            KeyUse::Text
        } else if source.renderer.data.as_ref().is_some_and(uses_key) {
            KeyUse::Shown
        } else {
            KeyUse::Nothing
        };
        Some(Self { route: Arc::clone(route), known, steps, fixed, rivals, key })
    }

    /// The record's channel; `None` if this route is not for it.
    fn channel(
        &self,
        source: &TopicSource,
        record: &RawRecord<'_>,
        key: &Decoded<'_>,
    ) -> Result<Option<Channel>, Unroutable> {
        let decoded = match (self.key, &key.key) {
            (KeyUse::Nothing, _) => None,
            (KeyUse::Shown, _) => {
                check_key(source.renderer.key_format, record.key).map_err(Unroutable::Key)?;
                None
            }
            (KeyUse::Text, Ok(key)) => key.as_deref(),
            (KeyUse::Text, Err(error)) => return Err(Unroutable::Key(error.clone())),
        };
        if let Some(channel) = &self.fixed {
            return Ok(Some(channel.clone()));
        }
        let mut values = Values::new(self.route.names.len());
        for (id, value) in self.known.iter() {
            let _ = values.set(id, Cow::Borrowed(value));
        }
        if let Some(template) = &source.key {
            let key = decoded.ok_or(Unroutable::NoKey)?;
            if key.is_empty() {
                return Err(Unroutable::EmptyKey);
            }
            if !template.read(key, None, &mut values) {
                return Err(Unroutable::KeyTemplate(template.as_str().into()));
            }
        }
        let (key_format, value_format) = (source.renderer.key_format, source.renderer.value_format);
        let view = View { record, key: decoded, key_format, value_format };
        for (id, selector) in &self.route.binds {
            if self.known.get(*id).is_some() {
                continue;
            }
            let name = || self.route.names.get(*id).into();
            let value = selector.text(view).map_err(|error| Unroutable::Variable(name(), error))?;
            let _ = values.set(*id, value.ok_or_else(|| Unroutable::Missing(name()))?);
        }
        if !self.route.allows(&values) {
            return Ok(None);
        }
        let mut text = String::with_capacity(self.route.channel().len() + record.key.map_or(0, <[u8]>::len));
        write(&self.steps, &values, &mut text).map_err(|error| Unroutable::no_segment(&self.route, error))?;
        if text.len() > MAX_CHANNEL {
            return Err(Unroutable::TooLong);
        }
        if self.rivals.iter().any(|rival| rival.read(&text).is_some()) {
            return Ok(None);
        }
        // Templates hold legal text only and values are escaped.
        let channel = Channel::parse(&text).map_err(|_| Unroutable::Reserved)?;
        if is_reserved(&channel) { Err(Unroutable::Reserved) } else { Ok(Some(channel)) }
    }
}

fn is_reserved(channel: &Channel) -> bool {
    channel.is_meta() || channel.is_service()
}

/// Whether a channel that begins with `leading` can be one of `rival`.
fn could_begin(rival: &Route, leading: &str) -> bool {
    match rival.channel.steps().first() {
        Some(Step::Text(text)) => text.starts_with(leading) || leading.starts_with(text.as_str()),
        _ => true,
    }
}

impl fmt::Debug for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Planned")
            .field("route", &self.route)
            .field("steps", &self.steps)
            .finish_non_exhaustive()
    }
}
