//! Channel templates: which channels a route has, and what their variables are.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::fmt;

use super::escape;
use super::template::{Names, Part, TemplateError, Values, parse_parts, variables};
use crate::bayeux::{Pattern, Wild, legal};

/// A template of channels, `/orders/{region}/{id}`.
#[derive(Clone, Debug)]
pub(super) struct ChannelTemplate {
    text: Box<str>,
    segments: Vec<Segment>,
    steps: Vec<Step>,
}

/// One segment of a channel template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// A text alone.
    Text(Box<str>),
    /// Variables, or variables and texts.
    Parts(Parts),
    /// `{x**}`, in the last place.
    Deep(usize),
}

/// A segment with variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    parts: Vec<Part>,
    /// The texts between two variables, which are escaped within all of them.
    separators: Box<[Box<str>]>,
}

/// How a channel is put together, texts merged.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Text(String),
    Var { id: usize, separators: Box<[Box<str>]>, next: Option<Box<str>> },
    Deep { id: usize },
}

/// How specific a segment is; less goes first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    class: Class,
    /// More text goes first.
    text: Reverse<usize>,
    /// `match` goes first.
    free: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Text,
    Mixed,
    One,
    Deep,
}

/// Why a text is not a channel template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ChannelTemplateError {
    #[error("a channel begins with '/'")]
    NoSlash,
    #[error("a channel has no empty segment")]
    EmptySegment,
    #[error("{0:?} is not allowed in a channel")]
    Character(char),
    #[error("'~' begins an escape, it cannot stand beside a variable")]
    Tilde,
    #[error("{{{0}**}} is for the last segment, alone")]
    DeepInside(String),
    #[error("{{{0}}} occurs twice")]
    Twice(String),
    #[error(transparent)]
    Template(#[from] TemplateError),
}

/// A value that no segment can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoSegment {
    /// The variable.
    pub(super) id: usize,
    /// Whether it is a part between two slashes that is empty, not the value.
    pub(super) part: bool,
}

// === impl ChannelTemplate ===

impl ChannelTemplate {
    pub(super) fn parse(text: &str, names: &mut Names) -> Result<Self, ChannelTemplateError> {
        let rest = text.strip_prefix('/').ok_or(ChannelTemplateError::NoSlash)?;
        let mut segments: Vec<Segment> = Vec::new();
        for segment in rest.split('/') {
            if let Some(Segment::Deep(id)) = segments.last() {
                return Err(ChannelTemplateError::DeepInside(names.get(*id).to_owned()));
            }
            let segment = Segment::parse(segment, names)?;
            for id in segment.variables() {
                if segments.iter().flat_map(Segment::variables).any(|known| known == id) {
                    return Err(ChannelTemplateError::Twice(names.get(id).to_owned()));
                }
            }
            segments.push(segment);
        }
        let steps = steps(&segments);
        Ok(Self { text: text.into(), segments, steps })
    }

    /// Whether its channels are `/service` ones.
    pub(super) fn is_service(&self) -> bool {
        self.text.split('/').nth(1) == Some("service")
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn variables(&self) -> impl Iterator<Item = usize> {
        self.segments.iter().flat_map(Segment::variables)
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Its precedence; `matched` tells which variables have a `match`.
    pub(super) fn rank(&self, matched: &dyn Fn(usize) -> bool) -> Vec<Rank> {
        self.segments.iter().map(|segment| segment.rank(matched)).collect()
    }

    /// Takes the variables out of a channel; false if it is not one of the template's.
    pub(super) fn read<'a>(&self, channel: &'a str, values: &mut Values<'a>) -> bool {
        let mut rest = channel.strip_prefix('/');
        for segment in &self.segments {
            let Some(text) = rest else { return false };
            if let Segment::Deep(id) = segment {
                return read_deep(text, *id, values);
            }
            let (first, after) =
                text.split_once('/').map_or((text, None), |(first, rest)| (first, Some(rest)));
            if !segment.read(first, values) {
                return false;
            }
            rest = after;
        }
        rest.is_none()
    }

    /// Whether the pattern and the template have a channel in common, and the variables that the pattern fixes.
    pub(super) fn meet<'a>(&self, pattern: &'a Pattern, values: &mut Values<'a>) -> bool {
        if pattern.wild() == Wild::None {
            return self.read(pattern.as_str(), values);
        }
        let mut segments = self.segments.iter();
        let mut deep = false;
        for text in pattern.prefix() {
            if deep {
                if read_part(text).is_none() {
                    return false;
                }
                continue;
            }
            match segments.next() {
                // Its first parts are fixed, the variable is not.
                Some(Segment::Deep(_)) => {
                    deep = true;
                    if read_part(text).is_none() {
                        return false;
                    }
                }
                Some(segment) if segment.read(text, values) => {}
                _ => return false,
            }
        }
        let left = segments.len();
        deep || match pattern.wild() {
            Wild::One => left == 1,
            _ => left >= 1,
        }
    }

