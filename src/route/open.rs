//! The two directions of a route: whether each is open, and whether it can work.

use super::channel::ChannelTemplate;
use super::definition::{Publish, Route, Subscribe, TopicSource};
use super::file::{NOT_YET_TEXT, Reader};
use super::project::Projection;
use super::selector::Selector;
use super::template::{Names, Template, TemplateError};
use crate::codec::{KeyFormat, ValueFormat};
use crate::config::yaml::{Node, Value};

// === reading ===

impl<'a> Reader<'a> {
    /// `subscribe`: open unless false, or unless records can never be there.
    pub(super) fn subscribe(&mut self, channel: Option<&ChannelTemplate>, local: bool) -> Option<Subscribe> {
        let service = channel.is_some_and(ChannelTemplate::is_service);
        let open = Subscribe { patterns: true, warm: false };
        let path = self.fields.path("subscribe");
        let Some(node) = self.fields.take("subscribe") else { return (!service).then_some(open) };
        if service && node.value != Value::Bool(false) {
            let what = "records never map to /service";
            self.report.at_with_hint(node, &path, what, "write subscribe: false, or leave it out");
            return None;
        }
        match &node.value {
            Value::Null | Value::Bool(true) => return Some(open),
            Value::Bool(false) => return None,
            Value::Map(_) => {}
            _ => {
                self.report.unexpected("true, false or a map", &path, node);
                return None;
            }
        }
        let mut fields = self.report.fields(&path, node)?;
        for key in ["allow", "replay_max_age", "replay_max_bytes"] {
            if let Some(node) = fields.take(key) {
                self.report.at(node, &fields.path(key), NOT_YET_TEXT);
            }
        }
        if let Some(node) = fields.value("start") {
            let path = fields.path("start");
            match self.report.scalar(&path, node) {
                None | Some("latest") => {}
                Some(start) if is_start(start) => {
                    self.report.at(node, &path, format!("{start}: {NOT_YET_TEXT}"));
                }
                Some(start) => self.report.at(
                    node,
                    &path,
                    format!("{start:?} is none of latest, earliest, snapshot or a duration"),
                ),
            }
        }
        let patterns = fields.boolean("patterns").unwrap_or(true);
        let warm_path = fields.path("warm");
        let warm = fields.value("warm");
        if let (true, Some(node)) = (local, warm) {
            self.report.at(node, &warm_path, "a local route reads no topic");
        }
        let warm = warm.and_then(|node| self.report.boolean(&warm_path, node)).unwrap_or(false);
        fields.finish();
        Some(Subscribe { patterns, warm })
    }

    /// `publish`: closed unless present. `known` are the variables of the channel.
    pub(super) fn publish(&mut self, known: &Names, local: bool) -> Option<(Publish, &'a Node)> {
        let path = self.fields.path("publish");
        let node = self.fields.take("publish")?;
        match &node.value {
            Value::Null | Value::Bool(true) => return Some((Publish::default(), node)),
            Value::Bool(false) => return None,
            Value::Map(_) => {}
            _ => {
                self.report.unexpected("a map or nothing", &path, node);
                return None;
            }
        }
        let mut fields = self.report.fields(&path, node)?;
        for key in ["allow", "echo", "subject", "version"] {
            if let Some(node) = fields.take(key) {
                self.report.at(node, &fields.path(key), NOT_YET_TEXT);
            }
        }
        let mut publish = Publish { strict: fields.boolean("strict").unwrap_or(false), headers: Vec::new() };
        if local && publish.strict {
            self.report.at(node, &fields.path("strict"), "a local route has no records to wait for");
        }
        if let Some(headers) = fields.fields("headers") {
            if local {
                self.report.at(
                    node,
                    &fields.path("headers"),
                    "a local route has no records to carry headers",
                );
            }
            for (key, node) in headers.entries() {
                let path = headers.path(&key.name);
                if let Some(text) = self.report.string(&path, node)
                    && let Some(template) = self.header(&path, node, text, known)
                {
                    publish.headers.push((key.name.clone(), template));
                }
            }
        }
        fields.finish();
        Some((publish, node))
    }

    fn header(&self, path: &str, node: &Node, text: &str, known: &Names) -> Option<Template> {
        // Parsed with the route's names: a variable that is new here is one too many.
        match Template::parse(text, &mut known.clone()) {
            Err(TemplateError::Name(name)) if name.starts_with("claims.") => {
                self.report.at(node, path, format!("{{{name}}}: {NOT_YET_TEXT}"));
                None
            }
            Err(error) => {
                self.report.at(node, path, format!("{text:?}: {error}"));
                None
            }
            Ok(template) if template.variables().any(|id| id >= known.len()) => {
                self.report.at(node, path, format!("{text:?}: not all of its variables are in channel"));
                None
            }
            Ok(template) => Some(template),
        }
    }
}

/// Whether `start` is a value that design knows.
fn is_start(start: &str) -> bool {
    let digits = start.trim_start_matches(|c: char| c.is_ascii_digit());
    matches!(start, "earliest" | "snapshot")
        || (digits.len() < start.len() && matches!(digits, "ms" | "s" | "m" | "h" | "d"))
}

// === checking ===

