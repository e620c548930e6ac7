//! Templates of topics, keys and headers: text with `{variables}`.

use std::borrow::Cow;
use std::fmt;

/// The variables of one route, by number.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(Vec<Name>);

/// One variable's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) name: Box<str>,
    /// `{x**}`: one or more segments.
    pub(super) deep: bool,
}

/// Values of a route's variables, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Values<'a>(Vec<Option<Cow<'a, [u8]>>>);

/// A text with variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    text: Box<str>,
    parts: Vec<Part>,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Text(Box<str>),
    Var(usize),
}

/// Why a text is not a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TemplateError {
    #[error("a brace is left open")]
    Open,
    #[error("there is a '}}' without '{{'")]
    Close,
    #[error("{0:?} is not a name of a variable")]
    Name(String),
    #[error("{{{0}}} occurs twice")]
    Twice(Box<str>),
    #[error("nothing stands between {{{0}}} and {{{1}}}, so they cannot be told apart")]
    Adjacent(Box<str>, Box<str>),
    #[error("{{{0}**}} is here, but {{{0}}} elsewhere in the route")]
    Deep(Box<str>),
    #[error("{{{0}}} is here, but {{{0}**}} elsewhere in the route")]
    NotDeep(Box<str>),
    #[error("it is empty")]
    Empty,
}

// === impl Names ===

impl Names {
    /// The number of a variable, given one if it is new.
    fn add(&mut self, name: &str, deep: bool) -> Result<usize, TemplateError> {
        match self.0.iter().enumerate().find(|(_, known)| *known.name == *name) {
            Some((_, known)) if known.deep && !deep => Err(TemplateError::NotDeep(name.into())),
            Some((_, known)) if !known.deep && deep => Err(TemplateError::Deep(name.into())),
            Some((id, _)) => Ok(id),
            None => {
                self.0.push(Name { name: name.into(), deep });
                Ok(self.0.len() - 1)
            }
        }
    }

    /// The number of a variable that is known.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|known| *known.name == *name)
    }

    /// The name of a variable.
    pub(super) fn get(&self, id: usize) -> &str {
        self.0.get(id).map_or("", |name| &name.name)
    }

    pub(super) fn is_deep(&self, id: usize) -> bool {
        self.0.get(id).is_some_and(|name| name.deep)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|name| &*name.name)
    }
}

// === impl Values ===

impl<'a> Values<'a> {
    /// Room for `len` variables.
    pub(super) fn new(len: usize) -> Self {
        Self(vec![None; len])
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, id: usize) -> Option<&[u8]> {
        self.0.get(id)?.as_deref()
    }

    /// Notes a value; false if the variable has another one already.
    #[must_use]
    pub(super) fn set(&mut self, id: usize, value: Cow<'a, [u8]>) -> bool {
        match self.0.get_mut(id) {
            Some(Some(known)) => *known == value,
            Some(slot) => {
                *slot = Some(value);
                true
            }
            None => false,
        }
    }

    pub(super) fn into_owned(self) -> Values<'static> {
        Values(self.0.into_iter().map(|value| value.map(|value| Cow::Owned(value.into_owned()))).collect())
    }

    /// The known ones, with their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.0.iter().enumerate().filter_map(|(id, value)| Some((id, value.as_deref()?)))
    }
}

// === impl Template ===