    /// Whether the two templates can have a channel in common.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let (mut a, mut b) = (self.segments.iter(), other.segments.iter());
        loop {
            match (a.next(), b.next()) {
                (None, None) | (Some(Segment::Deep(_)), Some(_)) | (Some(_), Some(Segment::Deep(_))) => {
                    return true;
                }
                (Some(x), Some(y)) if x.overlaps(y) => {}
                _ => return false,
            }
        }
    }
}

impl fmt::Display for ChannelTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// Reads one part of `{x**}`; `None` if it is not canonical.
fn read_part(text: &str) -> Option<Cow<'_, [u8]>> {
    // A slash within a part would be two parts.
    decode_canonical(text, &[], None).filter(|part| !part.contains(&b'/'))
}

fn read_deep<'a>(text: &'a str, id: usize, values: &mut Values<'a>) -> bool {
    if !text.contains('~') {
        return !text.is_empty() && values.set(id, Cow::Borrowed(text.as_bytes()));
    }
    let parts: Option<Vec<_>> = text.split('/').map(read_part).collect();
    parts.is_some_and(|parts| values.set(id, Cow::Owned(parts.join(&b'/'))))
}

/// Decodes what [`escape::encode`] gives, and nothing else.
fn decode_canonical<'a>(text: &'a str, separators: &[Box<str>], next: Option<&str>) -> Option<Cow<'a, [u8]>> {
    let value = escape::decode(text).filter(|value| !value.is_empty())?;
    if separators.is_empty() && matches!(value, Cow::Borrowed(_)) {
        return Some(value);
    }
    let mut again = String::with_capacity(text.len());
    escape::encode(&value, separators, next, &mut again);
    (again == text).then_some(value)
}

// === impl Segment ===

impl Segment {
    fn parse(text: &str, names: &mut Names) -> Result<Self, ChannelTemplateError> {
        let parts = parse_parts(text, names)?;
        for part in &parts {
            if let Part::Text(text) = part
                && let Some(c) = text.chars().find(|&c| !legal(c))
            {
                return Err(ChannelTemplateError::Character(c));
            }
        }
        if let Some(id) = variables(&parts).find(|id| names.is_deep(*id)) {
            return match parts.as_slice() {
                [Part::Var(id)] => Ok(Self::Deep(*id)),
                _ => Err(ChannelTemplateError::DeepInside(names.get(id).to_owned())),
            };
        }
        match parts.as_slice() {
            [] => Err(ChannelTemplateError::EmptySegment),
            [Part::Text(text)] => Ok(Self::Text(text.clone())),
            _ if text.contains('~') => Err(ChannelTemplateError::Tilde),
            _ => {
                let separator = |(n, part): (usize, &Part)| match part {
                    Part::Text(text) if n > 0 && n + 1 < parts.len() => Some(text.clone()),
                    _ => None,
                };
                let separators = parts.iter().enumerate().filter_map(separator).collect();
                Ok(Self::Parts(Parts { parts, separators }))
            }
        }
    }

    pub(super) fn variables(&self) -> impl Iterator<Item = usize> {
        let (parts, deep) = match self {
            Self::Text(_) => (&[][..], None),
            Self::Parts(parts) => (parts.parts.as_slice(), None),
            Self::Deep(id) => (&[][..], Some(*id)),
        };
        variables(parts).chain(deep)
    }

    fn rank(&self, matched: &dyn Fn(usize) -> bool) -> Rank {
        let free = !self.variables().any(matched);
        let (class, text) = match self {
            Self::Text(_) => (Class::Text, 0),
            Self::Parts(parts) => match parts.text_len() {
                0 => (Class::One, 0),
                text => (Class::Mixed, text),
            },
            Self::Deep(_) => (Class::Deep, 0),
        };
        Rank { class, text: Reverse(text), free: free && class != Class::Text }
    }

    /// Whether it is one variable and nothing else.
    pub(super) fn is_one(&self) -> bool {
        matches!(self, Self::Parts(parts) if parts.text_len() == 0)
    }

    /// Takes the variables out of one segment of a channel.
    pub(super) fn read<'a>(&self, segment: &'a str, values: &mut Values<'a>) -> bool {
        match self {
            Self::Text(text) => **text == *segment,
            Self::Parts(parts) => parts.read(segment, values),
            Self::Deep(id) => read_deep(segment, *id, values),
        }
    }

    /// Whether some text is a segment of both; a pair of [`Parts`] counts if their ends can agree.
    fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Text(text), Self::Parts(parts)) | (Self::Parts(parts), Self::Text(text)) => {
                parts.read(text, &mut Values::new(parts.max_id() + 1))
            }
            (Self::Parts(a), Self::Parts(b)) => {
                let (start_a, end_a) = a.ends();
                let (start_b, end_b) = b.ends();
                (start_a.starts_with(start_b) || start_b.starts_with(start_a))
                    && (end_a.ends_with(end_b) || end_b.ends_with(end_a))
            }
            (Self::Deep(_), _) | (_, Self::Deep(_)) => true,
        }
    }
}

