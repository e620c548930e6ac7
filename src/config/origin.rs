//! Where a value was given, and what its references (`${env:NAME}`, `${file:/path}`) stand for.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use config::{Value, ValueKind};

use super::problem::{Place, Problem};
use super::value::Wrong;

/// The largest file that a reference may name: secrets and certificates are far smaller.
const MAX_FILE: u64 = 1 << 20;

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// In the settings file.
    File(Place),
    /// In an environment variable of this name.
    Environment(String),
    /// With the flag `--set`.
    Flag,
}

/// What values are read with: their origins, and the environment for references.
///
/// Crate `config` keeps one text with a value as its origin; here it is the index of an [`Origin`].
#[derive(Debug)]
pub(super) struct Context {
    origins: Vec<Origin>,
    environment: BTreeMap<String, String>,
}

// === impl Origin ===

impl Origin {
    /// A problem with what was given here: `file:line:column: key: what`, `HALLEY__KEY: key: what`, `--set: key: what`.
    pub(super) fn problem(&self, key: &str, what: &str) -> Problem {
        match self {
            Self::File(place) => Problem::at(place.clone(), format!("{key}: {what}")),
            Self::Environment(name) => Problem::nowhere(format!("{name}: {key}: {what}")),
            Self::Flag => Problem::nowhere(format!("--set: {key}: {what}")),
        }
    }

    /// The folder that relative paths start from, if it is not the working directory.
    pub(super) fn base(&self) -> Option<&Path> {
        match self {
            Self::File(place) => place.file.parent(),
            Self::Environment(_) | Self::Flag => None,
        }
    }
}

// === impl Context ===

impl Context {
    pub(super) fn new(environment: BTreeMap<String, String>) -> Self {
        Self { origins: vec![Origin::Flag], environment }
    }

    pub(super) fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// A value that was given at `origin`.
    pub(super) fn value(&mut self, origin: Origin, kind: impl Into<ValueKind>) -> Value {
        let index = self.origins.len().to_string();
        self.origins.push(origin);
        Value::new(Some(&index), kind.into())
    }

    /// Where a value was given.
    pub(super) fn origin(&self, value: &Value) -> &Origin {
        let index = value.origin().and_then(|index| index.parse::<usize>().ok()).unwrap_or_default();
        self.origins.get(index).unwrap_or(&Origin::Flag)
    }

    /// Puts in what `${env:NAME}` and `${file:PATH}` stand for; `$${` is `${`. What is put in is not looked at again.
    pub(super) fn resolve(&self, text: &str, origin: &Origin) -> Result<String, Wrong> {
        let mut resolved = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let (before, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
            if let Some(before) = before.strip_suffix('$') {
                resolved.push_str(before);
                resolved.push_str("${");
                rest = from.get(2..).unwrap_or_default();
                continue;
            }
            resolved.push_str(before);
            let Some((reference, after)) = from.get(2..).and_then(|from| from.split_once('}')) else {
                return Err(Wrong::new("a reference is not closed with }").hint("write $${ for a plain ${"));
            };
            resolved.push_str(&self.lookup(reference, origin)?);
            rest = after;
        }
        resolved.push_str(rest);
        Ok(resolved)
    }

    fn lookup(&self, reference: &str, origin: &Origin) -> Result<String, Wrong> {
        match reference.split_once(':') {
            Some(("env", name)) => {
                let value = self.environment.get(name).cloned();
                value.ok_or_else(|| Wrong::new(format!("environment variable {name} is not set")))
            }
            Some(("file", path)) => {
                let path = origin.base().unwrap_or(Path::new("")).join(path);
                read(&path).map_err(|error| Wrong::new(format!("cannot read {}: {error}", path.display())))
            }
            _ => Err(Wrong::new(format!("${{{reference}}} is not a reference"))
                .hint("known are ${env:NAME} and ${file:/path}; write $${ for a plain ${")),
        }
    }
}

/// A file's text without the line end that editors put at its end.
fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let length = std::fs::File::open(path)?.take(MAX_FILE + 1).read_to_string(&mut text)?;
    if length as u64 > MAX_FILE {
        return Err(std::io::Error::other("larger than 1MiB"));
    }
    let trimmed = text.strip_suffix('\n').unwrap_or(&text);
    Ok(trimmed.strip_suffix('\r').unwrap_or(trimmed).to_owned())
}
