//! From patterns to what must be read: the topics, and at best one key.

use std::borrow::Cow;
use std::sync::Arc;

use super::channel::{Segment, Step, prepare};
use super::definition::Route;
use super::partition::FixedKey;
use super::selector::Selector;
use super::template::Values;
use crate::bayeux::{Pattern, Wild};
use crate::codec::encode_key;

/// A route that a subscription covers.
#[derive(Clone, Debug)]
pub struct Coverage {
    /// The route.
    pub route: Arc<Route>,
    /// What must be read for it.
    pub reads: Reads,
}

/// What a subscription needs of one route.
#[derive(Clone, Debug)]
pub enum Reads {
    /// Nothing of Kafka: the route is `local`.
    Local,
    /// Topics.
    Topics {
        /// Those whose names are known; they need not exist.
        literal: Vec<Arc<str>>,
        /// Which others of the cluster.
        template: Option<TopicMatcher>,
        /// The only key that matters, where it tells the partition.
        key: Option<FixedKey>,
    },
}

/// Tells which of a cluster's topics a subscription needs. Never one whose name begins with `_`.
#[derive(Clone, Debug)]
pub struct TopicMatcher {
    route: Arc<Route>,
    fixed: Arc<Values<'static>>,
}

impl TopicMatcher {
    /// Whether records of `topic` can be on the channels that the subscription names.
    pub fn matches(&self, topic: &str) -> bool {
        let Some(source) = &self.route.source else { return false };
        source.topics.iter().filter(|template| template.literal().is_none()).any(|template| {
            let mut values = Values::new(self.route.names.len());
            for (id, value) in self.fixed.iter() {
                let _ = values.set(id, Cow::Borrowed(value));
            }
            template.read(topic, &mut values)
                && self.route.binds.iter().all(|(id, selector)| {
                    *selector != Selector::Topic || values.set(*id, Cow::Borrowed(topic.as_bytes()))
                })
                && self.route.allows(&values)
        })
    }
}

/// How a subscription covers `route`; `None` if no channel of the route is one of the pattern's, or all such
/// channels belong to others. `routes` in precedence order.
pub(super) fn cover(route: &Arc<Route>, routes: &[Arc<Route>], pattern: &Pattern) -> Option<Reads> {
    let subscribe = route.subscribe?;
    if pattern.wild() != Wild::None && !subscribe.patterns {
        return None;
    }
    let mut values = Values::new(route.names.len());
    if !route.channel.meet(pattern, &mut values) {
        return None;
    }
    for (id, selector) in &route.binds {
        if let Selector::Literal(text) = selector
            && !values.set(*id, Cow::Borrowed(text.as_bytes()))
        {
            return None;
        }
    }
    if !route.allows(&values) {
        return None;
    }
    let mut rivals = routes.iter().filter(|rival| rival.may_own_of(route));
    let overshadowed = match pattern.wild() {
        Wild::None => rivals.any(|rival| rival.read(pattern.as_str()).is_some()),
        _ => rivals.any(|rival| owns_all(rival, route, pattern, &values)),
    };
    if overshadowed { None } else { reads(route, values) }
}

/// What must be read for the channels of `route` whose variables have the values that are known.
fn reads(route: &Arc<Route>, values: Values<'_>) -> Option<Reads> {
    let Some(source) = &route.source else { return Some(Reads::Local) };
    let whole = route.binds.iter().find(|(_, selector)| *selector == Selector::Topic);
    let whole = whole.and_then(|(id, _)| values.get(*id));
    let mut literal: Vec<Arc<str>> = Vec::new();
    let mut open = false;
    for topic in &source.topics {
        if topic.0.variables().all(|id| values.get(id).is_some()) {
            let name = topic.write(&values).filter(|name| whole.is_none_or(|whole| whole == name.as_bytes()));
            if let Some(name) = name.filter(|name| !literal.iter().any(|known| **known == **name)) {
                literal.push(name.into());
            }
        } else {
            open = true;
        }
    }
    if literal.is_empty() && !open {
        return None;
    }
    let key = match &source.key {
        Some(template) if template.variables().all(|id| values.get(id).is_some()) => {
            let text = template.write(&values)?;
            // A key that leads elsewhere, or none of the format, is no key of this channel.
            let mut again = Values::new(values.len());
            let same = template.read(&text, None, &mut again)
                && template.variables().all(|id| again.get(id) == values.get(id));
            if !same {
                return None;
            }
            let key = encode_key(source.renderer.key_format, &text).ok()?;
            let exact = source.renderer.key_format.is_exact();
            source.partitioner.filter(|_| exact).map(|partitioner| FixedKey { partitioner, key })
        }
        _ => None,
    };
    let fixed = Arc::new(values.into_owned());
    let template = open.then(|| TopicMatcher { route: Arc::clone(route), fixed });
    Some(Reads::Topics { literal, template, key })
}

