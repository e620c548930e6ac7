//! Taking known keys out of a YAML map, while everything wrong with it is collected.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use super::problem::{Place, Problem};
use super::suggest::suggest;
use super::yaml::{Key, Node, Value};

/// What is wrong with one file so far. Shared by the readers of its parts.
#[derive(Debug)]
pub struct Report {
    file: Arc<Path>,
    problems: RefCell<Vec<Problem>>,
}

/// The keys of one map. Every key is taken by name; what is left when the reader is done is unknown.
///
/// The typed getters return `None` for a key that is absent, null or of the wrong type; the last is reported.
#[derive(Debug)]
pub struct Fields<'a> {
    report: &'a Report,
    path: String,
    line: usize,
    column: usize,
    entries: &'a [(Key, Node)],
    known: Vec<&'static str>,
}

// === impl Report ===

impl Report {
    /// A report about `file`, as the user named it.
    pub fn new(file: &Path) -> Self {
        Self { file: file.into(), problems: RefCell::default() }
    }

    /// A place in the file.
    pub fn place(&self, line: usize, column: usize) -> Place {
        Place { file: Arc::clone(&self.file), line, column }
    }

    /// Adds a problem.
    pub fn add(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// Adds a problem at a value: `path` is the key or route it is about.
    pub fn at(&self, node: &Node, path: &str, what: impl std::fmt::Display) {
        self.add(Problem::at(self.place(node.line, node.column), format!("{path}: {what}")));
    }

    /// The same with a hint.
    pub fn at_with_hint(
        &self,
        node: &Node,
        path: &str,
        what: impl std::fmt::Display,
        hint: impl Into<String>,
    ) {
        self.add(Problem::at(self.place(node.line, node.column), format!("{path}: {what}")).hint(hint));
    }

    /// Whether nothing is wrong so far.
    pub fn is_empty(&self) -> bool {
        self.problems.borrow().is_empty()
    }

    /// How much is wrong so far.
    pub fn len(&self) -> usize {
        self.problems.borrow().len()
    }

    /// Everything wrong, in the order of the file.
    pub fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by(|a, b| a.place.cmp(&b.place));
        problems
    }

    /// The keys of a map; `path` names it in messages and is empty for the whole file.
    pub fn fields<'a>(&'a self, path: &str, node: &'a Node) -> Option<Fields<'a>> {
        let Value::Map(entries) = &node.value else {
            self.unexpected("a map", if path.is_empty() { "the file" } else { path }, node);
            return None;
        };
        let (line, column) = (node.line, node.column);
        Some(Fields { report: self, path: path.to_owned(), line, column, entries, known: Vec::new() })
    }

    /// A string, quoted or plain.
    pub fn string<'a>(&self, path: &str, node: &'a Node) -> Option<&'a str> {
        if let Value::String(text) = &node.value {
            return Some(text);
        }
        self.unexpected("a string", path, node);
        None
    }

    /// The text of any scalar: a string as it is, a number or boolean as it is written.
    pub fn scalar<'a>(&self, path: &str, node: &'a Node) -> Option<&'a str> {
        let text = node.scalar();
        if text.is_none() {
            self.unexpected("a string or number", path, node);
        }
        text
    }

    /// `true` or `false`.
    pub fn boolean(&self, path: &str, node: &Node) -> Option<bool> {
        if let Value::Bool(value) = node.value {
            return Some(value);
        }
        self.unexpected("true or false", path, node);
        None
    }

    /// A list.
    pub fn list<'a>(&self, path: &str, node: &'a Node) -> Option<&'a [Node]> {
        if let Value::Seq(items) = &node.value {
            return Some(items);
        }
        self.unexpected("a list", path, node);
        None
    }

    /// One string, or a list of them.
    pub fn strings<'a>(&self, path: &str, node: &'a Node) -> Option<Vec<&'a str>> {
        match &node.value {
            Value::Seq(items) => {
                let texts: Vec<_> = items.iter().map(|item| self.string(path, item)).collect();
                texts.into_iter().collect()
            }
            Value::String(text) => Some(vec![text]),
            _ => {
                self.unexpected("a string or a list of strings", path, node);
                None
            }
        }
    }

    /// Adds "expected X, found Y", with what to quote where quotes are missing.
    pub fn unexpected(&self, expected: &str, path: &str, node: &Node) {
        let what = format!("expected {expected}, found {}", node.kind());
        let wants_string = expected.contains("string");
        let text =
            if wants_string { node.unquoted().or_else(|| node.scalar().map(str::to_owned)) } else { None };
        match text {
            Some(text) => self.at_with_hint(node, path, what, format!("quote it: {text:?}")),
            None => self.at(node, path, what),
        }
    }
}

// === impl Fields ===

impl<'a> Fields<'a> {
    /// The key with the path before it, as messages name it.
    pub fn path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Names what follows differently: a route by its `name`, once that is read.
    pub fn rename(&mut self, path: impl Into<String>) {
        self.path = path.into();
    }

