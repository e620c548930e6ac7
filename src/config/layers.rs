//! The layers of settings (file, environment, flags), each checked for unknown names, and their merge.

use std::path::Path;
use std::sync::Arc;

use config::{Config, ConfigError, Map, Source, Value, ValueKind};

use super::keys::{KAFKA, KEYS};
use super::origin::{Context, Origin};
use super::problem::{Place, Problem};
use super::suggest::suggest;
use super::value::Wrong;
use super::yaml::{self, Node};

/// What an environment variable begins with to be a setting.
const PREFIX: &str = "HALLEY__";

/// Collects the layers, lowest first.
pub(super) struct Layers<'a> {
    context: &'a mut Context,
    problems: &'a mut Vec<Problem>,
    lowest_first: Vec<Layer>,
}

/// Where the nodes of one layer come from.
enum Whence<'a> {
    File(&'a Arc<Path>),
    One(Origin),
}

/// The values of a layer, sections as tables.
#[derive(Clone, Debug)]
struct Layer(Map<String, Value>);

/// What a name is.
enum Named {
    Key,
    Section,
    Unknown,
}

// === impl Layers ===

impl<'a> Layers<'a> {
    pub(super) fn new(context: &'a mut Context, problems: &'a mut Vec<Problem>) -> Self {
        Self { context, problems, lowest_first: Vec::new() }
    }

    /// Adds the settings file.
    pub(super) fn file(&mut self, file: &Arc<Path>, text: &str) {
        match yaml::parse(file, text) {
            Ok(root) => self.add(&root, &Whence::File(file)),
            Err(problem) => self.problems.push(problem),
        }
    }

    /// Adds the environment's variables that are settings, in the order of their names.
    pub(super) fn environment(&mut self) {
        let settings = self.context.environment().iter().filter(|(name, _)| name.starts_with(PREFIX));
        let settings: Vec<_> = settings.map(|(name, text)| (name.clone(), text.clone())).collect();
        for (name, text) in settings {
            let path = name.trim_start_matches(PREFIX).to_lowercase();
            let path = match path.split_once("__") {
                Some((KAFKA, property)) => {
                    vec![KAFKA.to_owned(), property.replace("__", ".").replace('_', ".")]
                }
                _ => path.split("__").map(str::to_owned).collect(),
            };
            self.one(&path, &text, Origin::Environment(name));
        }
    }

    /// Adds a flag `section.key=value`.
    pub(super) fn flag(&mut self, flag: &str) {
        let Some((name, text)) = flag.split_once('=') else {
            let problem = Problem::nowhere(format!("--set: {flag}: there is no ="));
            self.problems.push(problem.hint("such as --set bayeux.timeout=20s"));
            return;
        };
        let path = match name.split_once('.') {
            Some((KAFKA, property)) => vec![KAFKA.to_owned(), property.to_owned()],
            _ => name.split('.').map(str::to_owned).collect(),
        };
        self.one(&path, text, Origin::Flag);
    }

    /// The merge: of each key the value of the highest layer that has one.
    pub(super) fn merge(self) -> Result<Map<String, Value>, ConfigError> {
        let mut merged = Config::builder();
        for layer in self.lowest_first {
            merged = merged.add_source(layer);
        }
        merged.build()?.collect()
    }

    /// Adds one value that came as text. Lists and maps may be given in YAML's flow style.
    fn one(&mut self, path: &[String], text: &str, origin: Origin) {
        let node = if text.is_empty() || text == "null" || text.starts_with(['[', '{']) {
            match yaml::parse(Path::new(""), text) {
                Ok(node) if text.is_empty() || text == "null" => Node { value: yaml::Value::Null, ..node },
                Ok(node) => node,
                Err(problem) => {
                    self.problems.push(origin.problem(&path.join("."), &problem.message));
                    return;
                }
            }
        } else {
            Node { line: 1, column: 1, value: yaml::Value::String(text.to_owned()) }
        };
        let root = path.iter().rev().fold(node, |node, name| {
            let key = yaml::Key { name: name.clone(), line: 1, column: 1 };
            Node { line: 1, column: 1, value: yaml::Value::Map(vec![(key, node)]) }
        });
        self.add(&root, &Whence::One(origin));
    }

