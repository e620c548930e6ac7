//! YAML with places: every value knows its line and column, so that whoever reads it can say where it is wrong.

use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::NonFiniteFloatPolicy;
use serde_saphyr::{DuplicateKeyPolicy, Location, MergeKeyPolicy, Spanned};

use super::problem::{Place, Problem};
use super::yaml_hint as hint;

/// Deeper than any settings or mapping file has reason to be; the tree is built and walked by recursion.
const MAX_DEPTH: usize = 32;
/// Nodes after aliases are expanded: a bound on memory, far above real files.
const MAX_NODES: usize = 200_000;

/// A value and where it begins. Behind an alias that is where the anchored value stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What stands there.
    pub value: Value,
}

/// What a node can be.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`, `~` or nothing at all.
    Null,
    /// `true` or `false`; `yes` and `on` are strings (YAML 1.2).
    Bool(bool),
    /// A number, as it is written: its digits are not touched.
    Number(String),
    /// Any other scalar, and whatever is quoted.
    String(String),
    /// A sequence.
    Seq(Vec<Node>),
    /// A map in the order of the file; no key occurs twice.
    Map(Vec<(Key, Node)>),
}

/// A key of a map, and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The key; numbers and `null` as they are written.
    pub name: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// Reads one YAML document; a file without one is an empty map.
///
/// # Errors
/// The first thing that is not YAML, or a key that occurs twice, with its place in `file` and, for YAML's own
/// traps, what to quote.
pub fn parse(file: &Path, text: &str) -> Result<Node, Problem> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: 2 * MAX_NODES,
        },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::Merge,
        strict_booleans: true,
        null_as_string: true,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        with_snippet: false,
    };
    let read: Result<Option<Spanned<Shape>>, _> = serde_saphyr::from_str_with_options(text, options);
    match read {
        Ok(None) => Ok(Node { line: 1, column: 1, value: Value::Map(Vec::new()) }),
        Ok(Some(shape)) => node(file, text, shape),
        Err(error) => Err(syntax_problem(file, text, &error)),
    }
}

// === impl Node ===

impl Node {
    /// What the value is, with its article, for "expected a string, found …".
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Seq(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// The text of a scalar: strings as they are, numbers and booleans as they are written.
    pub fn scalar(&self) -> Option<&str> {
        match &self.value {
            Value::Bool(true) => Some("true"),
            Value::Bool(false) => Some("false"),
            Value::Number(text) | Value::String(text) => Some(text),
            Value::Null | Value::Seq(_) | Value::Map(_) => None,
        }
    }

    /// Whether nothing stands there.
    pub fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    /// The string to quote when this is a map or list only because it was not quoted: `{id}` or `[a-z]`.
    pub fn unquoted(&self) -> Option<String> {
        let bare = |items: Vec<Option<&str>>, open: char, close: char| {
            let items = items.into_iter().collect::<Option<Vec<_>>>().filter(|items| !items.is_empty())?;
            Some(format!("{open}{}{close}", items.join(", ")))
        };
        match &self.value {
            Value::Map(entries) => {
                let keys = entries.iter().map(|(key, node)| node.is_null().then_some(key.name.as_str()));
                bare(keys.collect(), '{', '}')
            }
            Value::Seq(items) => bare(items.iter().map(Node::scalar).collect(), '[', ']'),
            _ => None,
        }
    }
}

// === from serde_saphyr ===

/// A value as serde hands it over, before its places and number texts are worked out.
enum Shape {
    Null,
    Bool(bool),
    Number(String),
    String(String),
    Seq(Vec<Spanned<Shape>>),
    Map(Vec<(Spanned<String>, Spanned<Shape>)>),
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ShapeVisitor;

        impl<'de> Visitor<'de> for ShapeVisitor {
            type Value = Shape;

            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a YAML value")
            }

            fn visit_unit<E>(self) -> Result<Shape, E> {
                Ok(Shape::Null)
            }