    /// The report that this one adds to.
    pub fn report(&self) -> &'a Report {
        self.report
    }

    /// The value of a key, null included.
    pub fn take(&mut self, name: &'static str) -> Option<&'a Node> {
        self.known.push(name);
        self.entries.iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
    }

    /// The value of a key that has one: null counts as absent.
    pub fn value(&mut self, name: &'static str) -> Option<&'a Node> {
        self.take(name).filter(|node| !node.is_null())
    }

    /// The value of a key that must be there: its absence is a problem.
    pub fn required(&mut self, name: &'static str) -> Option<&'a Node> {
        let found = self.value(name);
        if found.is_none() {
            let place = self.report.place(self.line, self.column);
            self.report.add(Problem::at(place, format!("{}: missing", self.path(name))));
        }
        found
    }

    /// [`Report::string`] of a key.
    pub fn string(&mut self, name: &'static str) -> Option<&'a str> {
        self.value(name).and_then(|node| self.report.string(&self.path(name), node))
    }

    /// [`Report::scalar`] of a key.
    pub fn scalar(&mut self, name: &'static str) -> Option<&'a str> {
        self.value(name).and_then(|node| self.report.scalar(&self.path(name), node))
    }

    /// [`Report::boolean`] of a key.
    pub fn boolean(&mut self, name: &'static str) -> Option<bool> {
        self.value(name).and_then(|node| self.report.boolean(&self.path(name), node))
    }

    /// [`Report::list`] of a key.
    pub fn list(&mut self, name: &'static str) -> Option<&'a [Node]> {
        self.value(name).and_then(|node| self.report.list(&self.path(name), node))
    }

    /// [`Report::strings`] of a key.
    pub fn strings(&mut self, name: &'static str) -> Option<Vec<&'a str>> {
        self.value(name).and_then(|node| self.report.strings(&self.path(name), node))
    }

    /// [`Report::fields`] of a key.
    pub fn fields(&mut self, name: &'static str) -> Option<Fields<'a>> {
        self.value(name).and_then(|node| self.report.fields(&self.path(name), node))
    }

    /// Every key with its value, for maps whose keys are the user's own (`match`, `headers`).
    pub fn entries(&self) -> &'a [(Key, Node)] {
        self.entries
    }

    /// Reports the keys that nobody took.
    pub fn finish(self) {
        for (key, _) in self.entries.iter().filter(|(key, _)| !self.known.contains(&key.name.as_str())) {
            let place = self.report.place(key.line, key.column);
            let problem = Problem::at(place, format!("{}: unknown key", self.path(&key.name)));
            self.report.add(match suggest(&key.name, self.known.iter().copied()) {
                Some(name) => problem.hint(format!("did you mean {name}?")),
                None => problem.hint(format!("known are {}", self.known.join(", "))),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml;

    fn lines(report: Report) -> Vec<String> {
        report.into_problems().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_problem_is_collected_in_the_order_of_the_file() {
        let file = Path::new("r.yaml");
        let text = "name: 42\nkey: {id}\ntpic: x\nmatch: { id: [a-z] }\nheaders: []\nlocal: yes\n\
                    topics: [a, {b}]\nzzz: 1\n";
        let root = yaml::parse(file, text).unwrap();
        let report = Report::new(file);
        let mut fields = report.fields("", &root).unwrap();
        assert_eq!(fields.string("name"), None);
        fields.rename("route orders");
        assert_eq!(fields.string("key"), None);
        assert_eq!(fields.required("topic"), None);
        assert_eq!(fields.boolean("local"), None);
        assert_eq!(fields.strings("topics"), None);
        assert!(fields.fields("headers").is_none());
        let mut matches = fields.fields("match").unwrap();
        assert_eq!(matches.string("id"), None);
        matches.finish();
        fields.finish();
        assert_eq!(
            lines(report),
            [
                "r.yaml:1:1: route orders.topic: missing",
                "r.yaml:1:7: name: expected a string, found a number (quote it: \"42\")",
                "r.yaml:2:6: route orders.key: expected a string, found a map (quote it: \"{id}\")",
                "r.yaml:3:1: route orders.tpic: unknown key (did you mean topic?)",
                "r.yaml:4:14: route orders.match.id: expected a string, found a list (quote it: \"[a-z]\")",
                "r.yaml:5:10: route orders.headers: expected a map, found a list",
                "r.yaml:6:8: route orders.local: expected true or false, found a string",
                "r.yaml:7:13: route orders.topics: expected a string, found a map (quote it: \"{b}\")",
                "r.yaml:8:1: route orders.zzz: unknown key (known are name, key, topic, local, topics, \
                 headers, match)",
            ]
        );
    }

    #[test]
    fn null_is_absent_except_to_take() {
        let file = Path::new("r.yaml");
        let root = yaml::parse(file, "publish:\nname: ~\n").unwrap();
        let report = Report::new(file);
        let mut fields = report.fields("", &root).unwrap();
        assert!(fields.take("publish").unwrap().is_null());
        assert!(fields.take("subscribe").is_none());
        assert_eq!(fields.string("name"), None);
        fields.finish();
        assert!(report.is_empty());
    }

    #[test]
    fn a_file_that_is_not_a_map() {
        let file = Path::new("r.yaml");
        let root = yaml::parse(file, "- a\n").unwrap();
        let report = Report::new(file);
        assert!(report.fields("", &root).is_none());
        assert_eq!(lines(report), ["r.yaml:1:1: the file: expected a map, found a list"]);
    }
}