    fn add(&mut self, root: &Node, whence: &Whence<'_>) {
        if let Some(values) = self.section("", root, whence) {
            self.lowest_first.push(Layer(values));
        }
    }

    /// The values of a section whose names are known; the others are reported.
    fn section(&mut self, path: &str, node: &Node, whence: &Whence<'_>) -> Option<Map<String, Value>> {
        let yaml::Value::Map(entries) = &node.value else {
            if !node.is_null() {
                let what = format!("expected a map, found {}", node.kind());
                let path = if path.is_empty() { "the file" } else { path };
                self.problems.push(whence.at(node.line, node.column).problem(path, &what));
            }
            return None;
        };
        let mut values = Map::new();
        for (key, node) in entries {
            let name = if path.is_empty() { key.name.clone() } else { format!("{path}.{}", key.name) };
            let value = match named(path, &name) {
                Named::Key if matches!(node.value, yaml::Value::Map(_)) => {
                    self.problems.push(no_map(path, &name, &whence.at(node.line, node.column)));
                    None
                }
                Named::Key => Some(self.value(node, whence)),
                Named::Section => self.section(&name, node, whence).map(|values| {
                    let origin = whence.at(node.line, node.column);
                    self.context.value(origin, ValueKind::Table(values))
                }),
                Named::Unknown => {
                    let problem = whence.at(key.line, key.column).problem(&name, "unknown key");
                    self.problems.push(match meant(path, &key.name) {
                        Some(meant) => problem.hint(format!("did you mean {meant}?")),
                        None => problem,
                    });
                    None
                }
            };
            values.extend(value.map(|value| (key.name.clone(), value)));
        }
        Some(values)
    }

    fn value(&mut self, node: &Node, whence: &Whence<'_>) -> Value {
        let kind = match &node.value {
            yaml::Value::Seq(items) => {
                ValueKind::Array(items.iter().map(|item| self.value(item, whence)).collect())
            }
            _ => node.scalar().map_or(ValueKind::Nil, |text| ValueKind::String(text.to_owned())),
        };
        self.context.value(whence.at(node.line, node.column), kind)
    }
}

// === impl Whence ===

impl Whence<'_> {
    fn at(&self, line: usize, column: usize) -> Origin {
        match self {
            Self::File(file) => Origin::File(Place { file: Arc::clone(file), line, column }),
            Self::One(origin) => origin.clone(),
        }
    }
}

// === impl Layer ===

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

// === names ===

/// No key takes a map; those that will do not work yet.
fn no_map(section: &str, name: &str, origin: &Origin) -> Problem {
    if let Some(key) = KEYS.iter().find(|key| key.name == name && key.set.is_none()) {
        return Wrong::not_yet(key.default).about_key(name, origin);
    }
    let problem = origin.problem(name, "expected a single value, found a map");
    if section == KAFKA { problem.hint("write a property's name in one: bootstrap.servers") } else { problem }
}

fn named(section: &str, name: &str) -> Named {
    let inside = |key: &str| key.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
    if section == KAFKA || KEYS.iter().any(|key| key.name == name) {
        Named::Key
    } else if name == KAFKA || KEYS.iter().any(|key| inside(key.name)) {
        Named::Section
    } else {
        Named::Unknown
    }
}

/// What an unknown key of a section was meant to be: a near name beside it, or the same name in another section.
fn meant(section: &str, name: &str) -> Option<String> {
    let beside = KEYS.iter().filter_map(|key| {
        let rest =
            if section.is_empty() { key.name } else { key.name.strip_prefix(section)?.strip_prefix('.')? };
        rest.split('.').next()
    });
    let beside = beside.chain(section.is_empty().then_some(KAFKA));
    let elsewhere = || {
        let mut same = KEYS.iter().filter(|key| key.name.rsplit('.').next() == Some(name));
        same.next().filter(|_| same.next().is_none()).map(|key| key.name.to_owned())
    };
    suggest(name, beside).map(str::to_owned).or_else(elsewhere)
}
