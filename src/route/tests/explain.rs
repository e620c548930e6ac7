//! What `halley check` and `halley route` say.

use super::*;
use crate::route::explain::{self, Asked};

const ROUTES: &str = r#"
routes:
  - name: orders
    channel: "/orders/{region}/{id}"
    topic: "orders.{region}"
    key: "{id}"
    key_format: long
    match: { region: "[a-z]{2}" }
    partitioner: murmur2
    publish: { headers: { region: "{region}" } }
  - name: rest
    channel: "/orders/{path**}"
    topic: [other, more]
    key: "{path**}"
    subscribe: { warm: true }
  - { name: inbox, channel: "/inbox/{user}", topic: inbox, key: "{user}", subscribe: { patterns: false } }
  - { name: typing, channel: "/typing/{room}", local: true, publish: }
  - { name: feedback, channel: /feedback, topic: feedback, subscribe: false, publish: { strict: true } }
"#;

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

#[test]
fn the_table_is_in_order_of_precedence() {
    assert_eq!(
        lines(&explain::table(&table(ROUTES))),
        [
            "ROUTE     CHANNEL                TOPIC            KEY       SUBSCRIBE            PUBLISH  KEY FORMAT  VALUE FORMAT",
            "feedback  /feedback              feedback         -         no                   strict   text        json",
            "orders    /orders/{region}/{id}  orders.{region}  {id}      latest               yes      long        json",
            "inbox     /inbox/{user}          inbox            {user}    latest, no patterns  no       text        json",
            "typing    /typing/{room}         (local)          -         latest               yes      -           -",
            "rest      /orders/{path**}       other, more      {path**}  latest, warm         no       text        json",
        ]
    );
}

#[test]
fn a_channel_is_explained_in_both_directions() {
    let see = |text: &str| explain::channel(&table(ROUTES), &pattern(text));
    assert_eq!(
        lines(&see("/orders/eu/42")),
        [
            "/orders/eu/42",
            "",
            "routes, most specific first:",
            "  feedback  /feedback  no: its template does not match",
            "  orders  /orders/{region}/{id}  owns the channel: region = \"eu\", id = \"42\"",
            "",
            "subscribe:",
            "  orders  /orders/{region}/{id}  reads topic orders.eu, the one partition of key \"42\" (murmur2)",
            "",
            "publish:",
            "  orders  writes to topic orders.eu, long key \"42\", json value, partition by murmur2 of the key",
            "  header region: \"eu\"",
        ]
    );
    assert_eq!(
        lines(&see("/orders/EU/42"))[3..],
        [
            "  feedback  /feedback  no: its template does not match",
            "  orders  /orders/{region}/{id}  no: match region: \"[a-z]{2}\" does not allow \"EU\"",
            "  inbox  /inbox/{user}  no: its template does not match",
            "  typing  /typing/{room}  no: its template does not match",
            "  rest  /orders/{path**}  owns the channel: path = \"EU/42\"",
            "",
            "subscribe:",
            "  rest  /orders/{path**}  reads topic other and topic more, all partitions",
            "",
            "publish:",
            "  no: this channel is not open for publishing",
        ]
    );
    assert_eq!(
        lines(&see("/**")),
        [
            "/**",
            "",
            "subscribe:",
            "  orders  /orders/{region}/{id}  reads every topic like orders.{region}, all partitions",
            "  typing  /typing/{room}  local, reads no topic",
            "  rest  /orders/{path**}  reads topic other and topic more, all partitions",
            "  inbox  /inbox/{user}  no: subscribe.patterns is false",
            "",
            "publish:",
            "  a publish names one channel, not a pattern",
        ]
    );
    let unknown = see("/none/~41");
    assert!(
        unknown.contains("none of them has this channel: 404:/none/~41:unknown_channel\n  (escapes count")
    );
    assert!(unknown.contains("subscribe:\n  nothing: 404:/none/~41:unknown_channel\n"), "{unknown}");
    assert!(unknown.ends_with("publish:\n  no: no route has this channel\n"), "{unknown}");
    assert!(see("/orders/eu/x").contains("no: \"x\" is no long key: it is not a 64 bit integer"));
    assert!(see("/typing/a").ends_with("publish:\n  typing  local: to the subscribers of this node\n"));
}

