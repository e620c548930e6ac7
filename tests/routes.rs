//! The sample mappings do what they say, and every mapping in the documentation is valid.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};

use halley::bayeux::Channel;
use halley::route::{RouteTable, Source, TargetError, parse};
use halley::stream::RawRecord;

/// A record and its way: topic, key, value; the channel; the `data`; the record that publishing `data` there makes.
type Way = (&'static str, Option<&'static str>, &'static str, &'static str, &'static str, Back);

enum Back {
    /// Topic, key and headers are those of the record, and these headers.
    Same(&'static [(&'static str, &'static str)]),
    /// Nobody may publish.
    Closed,
}

const PRICE: &str = r#"{"price":102.40}"#;

const WAYS: &[(&str, &[Way])] = &[
    (
        "prices.yaml",
        &[
            ("prices", Some("ACME"), PRICE, "/prices/ACME", PRICE, Back::Closed),
            ("prices", Some("BRK.A"), "1.0", "/prices/BRK.A", "1.0", Back::Closed),
            ("prices", Some("EUR/USD"), "1", "/prices/EUR~2FUSD", "1", Back::Closed),
        ],
    ),
    (
        "orders.yaml",
        &[
            ("orders.eu", Some("42"), "{}", "/orders/eu/42", "{}", Back::Closed),
            ("orders.apac", Some("a b"), "{}", "/orders/apac/a~20b", "{}", Back::Closed),
        ],
    ),
    (
        "chat.yaml",
        &[
            (
                "chat",
                Some("lobby"),
                "\"hi\"",
                "/chat/lobby",
                "\"hi\"",
                Back::Same(&[("source", "chat/lobby")]),
            ),
            ("chat", Some("a-1"), "[ ]", "/chat/a-1", "[ ]", Back::Same(&[("source", "chat/a-1")])),
        ],
    ),
    (
        "logs.yaml",
        &[(
            "logs",
            None,
            r#"{"app":"checkout","n":1}"#,
            "/logs/checkout",
            r#"{"app":"checkout","n":1}"#,
            Back::Closed,
        )],
    ),
    (
        "inbox.yaml",
        &[(
            "inbox",
            Some("alice"),
            r#"{"title":"Hello","time":17}"#,
            "/inbox/alice",
            r#"{"title":"Hello","time":17,"source":"shop","user":"alice"}"#,
            Back::Closed,
        )],
    ),
    // Its records are on no channel: see below.
    ("quote.yaml", &[]),
];

/// Topics and keys that no sample mapping takes.
const NOWHERE: [(&str, &str); 4] =
    [("orders.eu.dlq", "1"), ("orders.EU", "1"), ("orders", "1"), ("chat", "Not a room")];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn table(files: &[PathBuf]) -> RouteTable {
    let texts: Vec<_> = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let sources: Vec<_> = files.iter().zip(&texts).map(|(file, text)| Source { file, text }).collect();
    parse(&sources).unwrap_or_else(|problems| panic!("{problems}")).table
}

fn samples() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("mappings")).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn record<'a>(
    topic: &'a str,
    key: Option<&'a str>,
    value: &'a str,
    headers: &'a [(&'a str, Option<&'a [u8]>)],
) -> RawRecord<'a> {
    RawRecord {
        topic,
        partition: 0,
        offset: 7,
        timestamp: None,
        key: key.map(str::as_bytes),
        value: Some(value.as_bytes()),
        headers,
    }
}

fn follow(table: &RouteTable, (topic, key, value, channel, data, back): &Way) {
    let record = record(topic, *key, value, &[("source", Some(b"shop"))]);
    let mut routed = Vec::new();
    table.topic(topic).unwrap().channels_of(&record, &mut routed);
    assert_eq!(routed.len(), 1, "{topic} {key:?}: {routed:?}");
    let found = routed[0].result.as_ref().unwrap();
    assert_eq!(found.as_str(), *channel);
    let mut rendered = Vec::new();
    routed[0].route.render().data(&record, &mut rendered);
    assert_eq!(String::from_utf8(rendered).unwrap(), *data);

    let found = Channel::parse(channel).unwrap();
    match (table.target(&found), back) {
        (Err(TargetError::NotPublishable), Back::Closed) => {}
        (Ok(target), Back::Same(headers)) => {
            assert_eq!(*target.topic, **topic);
            assert_eq!(target.key.as_deref(), key.map(str::as_bytes));
            let expected: Vec<_> =
                headers.iter().map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec())).collect();
            assert_eq!(target.headers, expected);
            assert_eq!(target.value(data.as_bytes(), None).unwrap().unwrap(), value.as_bytes());
        }
        (target, _) => panic!("{channel}: {target:?}"),
    }
}

#[test]
fn every_sample_mapping_leads_records_to_channels_and_back() {
    let together = table(&samples());
    for file in samples() {
        let name = file.file_name().unwrap().to_str().unwrap();
        let (_, ways) =
            WAYS.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("{name}: no way"));
        let alone = table(std::slice::from_ref(&file));
        for way in *ways {
            follow(&alone, way);
            follow(&together, way);
        }
    }
    for (topic, key) in NOWHERE {
        let mut routed = Vec::new();
        if let Some(plan) = together.topic(topic) {
            plan.channels_of(&record(topic, Some(key), "1", &[]), &mut routed);
        }
        assert!(routed.iter().all(|routed| routed.result.is_err()), "{topic} {key}: {routed:?}");
    }
    let asked = Channel::parse("/service/quote").unwrap();
    let target = together.target(&asked).unwrap();
    assert_eq!((&*target.topic, &target.key), ("quotes", &None));
    let (route, reply) = together.request(&asked).unwrap();
    assert_eq!((&**route.name(), &*reply.topic), ("quote", "quote-replies"));
    assert_eq!(reply.timeout.as_secs(), 8);
    assert_eq!((&*reply.correlation_header, &*reply.reply_topic_header), ("correlation-id", "reply-to"));
    assert!(together.topic("quotes").is_none() && together.topic("quote-replies").is_none());
    let typing = together.target(&Channel::parse("/chat/lobby/typing").unwrap()).unwrap();
    assert!(typing.local);
}
