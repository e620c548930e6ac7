//! The settings as a JSON Schema, from the table that parses them.

use std::path::Path;

use serde_json::{Map, Value as Json, json};

use super::keys::{KAFKA, KEYS};
use super::yaml::{self, Value};

/// The schema of a settings file, for editors. What does not work yet is left out.
pub fn schema() -> Json {
    let mut root = Map::new();
    for key in KEYS.iter().filter(|key| key.set.is_some()) {
        let mut schema = of(key.takes);
        if let Json::Object(schema) = &mut schema {
            schema.insert("description".to_owned(), plain(key.meaning).into());
            schema.insert("default".to_owned(), default(key.default));
        }
        insert(&mut root, key.name, schema);
    }
    root.insert(
        KAFKA.to_owned(),
        json!({
            "type": "object",
            "description": "Every property of librdkafka by its name.",
            "properties": {
                "bootstrap.servers": {
                    "type": "string",
                    "description": "Where the cluster is: host:port, several with commas.",
                    "default": "localhost:9092",
                },
            },
            "additionalProperties": { "type": ["string", "number", "boolean"] },
        }),
    );
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Settings of Halley",
        "type": "object",
        "properties": root,
        "additionalProperties": false,
    })
}

/// Puts a key in its sections.
fn insert(properties: &mut Map<String, Json>, name: &str, schema: Json) {
    let Some((section, rest)) = name.split_once('.') else {
        properties.insert(name.to_owned(), schema);
        return;
    };
    let section = properties
        .entry(section)
        .or_insert_with(|| json!({ "type": "object", "properties": {}, "additionalProperties": false }));
    if let Some(Json::Object(properties)) = section.get_mut("properties") {
        insert(properties, rest, schema);
    }
}

/// The schema of what a key takes, as the reference says it.
fn of(takes: &str) -> Json {
    let text = json!({ "type": "string" });
    let one_or_list = json!({ "type": ["string", "array"], "items": { "type": "string" } });
    match takes {
        "number" => or_reference(&json!({ "type": "integer", "minimum": 0 })),
        "number, negative or `null` for any number" => or_reference(&json!({ "type": "integer" })),
        "size" => or_reference(&json!({
            "type": ["integer", "string"],
            "pattern": r"^\s*[0-9]+\s*([kKMG]i?B|B)?\s*$",
        })),
        "rate" => or_reference(&json!({ "type": "string", "pattern": r"^\s*[0-9]+\s*/\s*s\s*$" })),
        "duration" => or_reference(&json!({
            "type": "string",
            "pattern": r"^\s*[0-9]+\s*(ms|s|m|h|d)\s*$",
        })),
        "`auto` or number" => {
            or_reference(&json!({ "anyOf": [{ "enum": ["auto"] }, { "type": "integer", "minimum": 1 }] }))
        }
        "`true`, `false`" => or_reference(&json!({ "type": "boolean" })),
        // Parts of the program can have a level of their own.
        words if words.contains("`trace`") => json!({ "type": "string", "examples": quoted(words) }),
        words if words.contains("list") && words.contains('`') => {
            let words = quoted(words);
            or_reference(
                &json!({ "anyOf": [{ "enum": words }, { "type": "array", "items": { "enum": words } }] }),
            )
        }
        words if words.contains("list") => one_or_list,
        words if words.contains('`') => or_reference(&json!({ "enum": quoted(words) })),
        "path" => or_reference(&json!({ "type": "string", "pattern": "^/" })),
        "domain" | "file" => json!({ "type": ["string", "null"] }),
        _ => text,
    }
}

/// The same, or a text with a reference: `${env:NAME}`, `${file:/path}`. Unset (`null`) is the default.
fn or_reference(schema: &Json) -> Json {
    json!({ "anyOf": [schema, { "type": "string", "pattern": r"\$\{" }, { "type": "null" }] })
}

/// The words in backquotes.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Markdown without its marks.
fn plain(text: &str) -> String {
    text.replace('`', "")
}

/// A default, written as YAML.
fn default(text: &str) -> Json {
    yaml::parse(Path::new(""), &format!("x: {text}"))
        .ok()
        .and_then(|node| match node.value {
            Value::Map(entries) => entries.into_iter().next().map(|(_, node)| json_of(&node.value)),
            _ => None,
        })
        .unwrap_or(Json::Null)
}

fn json_of(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => (*value).into(),
        Value::Number(text) => text.parse().map_or(Json::Null, Json::Number),
        Value::String(text) => text.as_str().into(),
        Value::Seq(items) => items.iter().map(|node| json_of(&node.value)).collect(),
        Value::Map(entries) => {
            entries.iter().map(|(key, node)| (key.name.clone(), json_of(&node.value))).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_valid_by_its_kind() {
        for key in KEYS.iter().filter(|key| key.set.is_some()) {
            let schema = of(key.takes);
            assert!(schema.is_object(), "{}", key.name);
            // What is free text is so on purpose.
            let free = schema == json!({ "type": "string" });
            assert!(!free || matches!(key.takes, "address"), "{}: {} has no schema", key.name, key.takes);
        }
    }

    #[test]
    fn sections_are_objects() {
        let schema = schema();
        let level = &schema["properties"]["log"]["properties"]["level"];
        assert_eq!(level["default"], "info");
        let same_site = &schema["properties"]["bayeux"]["properties"]["cookie"]["properties"]["same_site"];
        assert_eq!(same_site["anyOf"][0]["enum"], json!(["strict", "lax", "none"]));
        assert_eq!(schema["properties"]["bayeux"]["properties"]["path"]["default"], json!(["/cometd"]));
    }
}