#[test]
fn a_record_is_explained_route_by_route() {
    let see = |topic, key| {
        let asked = Asked { topic, key, value: Some("{}"), headers: &[] };
        explain::record(&table(ROUTES), &asked)
    };
    assert_eq!(
        lines(&see("orders.eu", Some("42"))),
        [
            "topic orders.eu, key \"42\"",
            "",
            "routes, most specific first:",
            "  feedback  /feedback  no: it does not read this topic",
            "  orders  /orders/{region}/{id}  -> /orders/eu/42",
            "  inbox  /inbox/{user}  no: it does not read this topic",
            "  typing  /typing/{room}  no: local, it has no topic",
            "  rest  /orders/{path**}  no: it does not read this topic",
            "",
            "channels: /orders/eu/42",
        ]
    );
    for (topic, key, expected) in [
        ("orders.eu", None, "orders  /orders/{region}/{id}  no: it has no key"),
        ("orders.eu", Some("x"), "no: \"x\" is no long key: it is not a 64 bit integer"),
        ("orders.EU", Some("1"), "no: match region: \"[a-z]{2}\" does not allow \"EU\""),
        ("other", Some("eu/1"), "no: its channel would be /orders/eu/1, but that belongs to orders"),
        ("other", Some("a//b"), "no: a part of {path**} is empty"),
        ("feedback", Some("x"), "feedback  /feedback  no: not open for subscribing"),
        ("none", None, "channels: none"),
    ] {
        let told = see(topic, key);
        assert!(told.contains(expected), "{topic} {key:?}: {told}");
    }
}

#[test]
fn overlaps_say_who_owns_what() {
    assert_eq!(
        lines(&explain::overlaps(&table(ROUTES))),
        [
            "",
            "overlaps:",
            "  channels that are both /orders/{region}/{id} and /orders/{path**} belong to orders, the more specific; \
             where a match of orders fails, to rest",
        ]
    );
    let plain = "routes:\n  - { name: all, channel: \"/a/{x**}\", topic: a, key: \"{x**}\" }\n\
                 \x20 - { name: one, channel: \"/a/b/{y}\", topic: b, key: \"{y}\" }\n";
    assert_eq!(
        explain::overlaps(&table(plain)).lines().last().unwrap(),
        "  channels such as /a/b/x that are both /a/b/{y} and /a/{x**} belong to one, the more specific"
    );
    assert_eq!(explain::overlaps(&table("routes: []")), "");
}

#[test]
fn a_request_is_explained() {
    let table = table(
        r"
routes:
  - name: quote
    channel: /service/quote
    topic: quotes
    publish:
    reply: { topic: quote-replies, timeout: 1500ms }
  - { name: log, channel: /service/log, topic: log, publish: {} }
",
    );
    assert_eq!(
        lines(&explain::table(&table)),
        [
            "ROUTE  CHANNEL         TOPIC   KEY  SUBSCRIBE  PUBLISH                      KEY FORMAT  VALUE FORMAT",
            "quote  /service/quote  quotes  -    no         yes, reply in quote-replies  text        json",
            "log    /service/log    log     -    no         yes                          text        json",
        ]
    );
    let see = |text: &str| explain::channel(&table, &pattern(text));
    assert_eq!(
        lines(&see("/service/quote"))[6..],
        [
            "  nothing: a subscribe succeeds, and records nothing",
            "",
            "publish:",
            "  quote  writes to topic quotes, no key, json value, partition by murmur2 of the channel",
            "  header correlation-id: a text of its own; header reply-to: \"quote-replies\"",
            "  the reply is the record of topic quote-replies with that correlation-id, within 1500ms",
        ]
    );
    assert_eq!(lines(&see("/service/log")).last(), Some(&"  no reply but that Kafka has it"));
}