/// What must be read for all channels of a route.
pub(super) fn reads_of(route: &Arc<Route>) -> Option<Reads> {
    reads(route, constants(route))
}

/// The variables that the route itself fixes.
fn constants(route: &Route) -> Values<'_> {
    let mut values = Values::new(route.names.len());
    for (id, selector) in &route.binds {
        if let Selector::Literal(text) = selector {
            let _ = values.set(*id, Cow::Borrowed(text.as_bytes()));
        }
    }
    values
}

/// Whether `rival`, the more specific one, surely owns every channel that `route` and the pattern have in common.
fn owns_all(rival: &Route, route: &Route, pattern: &Pattern, fixed: &Values<'_>) -> bool {
    let mut values = Values::new(rival.names.len());
    let mut theirs = rival.channel.segments().iter();
    for text in pattern.prefix() {
        match theirs.next() {
            Some(Segment::Deep(_)) | None => return false,
            Some(segment) if segment.read(text, &mut values) => {}
            Some(_) => return false,
        }
    }
    if !rival.allows(&values) {
        return false;
    }
    let free = |segment: &Segment| !segment.variables().any(|id| rival.has_match(id));
    let passed = pattern.prefix().count();
    let ours = route.channel.segments();
    // A `{x**}` within the prefix is one of any segments behind it, or of exactly one behind `/*`.
    let deep_passed = ours.len() <= passed;
    let rest = if deep_passed { ours.get(ours.len() - 1..) } else { ours.get(passed..) };
    for segment in rest.unwrap_or_default() {
        let Some(other) = theirs.next() else { return false };
        let owned = match segment {
            Segment::Deep(_) if pattern.wild() == Wild::One => other.is_one() && free(other),
            Segment::Deep(_) => matches!(other, Segment::Deep(_)) && free(other),
            Segment::Text(text) => other.read(text, &mut values) && rival.allows(&values),
            Segment::Parts(_) => match constant(segment, route, fixed) {
                Some(text) => reads_all(other, rival, &text),
                None => segment.is_one() && other.is_one() && free(other),
            },
        };
        if !owned {
            return false;
        }
    }
    theirs.next().is_none()
}

/// Whether a segment of `rival` reads `text`.
fn reads_all(segment: &Segment, rival: &Route, text: &str) -> bool {
    let mut values = Values::new(rival.names.len());
    !matches!(segment, Segment::Deep(_)) && segment.read(text, &mut values) && rival.allows(&values)
}

/// The text of a segment whose variables are all known.
fn constant(segment: &Segment, route: &Route, fixed: &Values<'_>) -> Option<String> {
    if segment.variables().any(|id| fixed.get(id).is_none()) {
        return None;
    }
    let place = route.channel.segments().iter().position(|known| known == segment)?;
    match prepare(route.channel.steps(), fixed).ok()?.as_slice() {
        [Step::Text(text), ..] => text.split('/').nth(place + 1).map(str::to_owned),
        _ => None,
    }
}

/// Whether others own every channel that records can have on this route.
pub(super) fn is_unreachable(route: &Arc<Route>, routes: &[Arc<Route>]) -> bool {
    let values = constants(route);
    let everything = Pattern::parse("/**");
    let owned = |rival: &Arc<Route>| {
        everything.as_ref().is_ok_and(|everything| owns_all(rival, route, everything, &values))
    };
    !route.allows(&values) || routes.iter().filter(|rival| rival.may_own_of(route)).any(owned)
}