// === impl Parts ===

impl Parts {
    fn text_len(&self) -> usize {
        let len = |part: &Part| if let Part::Text(text) = part { text.len() } else { 0 };
        self.parts.iter().map(len).sum()
    }

    fn max_id(&self) -> usize {
        variables(&self.parts).max().unwrap_or(0)
    }

    /// The text at the start and at the end.
    fn ends(&self) -> (&str, &str) {
        fn text(part: Option<&Part>) -> &str {
            match part {
                Some(Part::Text(text)) => text,
                _ => "",
            }
        }
        (text(self.parts.first()), text(self.parts.last()))
    }

    fn read<'a>(&self, segment: &'a str, values: &mut Values<'a>) -> bool {
        let (prefix, suffix) = self.ends();
        let Some(mut rest) = segment.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(suffix)) else {
            return false;
        };
        let mut parts = self.parts.iter().peekable();
        while let Some(part) = parts.next() {
            let Part::Var(id) = part else { continue };
            let next = match parts.peek() {
                Some(Part::Text(next)) if variables(&self.parts).last() != Some(*id) => Some(&**next),
                _ => None,
            };
            let value = match next {
                None => std::mem::take(&mut rest),
                Some(next) => {
                    let Some(at) = escape::find(rest, next) else { return false };
                    let value = rest.get(..at).unwrap_or_default();
                    rest = rest.get(at + next.len()..).unwrap_or_default();
                    value
                }
            };
            let Some(value) = decode_canonical(value, &self.separators, next) else { return false };
            if !values.set(*id, value) {
                return false;
            }
        }
        true
    }
}

// === writing ===

fn steps(segments: &[Segment]) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut text = String::new();
    for segment in segments {
        text.push('/');
        match segment {
            Segment::Text(segment) => text.push_str(segment),
            Segment::Deep(id) => push_var(&mut steps, &mut text, Step::Deep { id: *id }),
            Segment::Parts(Parts { parts, separators }) => {
                let last = variables(parts).last();
                for (n, part) in parts.iter().enumerate() {
                    match part {
                        Part::Text(part) => text.push_str(part),
                        Part::Var(id) => {
                            let next = match parts.get(n + 1) {
                                Some(Part::Text(next)) if last != Some(*id) => Some(next.clone()),
                                _ => None,
                            };
                            let step = Step::Var { id: *id, separators: separators.clone(), next };
                            push_var(&mut steps, &mut text, step);
                        }
                    }
                }
            }
        }
    }
    if !text.is_empty() {
        steps.push(Step::Text(text));
    }
    steps
}

fn push_var(steps: &mut Vec<Step>, text: &mut String, step: Step) {
    if !text.is_empty() {
        steps.push(Step::Text(std::mem::take(text)));
    }
    steps.push(step);
}

/// Puts a channel together. Every variable of the steps must have a value; one without counts as empty.
pub(super) fn write(steps: &[Step], values: &Values<'_>, out: &mut String) -> Result<(), NoSegment> {
    for step in steps {
        match step {
            Step::Text(text) => out.push_str(text),
            Step::Var { id, separators, next } => {
                let value = values.get(*id).unwrap_or_default();
                if value.is_empty() {
                    return Err(NoSegment { id: *id, part: false });
                }
                escape::encode(value, separators, next.as_deref(), out);
            }
            Step::Deep { id } => {
                let value = values.get(*id).unwrap_or_default();
                for (n, part) in value.split(|byte| *byte == b'/').enumerate() {
                    if part.is_empty() {
                        return Err(NoSegment { id: *id, part: !value.is_empty() });
                    }
                    if n > 0 {
                        out.push('/');
                    }
                    escape::encode(part, &[], None, out);
                }
            }
        }
    }
    Ok(())
}

/// The steps with the known values put in already.
pub(super) fn prepare(steps: &[Step], values: &Values<'_>) -> Result<Vec<Step>, NoSegment> {
    let mut out = Vec::new();
    let mut text = String::new();
    for step in steps {
        match step {
            Step::Var { id, .. } | Step::Deep { id } if values.get(*id).is_none() => {
                push_var(&mut out, &mut text, step.clone());
            }
            known => write(std::slice::from_ref(known), values, &mut text)?,
        }
    }
    if !text.is_empty() {
        out.push(Step::Text(text));
    }
    Ok(out)
}