            fn visit_none<E>(self) -> Result<Shape, E> {
                Ok(Shape::Null)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Shape, E> {
                Ok(Shape::Bool(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Shape, E> {
                Ok(Shape::Number(value.to_string()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Shape, E> {
                Ok(Shape::Number(value.to_string()))
            }

            fn visit_i128<E>(self, value: i128) -> Result<Shape, E> {
                Ok(Shape::Number(value.to_string()))
            }

            fn visit_u128<E>(self, value: u128) -> Result<Shape, E> {
                Ok(Shape::Number(value.to_string()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Shape, E> {
                Ok(Shape::Number(value.to_string()))
            }

            fn visit_str<E>(self, value: &str) -> Result<Shape, E> {
                Ok(Shape::String(value.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Shape::Seq(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                    if entries.len() > MAX_NODES {
                        return Err(A::Error::custom("too many keys"));
                    }
                }
                Ok(Shape::Map(entries))
            }
        }

        deserializer.deserialize_any(ShapeVisitor)
    }
}

fn node(file: &Path, text: &str, shape: Spanned<Shape>) -> Result<Node, Problem> {
    let (line, column) = position(shape.defined);
    let value = match shape.value {
        Shape::Null => Value::Null,
        Shape::Bool(value) => Value::Bool(value),
        Shape::Number(value) => Value::Number(source(text, shape.defined).unwrap_or(value)),
        Shape::String(value) => Value::String(value),
        Shape::Seq(items) => {
            Value::Seq(items.into_iter().map(|item| node(file, text, item)).collect::<Result<_, _>>()?)
        }
        Shape::Map(entries) => Value::Map(map(file, text, entries)?),
    };
    Ok(Node { line, column, value })
}

fn map(
    file: &Path,
    text: &str,
    entries: Vec<(Spanned<String>, Spanned<Shape>)>,
) -> Result<Vec<(Key, Node)>, Problem> {
    let mut seen = std::collections::HashMap::with_capacity(entries.len());
    let mut found = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let (line, column) = position(key.defined);
        if let Some(first) = seen.insert(key.value.clone(), line) {
            let message = format!("{}: the key occurs twice, first in line {first}", key.value);
            return Err(Problem::at(Place::new(file, line, column), message).hint("remove one of the two"));
        }
        found.push((Key { name: key.value, line, column }, node(file, text, value)?));
    }
    Ok(found)
}

fn position(location: Location) -> (usize, usize) {
    let from_one = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).max(1);
    (from_one(location.line()), from_one(location.column()))
}

/// The text of a scalar as it stands in the file.
fn source(text: &str, location: Location) -> Option<String> {
    let span = location.span();
    let from = usize::try_from(span.byte_offset()?).ok()?;
    let to = from.checked_add(usize::try_from(span.byte_len()?).ok()?)?;
    Some(text.get(from..to)?.trim().to_owned()).filter(|source| !source.is_empty())
}

// === syntax errors ===

fn syntax_problem(file: &Path, text: &str, error: &serde_saphyr::Error) -> Problem {
    let (line, column) = error.location().map_or((1, 1), position);
    let said = error.to_string();
    let said = said.rfind(" at line ").and_then(|at| said.get(..at)).unwrap_or(&said);
    let what = match error {
        serde_saphyr::Error::MultipleDocuments { .. } => "a second document begins here",
        _ if said.starts_with("expected string scalar") => "a key must be text",
        _ => said,
    };
    let problem = Problem::at(Place::new(file, line, column), format!("not valid YAML: {what}"));
    match hint::of(text.lines().nth(line - 1).unwrap_or_default(), column, what) {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        parse(Path::new("f.yaml"), text).unwrap_err().to_string()
    }

    fn get<'a>(node: &'a Node, name: &str) -> &'a Node {
        let Value::Map(entries) = &node.value else { panic!("{node:?}") };
        &entries.iter().find(|(key, _)| key.name == name).unwrap().1
    }

    #[test]
    fn values_keep_their_place_and_numbers_their_text() {
        let text = "a: 0x1F\nb: 1_000\nc: 1.50\nd: yes\ne: True\n'f':\n  - \"1\"\n  - ~\nbig: 123456789012345678901234567890123456789012\ninf: 1e999\n1: one\n";
        let root = parse(Path::new("f.yaml"), text).unwrap();
        let value = |name| get(&root, name).value.clone();
        assert_eq!(value("a"), Value::Number("0x1F".to_owned()));
        assert_eq!(value("b"), Value::Number("1_000".to_owned()));
        assert_eq!(value("c"), Value::Number("1.50".to_owned()));
        assert_eq!(value("d"), Value::String("yes".to_owned()));
        assert_eq!(value("e"), Value::Bool(true));
        assert_eq!(value("big"), Value::Number("123456789012345678901234567890123456789012".to_owned()));
        assert_eq!(value("inf"), Value::Number("1e999".to_owned()));
        assert_eq!(value("1"), Value::String("one".to_owned()));
        let list = get(&root, "f");
        assert_eq!((list.line, list.column), (7, 3));
        let Value::Seq(items) = &list.value else { panic!() };
        assert_eq!(items[0], Node { line: 7, column: 5, value: Value::String("1".to_owned()) });
        assert_eq!(items[1], Node { line: 8, column: 5, value: Value::Null });
    }

    #[test]
    fn a_file_without_a_document_is_an_empty_map() {
        for text in ["", "# nothing\n", "\n\n", "---\n", "~\n"] {
            assert_eq!(parse(Path::new("f.yaml"), text).unwrap().value, Value::Map(Vec::new()), "{text:?}");
        }
    }

    #[test]
    fn anchors_and_merges_are_expanded() {
        let root = parse(Path::new("f.yaml"), "x: &a {b: 1, c: 1}\ny:\n  <<: *a\n  c: 2\n").unwrap();
        assert_eq!(get(get(&root, "y"), "b").value, Value::Number("1".to_owned()));
        assert_eq!(get(get(&root, "y"), "c").value, Value::Number("2".to_owned()));
    }

    #[test]
    fn what_was_not_quoted_is_known() {
        let root = parse(Path::new("f.yaml"), "a: {id}\nb: [a-z]\nc: {x: 1}\nd: {}\n").unwrap();
        assert_eq!(get(&root, "a").unquoted().as_deref(), Some("{id}"));
        assert_eq!(get(&root, "b").unquoted().as_deref(), Some("[a-z]"));
        assert_eq!(get(&root, "c").unquoted(), None);
        assert_eq!(get(&root, "d").unquoted(), None);
    }

    #[test]
    fn a_key_that_occurs_twice_is_a_problem() {
        assert_eq!(
            problem("a: 1\nb:\n  c: 1\n  c: 2\n"),
            "f.yaml:4:3: c: the key occurs twice, first in line 3 (remove one of the two)"
        );
    }

    #[test]
    fn depth_and_aliases_are_bounded() {
        let deep = format!("{}{}", "[".repeat(40), "]".repeat(40));
        assert!(problem(&deep).starts_with("f.yaml:1:33: not valid YAML: "));
        let blocks: Vec<_> = (0..40).map(|n| format!("{}a:", " ".repeat(n))).collect();
        assert!(problem(&blocks.join("\n")).contains("not valid YAML: "));
        let aliases = (1..9).map(|n| format!("a{n}: &a{n} [{}]", format!("*a{}, ", n - 1).repeat(10)));
        let bomb: Vec<_> = std::iter::once("a0: &a0 [x, x]".to_owned()).chain(aliases).collect();
        assert!(
            problem(&bomb.join(
                "
"
            ))
            .contains("not valid YAML: ")
        );
        assert!(problem("a: &x [*x]\n").contains("not valid YAML: "));
    }

    #[test]
    fn traps_come_with_a_hint() {
        let quote = |text: &str| format!("(quote it: {text})");
        for (text, place, hint) in [
            ("a: {x}: y\n", "1:7", quote(r#""{x}: y""#)),
            ("{x}: y\n", "1:1", quote(r#""{x}": y"#)),
            ("a:\n  - {x}: y\n", "2:5", quote(r#""{x}": y"#)),
            ("match: { region: [0-9]{2} }\n", "1:23", quote(r#""[0-9]{2}""#)),
            ("region: [0-9]{2}  # two\n", "1:14", quote(r#""[0-9]{2}""#)),
            ("region: '[0-9]' [0-9]\n", "1:17", quote(r#""'[0-9]' [0-9]""#)),
            ("channel: {name}__e\n", "1:16", quote(r#""{name}__e""#)),
            ("key: {id}-{x}\n", "1:10", quote(r#""{id}-{x}""#)),
            ("a: {x: [[a-z]{2}, b]}\n", "1:14", quote(r#""[a-z]{2}""#)),
            ("key: {{a}}\n", "1:7", quote(r#""{{a}}""#)),
            ("allow: 'trader' in claims.roles\n", "1:17", quote(r#""'trader' in claims.roles""#)),
            ("allow: \"a\" in b\n", "1:12", quote(r#"'"a" in b'"#)),
            ("origins: *\n", "1:10", "(a value that begins with * must be quoted)".to_owned()),
            ("origins: [*]\n", "1:11", "(a value that begins with * must be quoted)".to_owned()),
            ("key: @x\n", "1:6", "(a value that begins with @ must be quoted)".to_owned()),
            ("a: b: c\n", "1:5", quote(r#""b: c""#)),
            ("a: 1\n b: 2\n", "2:3", "(check the indentation of this line)".to_owned()),
            ("a:\n  - b\n c\n", "3:2", "(check the indentation of this line)".to_owned()),
            ("- a\nb: c\n", "2:1", "(check the indentation of this line)".to_owned()),
            ("a:\n\tb: 1\n", "2:2", "(indent with spaces)".to_owned()),
            ("a: [1, 2\nb: 3\n", "2:2", "(is a bracket or quote left open above?)".to_owned()),
            ("a: 1\n---\nb: 1\n", "3:1", "(one document a file: remove the line ---)".to_owned()),
        ] {
            let problem = problem(text);
            assert!(problem.starts_with(&format!("f.yaml:{place}: not valid YAML: ")), "{text:?}: {problem}");
            assert!(problem.ends_with(&hint), "{text:?}: {problem}");
        }
    }
}