impl Template {
    /// Reads a template, `{{` and `}}` being braces.
    pub(super) fn parse(text: &str, names: &mut Names) -> Result<Self, TemplateError> {
        if text.is_empty() {
            return Err(TemplateError::Empty);
        }
        let parts = parse_parts(text, names)?;
        Ok(Self { text: text.into(), parts })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// The numbers of its variables.
    pub(super) fn variables(&self) -> impl Iterator<Item = usize> {
        variables(&self.parts)
    }

    /// The text, if there is no variable in it.
    pub(super) fn literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text before the first variable.
    pub(super) fn leading(&self) -> &str {
        match self.parts.first() {
            Some(Part::Text(text)) => text,
            _ => "",
        }
    }

    /// Puts values in; `None` if one is not known.
    pub(super) fn write(&self, values: &Values<'_>) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(self.text.len());
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Var(id) => out.extend_from_slice(values.get(*id)?),
            }
        }
        Some(out)
    }

    /// Takes values out of `text`: each is as short as the text after it allows, none is empty, and the whole
    /// is used up. Where `stop` is given no value holds it. False if it does not fit.
    pub(super) fn read<'a>(&self, text: &'a [u8], stop: Option<u8>, values: &mut Values<'a>) -> bool {
        let mut rest = text;
        let mut parts = self.parts.as_slice();
        if let [Part::Text(prefix), others @ ..] = parts {
            let Some(stripped) = rest.strip_prefix(prefix.as_bytes()) else { return false };
            (rest, parts) = (stripped, others);
        }
        // The text at the end is anchored there.
        if let [others @ .., Part::Text(suffix)] = parts {
            let Some(stripped) = rest.strip_suffix(suffix.as_bytes()) else { return false };
            (rest, parts) = (stripped, others);
        }
        loop {
            let (id, value) = match parts {
                [] => return rest.is_empty(),
                [Part::Var(id)] => {
                    parts = &[];
                    (*id, std::mem::take(&mut rest))
                }
                [Part::Var(id), Part::Text(next), others @ ..] => {
                    let Some(at) = memchr::memmem::find(rest, next.as_bytes()) else { return false };
                    let value = rest.get(..at).unwrap_or_default();
                    rest = rest.get(at + next.len()..).unwrap_or_default();
                    parts = others;
                    (*id, value)
                }
                // Parsing leaves no two texts or variables side by side.
                _ => return false,
            };
            let stopped = stop.is_some_and(|stop| value.contains(&stop));
            if value.is_empty() || stopped || !values.set(id, Cow::Borrowed(value)) {
                return false;
            }
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

pub(super) fn variables(parts: &[Part]) -> impl Iterator<Item = usize> {
    parts.iter().filter_map(|part| match part {
        Part::Var(id) => Some(*id),
        Part::Text(_) => None,
    })
}

/// The parts of a template: no two texts side by side, no two variables, none twice.
pub(super) fn parse_parts(template: &str, names: &mut Names) -> Result<Vec<Part>, TemplateError> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        text.push_str(rest.get(..at).unwrap_or_default());
        let from = rest.get(at..).unwrap_or_default();
        if let Some(after) = from.strip_prefix("{{") {
            text.push('{');
            rest = after;
        } else if let Some(after) = from.strip_prefix("}}") {
            text.push('}');
            rest = after;
        } else if let Some(after) = from.strip_prefix('{') {
            let (name, after) = after.split_once('}').ok_or(TemplateError::Open)?;
            rest = after;
            let (name, deep) = name.strip_suffix("**").map_or((name, false), |name| (name, true));
            if !is_name(name) {
                return Err(TemplateError::Name(name.to_owned()));
            }
            let id = names.add(name, deep)?;
            if variables(&parts).any(|known| known == id) {
                return Err(TemplateError::Twice(name.into()));
            }
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text).into()));
            } else if let Some(Part::Var(before)) = parts.last() {
                return Err(TemplateError::Adjacent(names.get(*before).into(), name.into()));
            }
            parts.push(Part::Var(id));
        } else {
            return Err(TemplateError::Close);
        }
    }
    text.push_str(rest);
    if !text.is_empty() {
        parts.push(Part::Text(text.into()));
    }
    Ok(parts)
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> (Template, Names) {
        let mut names = Names::default();
        (Template::parse(text, &mut names).unwrap(), names)
    }

    /// What a template takes out of a text, as `a=1 b=2`.
    fn read(template: &str, text: &str, stop: Option<u8>) -> Option<String> {
        let (template, names) = parse(template);
        let mut values = Values::new(names.len());
        template.read(text.as_bytes(), stop, &mut values).then(|| {
            let shown = |(id, value)| format!("{}={}", names.get(id), String::from_utf8_lossy(value));
            values.iter().map(shown).collect::<Vec<_>>().join(" ")
        })
    }

    #[test]
    fn variables_stop_at_the_next_text() {
        for (template, text, expected) in [
            ("{id}", "a:b/c", Some("id=a:b/c")),
            ("{a}:{b}", "1:2:3", Some("a=1 b=2:3")),
            ("order-{id}", "order-7", Some("id=7")),
            ("order-{id}", "user-7", None),
            ("{id}-end", "a-end-end", Some("id=a-end")),
            ("{{{id}}}", "{7}", Some("id=7")),
            ("{a}:{b}", ":2", None),
            ("{a}:{b}", "1:", None),
            ("{a}", "", None),
            ("x{a}x", "x", None),
            ("fixed", "fixed", Some("")),
            ("fixed", "fixed!", None),
        ] {
            assert_eq!(read(template, text, None).as_deref(), expected, "{template} {text}");
        }
        assert_eq!(read("orders.{region}", "orders.eu", Some(b'.')).as_deref(), Some("region=eu"));
        assert_eq!(read("orders.{region}", "orders.eu.dlq", Some(b'.')), None);
    }

    #[test]
    fn what_is_no_template_is_told() {
        let error =
            |text: &str| Template::parse(text, &mut Names::default()).map(|_| ()).unwrap_err().to_string();
        assert_eq!(error("{a"), "a brace is left open");
        assert_eq!(error("a}"), "there is a '}' without '{'");
        assert_eq!(error("{a-b}"), "\"a-b\" is not a name of a variable");
        assert_eq!(error("{}"), "\"\" is not a name of a variable");
        assert_eq!(error("{a}{b}"), "nothing stands between {a} and {b}, so they cannot be told apart");
        assert_eq!(error("{a}:{a}"), "{a} occurs twice");
        assert_eq!(error("{a}:{a**}"), "{a**} is here, but {a} elsewhere in the route");
        assert_eq!(error(""), "it is empty");
    }

    proptest! {
        #[test]
        fn what_is_read_writes_the_same(text in "[ab:.-]{0,12}") {
            for template in ["{a}:{b}", "{a}", "a{x}-{y}b", "{a}.{b}:{c}", "{x}::{y}"] {
                let (template, names) = parse(template);
                let mut values = Values::new(names.len());
                if template.read(text.as_bytes(), None, &mut values) {
                    prop_assert_eq!(template.write(&values).unwrap(), text.as_bytes());
                }
            }
        }
    }
}
