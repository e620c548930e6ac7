//! Examples of both directions.

use super::*;
use crate::route::{Reads, TargetError, ValueError};

const ORDERS: &str = r#"
routes:
  - name: orders
    channel: "/orders/{region}/{id}"
    topic: "orders.{region}"
    key: "{id}"
    match: { region: "[a-z]{2}" }
    partitioner: murmur2
    publish:
  - name: rest
    channel: "/orders/{path**}"
    topic: other-orders
    key: "{path**}"
    publish: { headers: { path: "p={path**}" }, strict: true }
"#;

#[test]
fn a_template_is_read_in_both_directions() {
    let table = table(ORDERS);
    assert_eq!(channels(&table, &record("orders.eu", Some(b"42"), Some(b"{}"))), "/orders/eu/42");
    let target = table.target(&channel("/orders/eu/42")).unwrap();
    assert_eq!((&*target.topic, target.key.as_deref()), ("orders.eu", Some(b"42".as_slice())));
    assert!(!target.local && !target.strict && target.headers.is_empty());
    assert_eq!(
        target.partition(&channel("/orders/eu/42"), 12),
        crate::route::Partitioner::Murmur2.partition(b"42", 12)
    );
}

#[test]
fn where_match_fails_the_next_less_specific_route_is_tried() {
    let table = table(ORDERS);
    let target = table.target(&channel("/orders/EU/42")).unwrap();
    assert_eq!((&*target.topic, target.key.as_deref()), ("other-orders", Some(b"EU/42".as_slice())));
    assert_eq!(target.headers, [("path".to_owned(), b"p=EU/42".to_vec())]);
    assert!(target.strict);
    assert_eq!(channels(&table, &record("other-orders", Some(b"EU/42"), None)), "/orders/EU/42");
    // The channel is the other route's.
    assert_eq!(channels(&table, &record("other-orders", Some(b"eu/42"), None)), "");
    assert_eq!(channels(&table, &record("other-orders", Some(b"eu//42"), None)), "empty_variable");
    assert_eq!(channels(&table, &record("orders.EU", Some(b"42"), None)), "");
    assert!(table.topic("orders.EU").is_none());
    assert!(table.topic("orders.eu.dlq").is_none());
}

