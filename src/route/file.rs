//! Mapping files: YAML to routes, with everything wrong in them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use regex::bytes::{Regex, RegexBuilder};

use super::across::{self, Draft};
use super::channel::{ChannelTemplate, ChannelTemplateError};
use super::definition::{Route, TopicSource, TopicTemplate, is_topic};
use super::open;
use super::partition::Partitioner;
use super::project::{Projection, Renderer};
use super::selector::Selector;
use super::table::RouteTable;
use super::template::{Names, Template, TemplateError};
use crate::codec::{KeyFormat, ValueFormat};
use crate::config::yaml::{self, Key, Node, Value};
use crate::config::{Fields, Problem, Problems, Report, duration, suggest};

/// A mapping file.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Its name, as the user gave it.
    pub file: &'a Path,
    /// What is in it.
    pub text: &'a str,
}

/// Mapping files without errors.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The routes.
    pub table: RouteTable,
    /// What is allowed, but worth a thought.
    pub warnings: Vec<Problem>,
}

/// Compiled regular expressions are bounded: a mapping file must not take the node's memory.
const REGEX_BYTES: usize = 1 << 20;
/// What mapping files may say one day.
const NOT_YET: [&str; 6] = ["filter", "envelope", "expose", "dead_letter", "slow_consumer", "recipient"];
/// How long events may wait: they wait in memory.
const SHORTEST_LAZY: Duration = Duration::from_millis(1);
const LONGEST_LAZY: Duration = Duration::from_mins(1);
pub(super) const NOT_YET_TEXT: &str = "not yet: this version of Halley cannot do it";

/// Reads mapping files and checks them against each other.
///
/// # Errors
/// Every problem of every file, in order.
pub fn parse(sources: &[Source<'_>]) -> Result<Checked, Problems> {
    let mut files = Vec::new();
    for source in sources {
        let report = Report::new(source.file);
        let root = match yaml::parse(source.file, source.text) {
            Ok(root) => Some(root),
            Err(problem) => {
                report.add(problem);
                None
            }
        };
        files.push((report, root));
    }
    let mut drafts = Vec::new();
    for (report, root) in &files {
        if let Some(root) = root {
            read_file(report, root, &mut drafts);
        }
    }
    across::check(&drafts);
    let warnings = across::warnings(&drafts);
    let routes = drafts.into_iter().filter_map(|draft| draft.route).collect();
    let problems: Vec<_> = files.into_iter().flat_map(|(report, _)| report.into_problems()).collect();
    if problems.is_empty() {
        Ok(Checked { table: RouteTable::new(routes), warnings })
    } else {
        Err(Problems(problems))
    }
}

fn read_file<'a>(report: &'a Report, root: &'a Node, drafts: &mut Vec<Draft<'a>>) {
    let Some(mut fields) = report.fields("", root) else { return };
    for (n, node) in fields.list("routes").unwrap_or_default().iter().enumerate() {
        if let Some(fields) = report.fields(&format!("routes[{n}]"), node) {
            drafts.push(Reader { report, fields, node, names: Names::default() }.route());
        }
    }
    fields.finish();
}

/// Reads one route.
pub(super) struct Reader<'a> {
    pub(super) report: &'a Report,
    pub(super) fields: Fields<'a>,
    pub(super) node: &'a Node,
    pub(super) names: Names,
}

// === impl Reader ===

