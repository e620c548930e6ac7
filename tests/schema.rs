//! What `halley schema` prints agrees with what is read: the samples and the documentation are valid by it, and it has the
//! keys of the parsers, no more and no fewer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use halley::config::yaml::{self, Node, Value as Yaml};
use halley::{config, route};
use serde_json::{Map, Value, json};

#[test]
fn the_samples_and_the_documentation_are_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut settings, mut mappings, mut wrong) = (0, 0, Vec::new());
    let mut check = |place: &str, text: &str| {
        let Ok(node) = yaml::parse(Path::new(place), text) else { return };
        let value = json_of(&node);
        let keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        let schema = if keys.contains(&"routes") {
            mappings += 1;
            route::schema()
        } else if keys.iter().all(|key| !config::schema()["properties"][key].is_null()) {
            settings += 1;
            config::schema()
        } else {
            return;
        };
        let mut problems = Vec::new();
        validate(&schema, &value, "", &mut problems);
        wrong.extend(problems.into_iter().map(|problem| format!("{place}: {problem}")));
    };
    for folder in ["mappings", "docs"] {
        let text = |file: &PathBuf| file.extension().is_some_and(|e| e == "yaml" || e == "md");
        for file in files(&root.join(folder)).into_iter().filter(text) {
            let text = std::fs::read_to_string(&file).unwrap();
            let name = file.strip_prefix(root).unwrap().display().to_string();
            if file.extension().is_some_and(|e| e == "yaml") {
                check(&name, &text);
            }
            for block in text.split("```yaml\n").skip(1) {
                check(&name, block.split("```").next().unwrap());
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    assert!(
        settings >= 1 && mappings >= 10,
        "files are found: {settings} of settings, {mappings} of mappings"
    );
}

#[test]
fn mistakes_are_found() {
    let settings = |text: &str| problems(&config::schema(), text);
    assert_eq!(
        settings("listen: [\"a:1\"]\nshards: 2\nqueue: { bytes: 1MiB }\nlimits: { batch: \"${env:N}\" }"),
        ""
    );
    assert_eq!(settings("lisen: x"), ".lisen: unknown key");
    assert_eq!(settings("bayeux: { timout: 1s }"), ".bayeux.timout: unknown key");
    assert_ne!(settings("drain: soon"), "");
    assert_ne!(settings("bayeux: { cookie: { secure: perhaps } }"), "");
    assert_ne!(settings("bayeux: { transports: [carrier-pigeon] }"), "");
    let routes = |text: &str| problems(&route::schema(), text);
    assert_eq!(
        routes("routes:\n  - { name: a, channel: /a, topic: [a, b], publish: , subscribe: { warm: true } }"),
        ""
    );
    assert_eq!(routes("routes:\n  - { name: a }"), ".routes[0]: channel is missing");
    assert_eq!(routes("routes:\n  - { name: a, channel: /a, tpic: a }"), ".routes[0].tpic: unknown key");
    assert_ne!(routes("routes:\n  - { name: a, channel: /a, key_format: txt }"), "");
}

/// A key that is unknown is answered with those that are known, among them what does not work yet.
#[test]
fn the_keys_of_mappings_are_those_that_are_read() {
    const NOT_YET: [&str; 12] = [
        "filter",
        "envelope",
        "expose",
        "dead_letter",
        "slow_consumer",
        "recipient",
        "allow",
        "replay_max_age",
        "replay_max_bytes",
        "echo",
        "subject",
        "version",
    ];
    let schema = route::schema();
    let properties = &schema["properties"]["routes"]["items"]["properties"];
    for (section, properties) in [
        ("zzzzzzzzz: 1", properties),
        ("subscribe: { zzzzzzzzz: 1 }", &properties["subscribe"]["properties"]),
        ("publish: { zzzzzzzzz: 1 }", &properties["publish"]["properties"]),
        ("reply: { topic: a, zzzzzzzzz: 1 }", &properties["reply"]["properties"]),
    ] {
        let channel = if section.starts_with("reply") { "/service/a" } else { "/a" };
        let text = format!("routes:\n  - name: a\n    channel: {channel}\n    topic: b\n    {section}\n");
        let problems = route::parse(&[route::Source { file: Path::new("x"), text: &text }]).unwrap_err();
        let hint = problems.0[0].hint.clone().unwrap();
        let known: BTreeSet<&str> = hint
            .strip_prefix("known are ")
            .unwrap()
            .split(", ")
            .filter(|key| !NOT_YET.contains(key))
            .collect();
        let described: BTreeSet<&str> = properties.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(described, known, "{section}");
    }
}

fn problems(schema: &Value, text: &str) -> String {
    let mut problems = Vec::new();
    validate(schema, &json_of(&yaml::parse(Path::new("x"), text).unwrap()), "", &mut problems);
    problems.join("; ")
}

/// As much of JSON Schema as the two use; what they use besides is a failure.
fn validate(schema: &Value, value: &Value, at: &str, problems: &mut Vec<String>) {
    for (keyword, rule) in schema.as_object().unwrap() {
        let good = match keyword.as_str() {
            "$schema" | "title" | "description" | "default" | "examples" => true,
            "type" => {
                let names = rule.as_array().cloned().unwrap_or_else(|| vec![rule.clone()]);
                names.iter().any(|name| is(value, name.as_str().unwrap()))
            }
            "enum" => rule.as_array().unwrap().contains(value),
            "pattern" => {
                let regex = regex::Regex::new(rule.as_str().unwrap()).unwrap();
                value.as_str().is_none_or(|text| regex.is_match(text))
            }
            "minimum" => value.as_f64().is_none_or(|value| value >= rule.as_f64().unwrap()),
            "anyOf" => rule.as_array().unwrap().iter().any(|schema| {
                let mut problems = Vec::new();
                validate(schema, value, at, &mut problems);
                problems.is_empty()
            }),
            "required" => {
                for name in rule.as_array().unwrap().iter().map(|name| name.as_str().unwrap()) {
                    if value.as_object().is_some_and(|map| !map.contains_key(name)) {
                        problems.push(format!("{at}: {name} is missing"));
                    }
                }
                true
            }
            "items" => {
                for (n, item) in value.as_array().into_iter().flatten().enumerate() {
                    validate(rule, item, &format!("{at}[{n}]"), problems);
                }
                true
            }
            "properties" => {
                for (name, schema) in rule.as_object().unwrap() {
                    if let Some(value) = value.get(name) {
                        validate(schema, value, &format!("{at}.{name}"), problems);
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = schema.get("properties").and_then(Value::as_object);
                let others = value.as_object().into_iter().flatten();
                for (name, value) in others.filter(|(name, _)| known.is_none_or(|k| !k.contains_key(*name))) {
                    let at = format!("{at}.{name}");
                    match rule {
                        Value::Bool(true) => {}
                        Value::Bool(false) => problems.push(format!("{at}: unknown key")),
                        schema => validate(schema, value, &at, problems),
                    }
                }
                true
            }
            keyword => panic!("{at}: {keyword} is not looked at"),
        };
        if !good {
            problems.push(format!("{at}: {value} is not of {keyword} {rule}"));
        }
    }
}

fn is(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        name => panic!("no type {name}"),
    }
}

fn json_of(node: &Node) -> Value {
    match &node.value {
        Yaml::Null => Value::Null,
        Yaml::Bool(value) => json!(value),
        Yaml::Number(text) => serde_json::from_str(text).unwrap(),
        Yaml::String(text) => json!(text),
        Yaml::Seq(items) => items.iter().map(json_of).collect(),
        Yaml::Map(entries) => Value::Object(
            entries.iter().map(|(key, node)| (key.name.clone(), json_of(node))).collect::<Map<_, _>>(),
        ),
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}
