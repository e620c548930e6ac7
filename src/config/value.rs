//! A value as it was given, and how it becomes a typed one.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::{Value, ValueKind};
use tracing_subscriber::filter::{LevelFilter, Targets};

use super::origin::{Context, Origin};
use super::problem::Problem;
use super::suggest::suggest;
use super::yaml::{self, Node};

/// A value of one setting, references (`${env:…}`) not yet resolved.
pub(super) struct Given<'a> {
    value: Value,
    context: &'a Context,
}

/// What is wrong with a value: one line without the key, and what to do about it.
#[derive(Debug)]
pub(super) struct Wrong {
    what: String,
    hint: Option<String>,
    /// The item of a list that it is about.
    origin: Option<Origin>,
}

/// The longest duration that can be set: timers count from now on and must not overflow.
const LONGEST: Duration = Duration::from_hours(366 * 24);

// === impl Given ===

impl<'a> Given<'a> {
    pub(super) fn new(value: Value, context: &'a Context) -> Self {
        Self { value, context }
    }

    /// Where it was given.
    pub(super) fn origin(&self) -> &'a Origin {
        self.context.origin(&self.value)
    }

    /// The text of a scalar, references resolved; `expected` says what it should have been.
    pub(super) fn text(&self, expected: &str) -> Result<String, Wrong> {
        match &self.value.kind {
            ValueKind::String(text) => self.context.resolve(text, self.origin()),
            other => Err(Wrong::new(format!("expected {expected}, found {}", kind(other)))),
        }
    }

    /// Text that `parse` understands.
    fn parsed<T>(&self, expected: &str, hint: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, Wrong> {
        let text = self.text(expected)?;
        parse(text.trim())
            .ok_or_else(|| Wrong::new(format!("{} is not {expected}", self.written())).hint(hint))
    }

    /// What was written, quoted: never what a reference stands for, which may be secret.
    fn written(&self) -> String {
        match &self.value.kind {
            ValueKind::String(text) => format!("{text:?}"),
            other => kind(other).to_owned(),
        }
    }

    /// Whether it is written as this is.
    pub(super) fn is(&self, node: &Node) -> bool {
        match (&self.value.kind, &node.value) {
            (ValueKind::Nil, yaml::Value::Null) => true,
            (ValueKind::Array(items), yaml::Value::Seq(nodes)) => items.is_empty() && nodes.is_empty(),
            (ValueKind::String(text), _) => node.scalar() == Some(text),
            _ => false,
        }
    }

    /// `None` for null.
    pub(super) fn optional<T>(&self, read: impl Fn(&Self) -> Result<T, Wrong>) -> Result<Option<T>, Wrong> {
        if self.value.kind == ValueKind::Nil { Ok(None) } else { read(self).map(Some) }
    }

    pub(super) fn boolean(&self) -> Result<bool, Wrong> {
        self.choice(&[("true", true), ("false", false)])
    }

    /// One of several words.
    pub(super) fn choice<T: Copy>(&self, words: &[(&str, T)]) -> Result<T, Wrong> {
        let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
        let text = self.text(&one_of(&names))?;
        let found = words.iter().find(|(name, _)| *name == text.trim()).map(|(_, value)| *value);
        found.ok_or_else(|| {
            let wrong = Wrong::new(format!("{} is not {}", self.written(), one_of(&names)));
            match suggest(&text, names) {
                Some(name) => wrong.hint(format!("did you mean {name}?")),
                None => wrong,
            }
        })
    }

    /// A whole number in a range.
    pub(super) fn number(&self, range: RangeInclusive<usize>) -> Result<usize, Wrong> {
        let number = self.parsed("a whole number", "such as 100", |text| text.parse().ok())?;
        within(number, range, |number: usize| number.to_string())
    }

    /// A number of things; `None` for any number, said by a negative one.
    pub(super) fn count(&self) -> Result<Option<usize>, Wrong> {
        let number: i64 = self.parsed("a whole number", "such as 1, or -1", |text| text.parse().ok())?;
        Ok(usize::try_from(number).ok())
    }

    /// A size in bytes in a range.
    pub(super) fn size(&self, range: RangeInclusive<usize>) -> Result<usize, Wrong> {
        let bytes = self.parsed("a size", "such as 256KiB, 1MiB or 1000", size)?;
        within(bytes, range, size_text)
    }

    /// A duration in a range.
    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Result<Duration, Wrong> {
        let duration = self.parsed("a duration", "such as 30s, 250ms, 2m or 1h", duration)?;
        within(duration, range, duration_text)
    }

    /// Any duration from `least` on.
    pub(super) fn duration_from(&self, least: Duration) -> Result<Duration, Wrong> {
        self.duration(least..=LONGEST)
    }

    /// So many in a second.
    pub(super) fn rate(&self) -> Result<NonZeroU32, Wrong> {
        self.parsed("a rate", "such as 100/s, from 1/s to 1000000/s", rate)
    }

    /// An address to listen on.
    pub(super) fn address(&self) -> Result<SocketAddr, Wrong> {
        self.parsed("an address with a port", "such as 0.0.0.0:8080 or [::]:8080", |text| text.parse().ok())
    }

    /// Each item of a list, or of text with commas. A single value is a list of one.
    pub(super) fn list<T>(&self, read: impl Fn(&Self) -> Result<T, Wrong>) -> Result<Vec<T>, Wrong> {
        match &self.value.kind {
            ValueKind::Array(items) => items
                .iter()
                .map(|item| {
                    let item = Given::new(item.clone(), self.context);
                    read(&item).map_err(|wrong| wrong.about(item.origin()))
                })
                .collect(),
            ValueKind::String(_) => {
                let text = self.text("a list")?;
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                parts.map(|part| read(&self.part(part))).collect()
            }
            other => Err(Wrong::new(format!("expected a list, found {}", kind(other)))),
        }
    }

    /// A part of its text; references are resolved already.
    fn part(&self, text: &str) -> Self {
        let origin = self.value.origin().map(str::to_owned);
        Self::new(Value::new(origin.as_ref(), text.replace("${", "$${")), self.context)
    }

    /// A list that has to have an item.
    pub(super) fn list_of_one_at_least<T>(
        &self,
        read: impl Fn(&Self) -> Result<T, Wrong>,
    ) -> Result<Vec<T>, Wrong> {
        let items = self.list(read)?;
        if items.is_empty() { Err(Wrong::new("the list is empty")) } else { Ok(items) }
    }

    /// A file or folder; a relative one starts from the folder of the settings file it was named in.
    pub(super) fn path(&self) -> Result<PathBuf, Wrong> {
        let text = self.text("a file or folder")?;
        if text.is_empty() {
            return Err(Wrong::new("expected a file or folder, found an empty string"));
        }
        Ok(self.origin().base().unwrap_or(Path::new("")).join(text))
    }

    /// The path of a URL that something is mounted on.
    pub(super) fn mount(&self) -> Result<String, Wrong> {
        self.parsed("a path", "such as /cometd", |text| {
            let proper = text.starts_with('/')
                && !text.contains("//")
                && text
                    .bytes()
                    .all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'%' | b'*' | b'"' | b'\\'));
            let path = if text.len() > 1 { text.strip_suffix('/').unwrap_or(text) } else { text };
            proper.then(|| path.to_owned())
        })
    }

    /// The origin of a page, with `*` for the first part of its host, or `*`.
    pub(super) fn origin_pattern(&self) -> Result<String, Wrong> {
        self.parsed("an origin", "such as https://app.example.com, https://*.example.com or *", |text| {
            let is_origin = || {
                let (scheme, host) = text.split_once("://")?;
                let host = host.strip_suffix('/').unwrap_or(host);
                let rest = host.strip_prefix("*.").unwrap_or(host);
                let proper = matches!(scheme, "http" | "https")
                    && !rest.is_empty()
                    && rest
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']'));
                proper.then_some(())
            };
            (text == "*" || is_origin().is_some()).then(|| text.to_owned())
        })
    }

    /// The host of a cookie's `Domain`.
    pub(super) fn domain(&self) -> Result<String, Wrong> {
        self.parsed("a domain", "such as example.com", |text| {
            let proper = !text.is_empty()
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'));
            proper.then(|| text.to_owned())
        })
    }

    /// A level, or levels for parts of the program: `info`, `info,halley::kafka=debug`.
    pub(super) fn log_level(&self) -> Result<Targets, Wrong> {
        let hint = "one of error, warn, info, debug, trace, off; for parts: info,halley::kafka=debug";
        self.parsed("a log level", hint, |text| {
            let mut targets = Targets::new();
            for part in text.split(',') {
                targets = match part.trim().split_once('=') {
                    Some((target, level)) => targets.with_target(target.trim(), log_level(level.trim())?),
                    None => targets.with_default(log_level(part.trim())?),
                };
            }
            Some(targets)
        })
    }
}