/// Reports what keeps an open direction from working. `node` is the route's channel.
pub(super) fn check(reader: &mut Reader<'_>, route: &Route, node: &Node) {
    let Some(source) = &route.source else {
        if route.publish.is_none() {
            let path = reader.fields.path("local");
            let what = "unreachable: nobody may publish, so nothing can ever be here";
            reader.report.at_with_hint(node, &path, what, "add publish:");
        } else if route.channel.is_service() {
            let path = reader.fields.path("local");
            let what = "unreachable: nobody can subscribe to /service, so nobody would get anything";
            reader.report.at_with_hint(node, &path, what, "give it a topic");
        }
        return;
    };
    if route.subscribe.is_none() && route.publish.is_none() {
        let what = "it is open neither for subscribing nor for publishing";
        reader.report.at_with_hint(node, &reader.fields.path("channel"), what, "add publish:");
    }
    check_binds(reader, route, source);
    check_data(reader, source);
    check_derivable(reader, route, source, node);
    if route.publish.is_some() {
        check_publish(reader, route, source);
        super::reply::check(reader, route);
    }
}

/// Every variable of the channel comes from the record: when records are read, and for a publish to lead back.
fn check_derivable(reader: &mut Reader<'_>, route: &Route, source: &TopicSource, node: &Node) {
    for id in route.channel.variables() {
        let from_key = source.key.as_ref().is_some_and(|key| key.variables().any(|known| known == id));
        let bound = route.binds.iter().any(|(known, _)| *known == id);
        let lacking = source.topics.iter().find(|topic| topic.0.variables().all(|known| known != id));
        if let (false, false, Some(topic)) = (from_key, bound, lacking) {
            let name = route.names.get(id);
            let of = if source.topics.len() > 1 { format!(" {}", topic.0) } else { String::new() };
            reader.report.at_with_hint(
                node,
                &reader.fields.path("channel"),
                format!("{{{name}}} cannot be derived from a record: it is not in topic{of}, key or bind"),
                format!(
                    "put {{{name}}} into topic or key, or say where it is: bind: {{ {name}: header:{name} }}"
                ),
            );
        }
    }
}

fn check_publish(reader: &mut Reader<'_>, route: &Route, source: &TopicSource) {
    let in_channel = |id: usize| route.channel.variables().any(|known| known == id);
    if source.topics.len() > 1
        && let Some(node) = reader.fields.take("topic")
    {
        let what = "a route that is open for publishing has one topic, not a list";
        reader.report.at(node, &reader.fields.path("topic"), what);
    }
    let topics = source.topics.iter().map(|topic| ("topic", &topic.0));
    for (key, template) in topics.chain(source.key.iter().map(|key| ("key", key))) {
        for id in template.variables().filter(|id| !in_channel(*id)) {
            if let Some(node) = reader.fields.take(key) {
                let name = route.names.get(id);
                reader.report.at_with_hint(
                    node,
                    &reader.fields.path(key),
                    format!("{{{name}}} is not in channel, so a publish cannot tell it"),
                    format!("put {{{name}}} into channel, or remove publish"),
                );
            }
        }
    }
    let headers = route.publish.iter().flat_map(|publish| &publish.headers);
    for (id, selector) in &route.binds {
        let what = match selector {
            Selector::Partition | Selector::Offset | Selector::Timestamp | Selector::KeyAt(_) => {
                format!("{selector} cannot be written by a publish")
            }
            Selector::Header(header) if headers.clone().any(|(name, _)| **name == **header) => {
                format!("publish.headers writes the header {header} as well")
            }
            _ => continue,
        };
        report_bind(reader, route, *id, &what);
    }
}

fn check_binds(reader: &mut Reader<'_>, route: &Route, source: &TopicSource) {
    for (id, selector) in &route.binds {
        let given = |template: &Template| template.variables().any(|known| known == *id);
        let what = if source.topics.iter().any(|topic| given(&topic.0)) {
            "topic tells this variable already".to_owned()
        } else if source.key.as_ref().is_some_and(given) {
            "key tells this variable already".to_owned()
        } else {
            match formats(selector, source) {
                Some(what) => what,
                None => continue,
            }
        };
        report_bind(reader, route, *id, &what);
    }
}

fn report_bind(reader: &mut Reader<'_>, route: &Route, id: usize, what: &str) {
    let name = route.names.get(id);
    let Some(Value::Map(entries)) = reader.fields.take("bind").map(|node| &node.value) else { return };
    if let Some((_, node)) = entries.iter().find(|(key, _)| key.name == name) {
        reader.report.at(node, &reader.fields.path(&format!("bind.{name}")), what);
    }
}

fn check_data(reader: &mut Reader<'_>, source: &TopicSource) {
    fn wrong(projection: &Projection, source: &TopicSource) -> Option<String> {
        match projection {
            Projection::Select(selector) => formats(selector, source),
            Projection::Constant(_) => None,
            Projection::Object(entries) => entries.iter().find_map(|(_, item)| wrong(item, source)),
            Projection::Array(items) => items.iter().find_map(|item| wrong(item, source)),
        }
    }
    if let Some(what) = source.renderer.data.as_ref().and_then(|data| wrong(data, source))
        && let Some(node) = reader.fields.take("data")
    {
        reader.report.at(node, &reader.fields.path("data"), what);
    }
}

/// Why a selector cannot work with the route's formats.
fn formats(selector: &Selector, source: &TopicSource) -> Option<String> {
    match selector {
        Selector::KeyAt(_) if source.renderer.key_format != KeyFormat::Json => {
            Some(format!("{selector} needs key_format: json"))
        }
        Selector::ValueAt(_) if source.renderer.value_format != ValueFormat::Json => {
            Some(format!("{selector} needs value_format: json"))
        }
        _ => None,
    }
}