#[test]
fn what_cannot_be_routed_says_why() {
    let table = table(
        r#"
routes:
  - { name: long, channel: "/long/{id}", topic: long, key: "{id}", key_format: long }
  - { name: json, channel: "/json/{id}", topic: json, key: "{id}", key_format: json }
  - { name: item, channel: "/item/{id}", topic: keys, key: "item-{id}" }
  - { name: user, channel: "/user/{id}", topic: keys, key: "user-{id}" }
  - { name: text, channel: /text, topic: text, value_format: text }
  - { name: any, channel: "/{a}/x", topic: any, key: "{a}" }
  - name: bound
    channel: "/bound/{h}/{v}"
    topic: bound
    bind: { h: "header:h", v: "value:/a/0" }
"#,
    );
    let see = |topic, key: Option<&'static [u8]>, value| channels(&table, &record(topic, key, value));
    assert_eq!(see("long", Some(&[0, 0, 0, 0, 0, 0, 0, 7]), None), "/long/7");
    assert_eq!(see("long", Some(b"7"), None), "bad_key");
    assert_eq!(see("long", None, None), "no_key");
    assert_eq!(see("json", Some(b"\"a b\""), None), "/json/a~20b");
    assert_eq!(see("json", Some(b"1.50"), None), "/json/1.50");
    assert_eq!(see("json", Some(b"null"), None), "bad_key");
    assert_eq!(see("json", Some(b"\"\""), None), "empty_key");
    assert_eq!(see("keys", Some(b"item-1"), Some(b"{}")), "/item/1");
    assert_eq!(see("keys", Some(b"user-1"), Some(b"{}")), "/user/1");
    assert_eq!(see("keys", Some(b"other"), Some(b"{}")), "key_template");
    assert_eq!(see("keys", Some(b"item-1"), Some(b"{")), "bad_value");
    assert_eq!(see("keys", Some(b"item-\xff"), Some(b"{}")), "bad_key bad_key");
    assert_eq!(see("text", None, Some(b"{")), "/text");
    assert_eq!(see("text", None, Some(b"\xff")), "bad_value");
    assert_eq!(see("any", Some(b"meta"), None), "reserved");
    assert_eq!(see("any", Some(b"service"), None), "reserved");
    assert_eq!(see("any", Some("k".repeat(9999).leak().as_bytes()), None), "too_long");
    let headers: &[(&str, Option<&[u8]>)] = &[("h", Some(b"x")), ("h", Some(b"\xff"))];
    let bound = |value| RawRecord { headers, ..record("bound", None, value) };
    assert_eq!(channels(&table, &bound(Some(br#"{"a":["p/q"]}"#))), "/bound/~FF/p~2Fq");
    assert_eq!(channels(&table, &bound(Some(br#"{"a":[12.0]}"#))), "/bound/~FF/12.0");
    assert_eq!(channels(&table, &bound(Some(br#"{"a":[null]}"#))), "bad_variable");
    assert_eq!(channels(&table, &bound(Some(br#"{"a":[""]}"#))), "empty_variable");
    assert_eq!(channels(&table, &bound(Some(br#"{"a":[]}"#))), "missing_variable");
    assert_eq!(channels(&table, &bound(None)), "missing_variable");
    assert_eq!(see("bound", None, Some(br#"{"a":[1]}"#)), "missing_variable");
    let marked: &[(&str, Option<&[u8]>)] = &[("bayeux-binary", Some(b"{}"))];
    let plain = record("keys", None, None);
    assert!(table.topic("bound").unwrap().needs_headers(&plain));
    assert!(!table.topic("keys").unwrap().needs_headers(&plain));
    assert!(table.topic("keys").unwrap().needs_headers(&RawRecord { headers: marked, ..plain }));
}

#[test]
fn subscriptions_know_what_to_read() {
    let table = table(ORDERS);
    let see = |text: &str| {
        let shown = |coverage: super::super::Coverage| match coverage.reads {
            Reads::Local => "local".to_owned(),
            Reads::Topics { literal, template, key } => format!(
                "{} {:?} {} {}",
                coverage.route.name(),
                literal,
                template.map_or_else(String::new, |topics| {
                    ["orders.eu", "orders.us", "orders.USA", "orders.eu.x", "_orders"]
                        .into_iter()
                        .filter(|topic| topics.matches(topic))
                        .collect::<Vec<_>>()
                        .join(",")
                }),
                key.map_or_else(|| "all".to_owned(), |key| key.partition(12).to_string()),
            ),
        };
        table.covering(&pattern(text)).into_iter().map(shown).collect::<Vec<_>>().join("; ")
    };
    assert_eq!(see("/orders/eu/42"), "orders [\"orders.eu\"]  4");
    assert_eq!(see("/orders/eu/*"), "orders [\"orders.eu\"]  all");
    assert_eq!(see("/orders/*"), "rest [\"other-orders\"]  all");
    assert_eq!(see("/orders/**"), "orders [] orders.eu,orders.us all; rest [\"other-orders\"]  all");
    assert_eq!(see("/**"), see("/orders/**"));
    assert_eq!(see("/*"), "");
    assert_eq!(see("/orders/EU/*"), "rest [\"other-orders\"]  all");
    assert_eq!(see("/orders"), "");
    assert_eq!(see("/orders/~41/x"), "", "not canonical");
    assert_eq!(see("/meta/**"), "");
    assert_eq!(see("/service/**"), "");
}

#[test]
fn publishes_that_would_not_lead_back_are_refused() {
    let table = table(
        r#"
routes:
  - { name: long, channel: "/long/{id}", topic: long, key: "{id}", key_format: long, publish: }
  - { name: pair, channel: "/pair/{a}/{b}", topic: pair, key: "{a}:{b}", publish: }
  - { name: closed, channel: "/closed/{a}", topic: closed, key: "{a}" }
  - { name: topics, channel: "/topics/{t}/{k}", topic: "t.{t}", key: "{k}", publish: {} }
  - name: bound
    channel: "/bound/{h}/{v}"
    topic: bound
    bind: { h: "header:h", v: "value:/v" }
    publish: { headers: { other: "{{{h}}}" } }
"#,
    );
    let why = |text: &str| table.target(&channel(text)).unwrap_err().to_string();
    assert_eq!(why("/long/x"), "\"x\" is no long key: it is not a 64 bit integer");
    assert_eq!(why("/long/07"), "\"07\" is no long key: it is not a 64 bit integer");
    assert_eq!(why("/pair/a~3Ab/c"), "{a} would not be read back from the record");
    assert!(table.target(&channel("/pair/a/b~3Ac")).is_ok());
    assert_eq!(why("/topics/a.b/k"), "the channel leads to no legal topic");
    assert_eq!(why("/topics/~C3~BC/k"), "no route has this channel", "not canonical");
    assert_eq!(why("/topics/ü/k"), "the channel leads to no legal topic");
    assert_eq!(table.target(&channel("/closed/a")).unwrap_err(), TargetError::NotPublishable);
    assert_eq!(table.target(&channel("/none/a")).unwrap_err(), TargetError::UnknownChannel);
    assert_eq!(table.target(&channel("/long/~37")).unwrap_err(), TargetError::UnknownChannel);
    assert_eq!(table.target(&channel("/meta/connect")).unwrap_err(), TargetError::UnknownChannel);
    let target = table.target(&channel("/bound/x~20y/7")).unwrap();
    assert_eq!(target.key, None);
    assert_eq!(target.headers, [("other".to_owned(), b"{x y}".to_vec()), ("h".to_owned(), b"x y".to_vec())]);
    assert_eq!(target.value(br#"{"v":7}"#, None).unwrap().unwrap(), br#"{"v":7}"#.as_slice());
    assert!(matches!(target.value(br#"{"v":8}"#, None), Err(ValueError::Mismatch { .. })));
    assert!(matches!(target.value(b"null", None), Err(ValueError::Mismatch { .. })));
    assert!(matches!(target.value(b"{", None), Err(ValueError::Codec(_))));
}

#[test]
fn local_routes_have_no_topic() {
    let table = table("routes: [{ name: chat, channel: '/chat/{room}', local: true, publish: }]");
    let target = table.target(&channel("/chat/a")).unwrap();
    assert!(target.local && target.topic.is_empty());
    assert!(matches!(table.covering(&pattern("/chat/*"))[0].reads, Reads::Local));
    let mut out = Vec::new();
    target.route.render().data(&record("", None, Some(b"{ }")), &mut out);
    assert_eq!(out, b"{ }");
}

#[test]
fn patterns_and_warm_are_kept() {
    let table = table(
        r#"
routes:
  - { name: a, channel: "/a/{x}", topic: "a.{x}", subscribe: { start: latest, patterns: false, warm: true } }
  - { name: b, channel: "/a/{x}/b", topic: b, key: "{x}" }
  - { name: c, channel: "/c", topic: [c, c-old] }
"#,
    );
    let covering = |text| names(table.covering(&pattern(text)).into_iter().map(|coverage| coverage.route));
    assert_eq!(covering("/**"), ["c", "b"]);
    assert_eq!(covering("/a/x"), ["a"]);
    assert_eq!(names(table.warm().into_iter().map(|coverage| coverage.route)), ["a"]);
    assert_eq!(channels(&table, &record("c-old", None, None)), "/c");
}

#[test]
fn data_is_projected_without_touching_numbers() {
    let table = table(
        r#"
routes:
  - name: a
    channel: /a
    topic: a
    key_format: json
    data:
      topic: topic
      at: [partition, offset, timestamp]
      key: key
      id: key:/id
      header: "header:h"
      none: "header:none"
      price: value:/price
      missing: value:/x/y
      from: "=kafka"
      version: 1.0
      yes: true
  - { name: b, channel: /b, topic: b, data: value:/after }
"#,
    );
    let data = |record: &RawRecord<'_>| {
        let mut out = Vec::new();
        routed(&table, record)[0].route.render().data(record, &mut out);
        String::from_utf8(out).unwrap()
    };
    let headers: &[(&str, Option<&[u8]>)] = &[("h", Some(b"\"x\""))];
    let key = br#"{"id": 7}"#;
    let raw = RawRecord { headers, ..record("a", Some(key), Some(br#"{"price": 1.50}"#)) };
    assert_eq!(
        data(&raw),
        r#"{"topic":"a","at":[3,41,1700000000000],"key":{"id": 7},"id":7,"header":"\"x\"","none":null,"price":1.50,"missing":null,"from":"kafka","version":1.0,"yes":true}"#
    );
    assert_eq!(data(&record("a", Some(key), None)), "null");
    assert_eq!(data(&record("b", None, Some(br#"{"after": {"a" : 1}}"#))), r#"{"a" : 1}"#);
}

#[test]
fn requests_are_what_routes_under_service_say() {
    let table = table(
        r#"
routes:
  - { name: ask, channel: "/service/{what}", topic: asked, key: "{what}", publish: {}, reply: { topic: replies } }
  - name: also
    channel: /service/also
    topic: asked-also
    publish:
    reply: { topic: replies, timeout: 500ms, correlation_header: cid, reply_topic_header: to }
  - { name: log, channel: /service/log, topic: log, publish: {} }
  - { name: wide, channel: "/{a**}", topic: wide, key: "{a**}", publish: {} }
"#,
    );
    let see = |text: &str| {
        let channel = channel(text);
        let (route, reply) = table.request(&channel)?;
        Some((route.name().to_string(), reply.timeout.as_millis(), reply.correlation_header.to_string()))
    };
    assert_eq!(see("/service/x"), Some(("ask".into(), 8000, "correlation-id".into())));
    assert_eq!(see("/service/also"), Some(("also".into(), 500, "cid".into())));
    assert_eq!(see("/service/log"), None);
    assert_eq!(see("/a/b"), None);
    assert!(table.target(&channel("/a/b")).is_ok());
    assert!(table.target(&channel("/service/log")).is_ok());
    // A template that begins with a variable has no such channels: what is written there would never be read back.
    assert_eq!(table.target(&channel("/service/x/y")).unwrap_err(), TargetError::UnknownChannel);
    assert_eq!(table.correlation_headers("replies"), ["cid".into(), "correlation-id".into()]);
    assert!(table.correlation_headers("asked").is_empty());
}