// === impl Wrong ===

impl Wrong {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None, origin: None }
    }

    /// A setting that has only its default for now.
    pub(super) fn not_yet(default: &str) -> Self {
        Self::new("not yet: this version has only the default").hint(format!("remove it, or {default}"))
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The problem that this is with the value of a key.
    pub(super) fn about_key(self, key: &str, origin: &Origin) -> Problem {
        let problem = self.origin.as_ref().unwrap_or(origin).problem(key, &self.what);
        match self.hint {
            Some(hint) => problem.hint(hint),
            None => problem,
        }
    }

    fn about(self, origin: &Origin) -> Self {
        Self { origin: Some(origin.clone()), ..self }
    }
}

// === texts ===

fn kind(kind: &ValueKind) -> &'static str {
    match kind {
        ValueKind::Nil => "nothing",
        ValueKind::Table(_) => "a map",
        ValueKind::Array(_) => "a list",
        _ => "a string",
    }
}

fn one_of(names: &[&str]) -> String {
    match names {
        [first, second] => format!("{first} or {second}"),
        _ => format!("one of {}", names.join(", ")),
    }
}

fn within<T: PartialOrd + Copy>(
    value: T,
    range: RangeInclusive<T>,
    text: impl Fn(T) -> String,
) -> Result<T, Wrong> {
    if range.contains(&value) {
        return Ok(value);
    }
    let (least, most) = (text(*range.start()), text(*range.end()));
    let end = if value < *range.start() { format!("at least {least}") } else { format!("at most {most}") };
    Err(Wrong::new(format!("{} is out of range", text(value))).hint(end))
}

