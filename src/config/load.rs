//! Reading the settings.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::{Map, Value, ValueKind};

use super::keys::{KAFKA, KEYS, Key};
use super::layers::Layers;
use super::origin::{Context, Origin};
use super::problem::{Problem, Problems};
use super::settings::{SameSite, Settings, Tls};
use super::value::{Given, Wrong};
use super::yaml;

/// The settings file that is read when none is named, if it is there.
const DEFAULT_FILE: &str = "halley.yaml";

/// Where settings come from.
#[derive(Clone, Debug)]
pub struct LoadOptions<E> {
    /// The settings file. `None`: `halley.yaml` of the working directory, if it is there.
    pub config: Option<PathBuf>,
    /// Flags `section.key=value`, the last one counting.
    pub sets: Vec<String>,
    /// The environment: variables `HALLEY__SECTION__KEY` are settings, any may be referred to (`${env:NAME}`).
    pub env: E,
}

/// Settings as they were read: right, or with problems, and then as right as they could be.
#[derive(Debug)]
pub struct Reading {
    /// The settings. What is wrong has its default.
    pub settings: Settings,
    /// Everything wrong, in the order of the file; what has no place in it comes last.
    pub problems: Vec<Problem>,
    kafka: BTreeMap<String, Origin>,
    origins: BTreeMap<&'static str, Origin>,
}

impl Reading {
    /// A problem with one of librdkafka's properties, at the place where it was set.
    pub fn kafka_problem(&self, name: &str, what: &str) -> Problem {
        match self.kafka.get(name) {
            Some(origin) => origin.problem(&format!("{KAFKA}.{name}"), what),
            None => Problem::nowhere(format!("{KAFKA}: {what}")),
        }
    }

    /// A problem with what a setting stands for, at the place where it was set.
    pub fn problem(&self, name: &str, what: &str) -> Problem {
        match self.origins.get(name) {
            Some(origin) => origin.problem(name, what),
            None => Problem::nowhere(format!("{name}: {what}")),
        }
    }
}

/// Reads the settings: the file, over it the environment, over it the flags.
///
/// # Errors
/// Everything wrong with them at once.
pub fn load<E: IntoIterator<Item = (String, String)>>(options: LoadOptions<E>) -> Result<Settings, Problems> {
    let reading = read(options)?;
    if reading.problems.is_empty() { Ok(reading.settings) } else { Err(Problems(reading.problems)) }
}

/// The same for who wants to look at more, the mappings say, before telling what is wrong.
///
/// # Errors
/// If there is nothing to look at: the file cannot be read.
pub fn read<E: IntoIterator<Item = (String, String)>>(options: LoadOptions<E>) -> Result<Reading, Problems> {
    let mut context = Context::new(options.env.into_iter().collect());
    let mut problems = Vec::new();
    let file = options.config.or_else(|| Some(PathBuf::from(DEFAULT_FILE)).filter(|file| file.exists()));
    let file: Option<Arc<Path>> = file.map(Into::into);

    let mut layers = Layers::new(&mut context, &mut problems);
    match file.as_ref().map(|file| (file, std::fs::read_to_string(file))) {
        Some((file, Ok(text))) => layers.file(file, &text),
        Some((file, Err(error))) => return Err(unreadable("the settings file", file, &error)),
        None => {}
    }
    layers.environment();
    for flag in &options.sets {
        layers.flag(flag);
    }
    let values = layers.merge().map_err(|error| Problems(vec![Problem::nowhere(error.to_string())]))?;

    let mut settings = Settings::default();
    if let Some(folder) = file.as_ref().and_then(|file| file.parent()) {
        settings.mappings.iter_mut().for_each(|path| *path = folder.join(&*path));
    }
    let mut origins = BTreeMap::new();
    for key in KEYS {
        if let Some(value) = find(&values, key.name) {
            let given = Given::new(value.clone(), &context);
            origins.insert(key.name, given.origin().clone());
            if let Err(wrong) = set(&mut settings, key, &given) {
                problems.push(wrong.about_key(key.name, given.origin()));
            }
        }
    }
    let kafka = kafka(&values, &context, &mut settings.kafka.0, &mut problems);
    problems.extend(contradictions(&settings).into_iter().map(|(name, wrong)| {
        let nowhere = Origin::Flag;
        wrong.about_key(name, origins.get(name).unwrap_or(&nowhere))
    }));
    problems.sort_by(|a, b| (a.place.is_none(), &a.place).cmp(&(b.place.is_none(), &b.place)));
    Ok(Reading { settings, problems, kafka, origins })
}