impl<'a> Reader<'a> {
    fn route(mut self) -> Draft<'a> {
        let before = self.report.len();
        let mut draft = Draft::new(self.report, self.node);
        let name_node = self.fields.required("name");
        let name = name_node.and_then(|node| self.report.string(&self.fields.path("name"), node));
        if let (Some(name), Some(node)) = (name, name_node) {
            if name.trim().is_empty() {
                self.report.at(node, "name", "it is empty");
            }
            draft.name = Some((name, node));
            self.fields.rename(format!("route {name}"));
        }
        for key in NOT_YET {
            if let Some(node) = self.fields.take(key) {
                self.report.at(node, &self.fields.path(key), NOT_YET_TEXT);
            }
        }
        let channel_node = self.fields.required("channel");
        let channel = channel_node.and_then(|node| self.channel(node));
        let known = self.names.clone();
        let local = self.fields.boolean("local").unwrap_or(false);
        let mut source = if local {
            self.refuse_kafka();
            None
        } else {
            Some(self.source())
        };
        let matches = self.matches();
        let mut binds = self.binds();
        if let Some(source) = &mut source {
            self.key_from_bind(source, &mut binds);
        }
        let lazy = self.lazy();
        let subscribe = self.subscribe(channel.as_ref(), local);
        let publish = self.publish(&known, local);
        let reply = if local { None } else { self.reply(channel.as_ref()) };
        let place = self.report.place(self.node.line, self.node.column);
        if let (Some(channel), Some(node)) = (&channel, channel_node) {
            let matched = |id: usize| matches.get(id).is_some_and(Option::is_some);
            draft.channel = Some((channel.clone(), channel.rank(&matched), node));
        }
        draft.publish = publish.as_ref().map(|(_, node)| *node);
        if let (Some(channel), Some(node), true) = (channel, channel_node, self.report.len() == before) {
            let route = Route {
                name: draft.name.map_or_else(Arc::default, |(name, _)| name.into()),
                place,
                rank: draft.channel.as_ref().map_or_else(Vec::new, |(_, rank, _)| rank.clone()),
                channel,
                names: self.names.clone(),
                matches,
                binds,
                source,
                lazy,
                subscribe,
                publish: publish.map(|(publish, _)| publish),
                reply: reply.map(Arc::new),
            };
            open::check(&mut self, &route, node);
            if self.report.len() == before {
                draft.route = Some(Arc::new(route));
            }
        }
        self.fields.finish();
        draft
    }

    fn channel(&mut self, node: &'a Node) -> Option<ChannelTemplate> {
        let path = self.fields.path("channel");
        let text = self.report.string(&path, node)?;
        let template = match ChannelTemplate::parse(text, &mut self.names) {
            Ok(template) => template,
            Err(error) => {
                let what = format!("{text:?}: {error}");
                match channel_hint(&error) {
                    Some(hint) => self.report.at_with_hint(node, &path, what, hint),
                    None => self.report.at(node, &path, what),
                }
                return None;
            }
        };
        if matches!(text.split('/').nth(1), Some("meta")) {
            self.report.at(node, &path, "/meta belongs to the protocol");
            return None;
        }
        Some(template)
    }

    fn source(&mut self) -> TopicSource {
        let key_format = self.format("key_format", KeyFormat::NAMES, &["avro", "protobuf"], KeyFormat::parse);
        let value_format = self.format(
            "value_format",
            ValueFormat::NAMES,
            &["long", "int", "uuid", "avro", "protobuf", "json_schema"],
            ValueFormat::parse,
        );
        let partitioner = self.format("partitioner", Partitioner::NAMES, &[], Partitioner::parse);
        self.format("on_error", &["skip"], &["dead_letter"], |name| (name == "skip").then_some(()));
        let topics = self.topics();
        let key = self.fields.value("key").and_then(|node| self.template("key", node));
        let data = self.fields.value("data").and_then(|node| {
            let path = self.fields.path("data");
            self.projection(&path, node)
        });
        let (key_format, value_format) = (key_format.unwrap_or_default(), value_format.unwrap_or_default());
        let renderer = Arc::new(Renderer { key_format, value_format, data });
        TopicSource { topics, key, partitioner, renderer }
    }

    fn refuse_kafka(&mut self) {
        const KAFKA: [&str; 9] = [
            "topic",
            "key",
            "bind",
            "key_format",
            "value_format",
            "data",
            "on_error",
            "partitioner",
            "reply",
        ];
        for key in KAFKA {
            if let Some(node) = self.fields.take(key) {
                self.report.at(
                    node,
                    &self.fields.path(key),
                    "a local route has no topic, so this has no meaning",
                );
            }
        }
    }

    fn format<T>(
        &mut self,
        key: &'static str,
        names: &[&'static str],
        not_yet: &[&str],
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let node = self.fields.value(key)?;
        let path = self.fields.path(key);
        let name = self.report.string(&path, node)?;
        let found = parse(name);
        if found.is_none() && not_yet.contains(&name) {
            self.report.at(node, &path, format!("{name}: {NOT_YET_TEXT}"));
        } else if found.is_none() {
            let what = format!("{name:?} is none of {}", names.join(", "));
            match suggest(name, names.iter().copied()) {
                Some(name) => self.report.at_with_hint(node, &path, what, format!("did you mean {name}?")),
                None => self.report.at(node, &path, what),
            }
        }
        found
    }

    fn topics(&mut self) -> Vec<TopicTemplate> {
        let path = self.fields.path("topic");
        let Some(node) = self.fields.value("topic") else {
            let place = self.report.place(self.node.line, self.node.column);
            let problem = Problem::at(place, format!("{path}: missing"));
            self.report.add(problem.hint("a route without topic is local: true"));
            return Vec::new();
        };
        let items = match &node.value {
            Value::Seq(items) if items.is_empty() => {
                self.report.at(node, &path, "the list is empty");
                return Vec::new();
            }
            Value::Seq(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        items.iter().filter_map(|node| self.topic(&path, node)).collect()
    }

    fn topic(&mut self, path: &str, node: &'a Node) -> Option<TopicTemplate> {
        let template = self.template("topic", node)?;
        let text = template.as_str();
        if let Some(id) = template.variables().find(|id| self.names.is_deep(*id)) {
            let name = self.names.get(id);
            self.report.at(node, path, format!("{{{name}**}} cannot be in a topic, which has no segments"));
            return None;
        }
        // With its variables filled in, the template must be a name.
        let sample = match template.literal() {
            Some(name) => name.to_owned(),
            None => self.sample(&template),
        };
        if !is_topic(&sample) {
            self.report.at_with_hint(
                node,
                path,
                format!("{text:?} is not a name that Kafka allows"),
                "letters, digits, '.', '_' and '-', at most 249",
            );
            return None;
        }
        if template.literal().is_none() && template.leading().starts_with('_') {
            self.report.at(node, path, "unreachable: templates never match topics that begin with '_'");
            return None;
        }
        Some(TopicTemplate(template))
    }

    fn sample(&self, template: &Template) -> String {
        let mut values = super::template::Values::new(self.names.len());
        for id in template.variables() {
            let _ = values.set(id, b"x".as_slice().into());
        }
        template.write(&values).map(|name| String::from_utf8_lossy(&name).into_owned()).unwrap_or_default()
    }

    /// A template of `key`, reported under its name.
    fn template(&mut self, key: &str, node: &'a Node) -> Option<Template> {
        let path = self.fields.path(key);
        let text = self.report.string(&path, node)?;
        match Template::parse(text, &mut self.names) {
            Ok(template) => Some(template),
            Err(error) => {
                let what = format!("{text:?}: {error}");
                match template_hint(&error) {
                    Some(hint) => self.report.at_with_hint(node, &path, what, hint),
                    None => self.report.at(node, &path, what),
                }
                None
            }
        }
    }

    fn lazy(&mut self) -> Option<Duration> {
        let node = self.fields.value("lazy")?;
        let path = self.fields.path("lazy");
        let text = self.report.scalar(&path, node)?;
        let lazy = duration(text).filter(|lazy| (SHORTEST_LAZY..=LONGEST_LAZY).contains(lazy));
        if lazy.is_none() {
            let what = format!("{text:?} is not a duration between 1ms and 1m");
            self.report.at_with_hint(node, &path, what, "such as 200ms");
        }
        lazy
    }

    fn matches(&mut self) -> Vec<Option<Regex>> {
        let mut found = Vec::new();
        if let Some(fields) = self.fields.fields("match") {
            for (key, node) in fields.entries() {
                let path = fields.path(&key.name);
                let id = self.variable(&path, key);
                let regex = self.report.string(&path, node).and_then(|text| self.regex(&path, node, text));
                if let (Some(id), Some(regex)) = (id, regex) {
                    found.resize(found.len().max(id + 1), None);
                    if let Some(slot) = found.get_mut(id) {
                        *slot = Some(regex);
                    }
                }
            }
        }
        found
    }

    fn regex(&self, path: &str, node: &Node, text: &str) -> Option<Regex> {
        let compile = |text: &str| RegexBuilder::new(text).size_limit(REGEX_BYTES).build();
        // Alone first: its own mistakes must not be mended by what is put around it.
        match compile(text).and_then(|_| compile(&format!(r"\A(?:{text})\z"))) {
            Ok(regex) => Some(regex),
            Err(error) => {
                let said = error.to_string();
                let said = said.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                let said = match error {
                    regex::Error::CompiledTooBig(_) => "it is too big".to_owned(),
                    _ => said,
                };
                self.report.at(node, path, format!("{text:?} is not a regular expression: {said}"));
                None
            }
        }
    }

    /// The number of a variable that a map names.
    fn variable(&self, path: &str, key: &Key) -> Option<usize> {
        let found = self.names.find(&key.name);
        if found.is_none() {
            let place = self.report.place(key.line, key.column);
            let problem = Problem::at(place, format!("{path}: the route has no variable {{{}}}", key.name));
            self.report.add(match suggest(&key.name, self.names.iter()) {
                Some(name) => problem.hint(format!("did you mean {name}?")),
                None => problem,
            });
        }
        found
    }

    fn binds(&mut self) -> Vec<(usize, Selector)> {
        let mut found = Vec::new();
        if let Some(fields) = self.fields.fields("bind") {
            for (key, node) in fields.entries() {
                let path = fields.path(&key.name);
                let id = self.variable(&path, key);
                let text = self.report.string(&path, node);
                let selector = text.and_then(|text| self.selector(&path, node, text));
                found.extend(id.zip(selector));
            }
        }
        found
    }

    pub(super) fn selector(&self, path: &str, node: &Node, text: &str) -> Option<Selector> {
        match Selector::parse(text) {
            Ok(selector) => Some(selector),
            Err(error) => {
                self.report.at_with_hint(
                    node,
                    path,
                    error,
                    "a selector is topic, partition, offset, timestamp, key, key:/pointer, header:NAME, value, \
                     value:/pointer or =literal",
                );
                None
            }
        }
    }

    fn projection(&self, path: &str, node: &Node) -> Option<Projection> {
        Some(match &node.value {
            Value::String(text) => Projection::Select(self.selector(path, node, text)?),
            Value::Null => Projection::Constant("null".into()),
            Value::Bool(value) => Projection::Constant(value.to_string().into()),
            Value::Number(text) => {
                if crate::codec::check_json(text.as_bytes()).is_err() {
                    self.report.at(node, path, format!("{text} is not a number of JSON"));
                    return None;
                }
                Projection::Constant(text.as_str().into())
            }
            Value::Seq(items) => {
                let items: Vec<_> = items.iter().map(|node| self.projection(path, node)).collect();
                Projection::Array(items.into_iter().collect::<Option<_>>()?)
            }
            Value::Map(entries) => {
                let entry = |(key, node): &(Key, Node)| {
                    let projection = self.projection(&format!("{path}.{}", key.name), node)?;
                    Some((key.name.as_str().into(), projection))
                };
                let entries: Vec<_> = entries.iter().map(entry).collect();
                Projection::Object(entries.into_iter().collect::<Option<_>>()?)
            }
        })
    }

    /// `bind: { x: key }` without a key template is the template `{x}`.
    fn key_from_bind(&mut self, source: &mut TopicSource, binds: &mut Vec<(usize, Selector)>) {
        let whole = binds.iter().position(|(_, selector)| *selector == Selector::Key);
        if let (None, Some(at)) = (&source.key, whole) {
            let (id, _) = binds.swap_remove(at);
            let deep = if self.names.is_deep(id) { "**" } else { "" };
            let text = format!("{{{}{deep}}}", self.names.get(id));
            source.key = Template::parse(&text, &mut self.names).ok();
        }
    }
}

fn channel_hint(error: &ChannelTemplateError) -> Option<String> {
    match error {
        ChannelTemplateError::Template(error) => template_hint(error),
        ChannelTemplateError::Character('*') => {
            Some("a variable of several segments is written {x**}".to_owned())
        }
        _ => None,
    }
}

fn template_hint(error: &TemplateError) -> Option<String> {
    match error {
        TemplateError::Open | TemplateError::Close | TemplateError::Name(_) => {
            Some("a brace that begins no variable is written {{ or }}".to_owned())
        }
        TemplateError::Adjacent(a, b) => Some(format!("put text between them, as in {{{a}}}-{{{b}}}")),
        TemplateError::Deep(name) | TemplateError::NotDeep(name) => {
            Some(format!("write it one way everywhere: {{{name}}} or {{{name}**}}"))
        }
        _ => None,
    }
}