fn log_level(text: &str) -> Option<LevelFilter> {
    ["error", "warn", "info", "debug", "trace", "off"].contains(&text).then(|| text.parse().ok())?
}

/// A number and what follows it.
fn split_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    Some((number.parse().ok()?, unit.trim_start()))
}

/// A duration such as `250ms`, `30s`, `2m`, `1h` or `1d`.
pub fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "" if number == 0 => 0,
        _ => return None,
    };
    number.checked_mul(milliseconds).map(Duration::from_millis)
}

fn rate(text: &str) -> Option<NonZeroU32> {
    const MOST: u64 = 1_000_000;
    let (number, unit) = split_unit(text)?;
    let per_second = unit.strip_prefix('/')?.trim_start() == "s" && number <= MOST;
    NonZeroU32::new(u32::try_from(number).ok().filter(|_| per_second)?)
}

fn size(text: &str) -> Option<usize> {
    let (number, unit) = split_unit(text)?;
    let bytes = match unit {
        "" | "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    usize::try_from(number.checked_mul(bytes)?).ok()
}

/// A duration in the largest unit that tells it in whole numbers, to the millisecond.
pub fn duration_text(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
    match units.iter().find(|(unit, _)| milliseconds >= *unit && milliseconds.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", milliseconds / unit),
        None => format!("{milliseconds}ms"),
    }
}

fn size_text(bytes: usize) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_a_second() {
        for (text, number) in [("1/s", 1), ("100/s", 100), ("5 / s", 5), ("1000000/s", 1_000_000)] {
            assert_eq!(rate(text), NonZeroU32::new(number), "{text}");
        }
        for text in ["", "100", "0/s", "/s", "1.5/s", "-1/s", "10/m", "100s", "1000001/s"] {
            assert_eq!(rate(text), None, "{text}");
        }
    }

    #[test]
    fn durations_and_sizes_have_units() {
        for (text, ms) in
            [("250ms", 250), ("30s", 30_000), ("2m", 120_000), ("1h", 3_600_000), ("0", 0), ("5 s", 5000)]
        {
            assert_eq!(duration(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for text in
            ["", "s", "30", "1.5s", "-1s", "1m30s", "99999999999999999999s", "18446744073709551615h", "5S"]
        {
            assert_eq!(duration(text), None, "{text}");
        }
        for (text, bytes) in
            [("0", 0), ("17", 17), ("17B", 17), ("256KiB", 262_144), ("1MiB", 1 << 20), ("1MB", 1_000_000)]
        {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in
            ["", "MiB", "1mib", "1.5MiB", "-1", "1Mi", "99999999999999999999", "18446744073709551615GiB"]
        {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn durations_and_sizes_are_said_in_their_largest_unit() {
        for text in ["0ms", "1ms", "1500ms", "30s", "90s", "2m", "1h", "3d"] {
            assert_eq!(duration_text(duration(text).unwrap()), text);
        }
        for text in ["0", "1000", "1KiB", "1536KiB", "1MiB", "2GiB"] {
            assert_eq!(size_text(size(text).unwrap()), text);
        }
    }
}