/// The mapping files with their texts, in the order of the settings; the files of a folder by name.
///
/// # Errors
/// Every file or folder that can't be read, and a folder without a mapping file.
pub fn mapping_files(settings: &Settings) -> Result<Vec<(PathBuf, String)>, Problems> {
    let mut problems = Vec::new();
    let mut files: Vec<(PathBuf, String)> = Vec::new();
    for path in &settings.mappings {
        let found = if path.is_dir() { in_folder(path) } else { Ok(vec![path.clone()]) };
        match found {
            Ok(found) if found.is_empty() => {
                let message = format!("mappings: no *.yaml or *.yml in {}", path.display());
                problems.push(Problem::nowhere(message));
            }
            Ok(found) => {
                for file in found
                    .into_iter()
                    .filter(|file| !files.iter().any(|(known, _)| known == file))
                    .collect::<Vec<_>>()
                {
                    match std::fs::read_to_string(&file) {
                        Ok(text) => files.push((file, text)),
                        Err(error) => problems.extend(unreadable("mappings", &file, &error).0),
                    }
                }
            }
            Err(error) => problems.extend(unreadable("mappings", path, &error).0),
        }
    }
    if problems.is_empty() { Ok(files) } else { Err(Problems(problems)) }
}

fn in_folder(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    let is_mapping = |path: &PathBuf| {
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        !hidden && path.extension().is_some_and(|end| end == "yaml" || end == "yml") && path.is_file()
    };
    let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).filter(is_mapping).collect();
    files.sort();
    Ok(files)
}

fn unreadable(what: &str, path: &Path, error: &std::io::Error) -> Problems {
    Problems(vec![Problem::nowhere(format!("{what}: cannot read {}: {error}", path.display()))])
}

fn find<'a>(values: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    match name.split_once('.') {
        None => values.get(name),
        Some((section, rest)) => match &values.get(section)?.kind {
            ValueKind::Table(values) => find(values, rest),
            _ => None,
        },
    }
}

fn set(settings: &mut Settings, key: &Key, given: &Given<'_>) -> Result<(), Wrong> {
    match key.set {
        Some(set) => set(settings, given),
        None if given.is(&default(key)) => Ok(()),
        None => Err(Wrong::new("not yet: this version has only the default")
            .hint(format!("remove it, or {}", key.default))),
    }
}

/// The default of a key, as a file would give it.
fn default(key: &Key) -> yaml::Node {
    let text = format!("value: {}", key.default);
    let root = yaml::parse(Path::new(""), &text).map(|root| root.value);
    match root {
        Ok(yaml::Value::Map(mut entries)) if entries.len() == 1 => entries.remove(0).1,
        _ => yaml::Node { line: 1, column: 1, value: yaml::Value::Null },
    }
}

fn kafka(
    values: &Map<String, Value>,
    context: &Context,
    properties: &mut BTreeMap<String, String>,
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, Origin> {
    let mut origins = BTreeMap::new();
    let Some(Value { kind: ValueKind::Table(values), .. }) = values.get(KAFKA) else { return origins };
    for (name, value) in values {
        let given = Given::new(value.clone(), context);
        let proper = name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'));
        let text = if proper && !name.is_empty() {
            given.text("a string").map_err(|wrong| match &value.kind {
                ValueKind::Array(_) => wrong.hint("write one string with commas"),
                _ => wrong,
            })
        } else {
            Err(Wrong::new("not a name of a librdkafka property"))
        };
        match text {
            Ok(text) => {
                properties.insert(name.clone(), text);
                origins.insert(name.clone(), given.origin().clone());
            }
            Err(wrong) => problems.push(wrong.about_key(&format!("{KAFKA}.{name}"), given.origin())),
        }
    }
    origins
}

/// Values that are proper each and together are not, by the key that is one too many or calls for another.
fn contradictions(settings: &Settings) -> Vec<(&'static str, Wrong)> {
    let mut found = Vec::new();
    let mut cookie = |name| {
        let wrong = Wrong::new("browsers drop such a cookie").hint("set bayeux.cookie.secure: true");
        found.push((name, wrong));
    };
    match &settings.bayeux.cookie {
        it if it.secure => {}
        it if it.same_site == SameSite::None => cookie("bayeux.cookie.same_site"),
        it if it.partitioned => cookie("bayeux.cookie.partitioned"),
        _ => {}
    }
    let mut tls = |name, other| found.push((name, Wrong::new(format!("{other} is missing"))));
    match &settings.tls {
        Tls { cert: Some(_), key: None, .. } => tls("tls.cert", "tls.key"),
        Tls { cert: None, key: Some(_), .. } => tls("tls.key", "tls.cert"),
        Tls { cert: None, key: None, client_ca: Some(_) } => tls("tls.client_ca", "tls.cert"),
        _ => {}
    }
    found
}
