//! Mapping files as a JSON Schema. The names of formats are those of the parsers; a test holds the keys to what is read.

use serde_json::{Value, json};

use super::partition::Partitioner;
use super::reply::{CORRELATION_HEADER, REPLY_TOPIC_HEADER};
use crate::codec::{KeyFormat, ValueFormat};

/// The schema of a mapping file, for editors. What does not work yet is left out.
pub fn schema() -> Value {
    let template = |what: &str| json!({ "type": "string", "description": what });
    let per_name = |what: &str| json!({ "type": ["object", "null"], "description": what, "additionalProperties": { "type": "string" } });
    let flag = |what: &str, default: bool| json!({ "type": ["boolean", "null"], "description": what, "default": default });
    let header = |what: &str, default: &str| json!({ "type": ["string", "null"], "description": what, "default": default });
    let one_of = |what: &str, names: &[&str], default: Option<&str>| json!({ "enum": names, "description": what, "default": default });
    let route = json!({
        "type": "object",
        "required": ["name", "channel"],
        "additionalProperties": false,
        "properties": {
            "name": template("The route's name; unique."),
            "channel": template(
                "The channels of the route: {x} is part of one segment, {x**} one or more segments in the last place, \
                 {{ and }} are braces."
            ),
            "topic": {
                "type": ["string", "array"],
                "items": { "type": "string" },
                "description": "The topic: a name, a template whose {x} stops at '.', or a list of them (subscribe only).",
            },
            "key": template("The template of the key. Without it every record of the topic is on the channel."),
            "match": per_name("A regular expression a variable: the whole value has to match."),
            "bind": per_name(
                "Where a variable comes from when topic and key do not give it: topic, partition, offset, timestamp, key, \
                 key:/json/pointer, header:NAME, value, value:/json/pointer or =literal."
            ),
            "key_format": one_of("How keys are written.", KeyFormat::NAMES, Some("text")),
            "value_format": one_of("How values are written.", ValueFormat::NAMES, Some("json")),
            "partitioner": one_of(
                "How the topic's producers place keys; then a subscription to one key reads one partition.",
                Partitioner::NAMES,
                None,
            ),
            "data": {
                "description": "What subscribers get instead of the value: JSON in which every string is a selector.",
            },
            "on_error": one_of("What happens to a record that cannot be delivered.", &["skip"], Some("skip")),
            "lazy": template("How long events may wait to travel with others: a duration such as 200ms."),
            "local": flag("No topic: plain publish and subscribe within the node.", false),
            "reply": {
                "type": ["object", "null"],
                "description": "For routes under /service: where the reply to a publish is found.",
                "required": ["topic"],
                "additionalProperties": false,
                "properties": {
                    "topic": template("The topic of the replies."),
                    "timeout": {
                        "type": ["string", "null"],
                        "description": "How long a reply is waited for.",
                        "default": "8s",
                    },
                    "correlation_header": header("The header of a request that its reply carries, too.", CORRELATION_HEADER),
                    "reply_topic_header": header("The header of a request that names the topic.", REPLY_TOPIC_HEADER),
                },
            },
            "subscribe": {
                "type": ["boolean", "object", "null"],
                "description": "Open unless false.",
                "additionalProperties": false,
                "properties": {
                    "start": one_of("Where a subscription starts.", &["latest"], Some("latest")),
                    "patterns": flag("Whether subscriptions with * or ** cover the route.", true),
                    "warm": flag("Whether its topics are read even when nobody listens.", false),
                },
            },
            "publish": {
                "type": ["boolean", "object", "null"],
                "description": "Closed unless present: `publish:` alone opens it.",
                "additionalProperties": false,
                "properties": {
                    "headers": per_name("Headers of the record: a template each, of the channel's variables."),
                    "strict": flag("Whether a session's next publish waits until this one is acknowledged.", false),
                },
            },
        },
    });
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Routes of Halley",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "routes": { "type": ["array", "null"], "description": "The routes of this file.", "items": route },
        },
    })
}
