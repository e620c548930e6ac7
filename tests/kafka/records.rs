//! From a plain producer to the subscribers.

use std::time::Duration;

use serde_json::json;

use crate::support::bayeux::{BOTH, Client};
use crate::support::gateway::Gateway;
use crate::support::kafka::Kafka;
use crate::support::records::Writer;
use crate::support::unique;

/// How long nothing may come before a test believes that nothing will.
const QUIET: Duration = Duration::from_millis(300);

fn keyed(topic: &str) -> String {
    format!(
        r#"
routes:
  - name: prices
    channel: "/prices/{{symbol}}"
    topic: {topic}
    key: "{{symbol}}"
"#
    )
}

#[test]
fn a_record_is_an_event_on_the_channel_of_its_key() {
    let kafka = Kafka::shared();
    let topic = unique("prices");
    kafka.create_topic(&topic, 3);
    let gateway = Gateway::start(kafka, &keyed(&topic));
    let writer = Writer::new(kafka);
    writer.put(&topic, "OLD", r#"{"before":"anyone listens"}"#);
    for transport in BOTH {
        let mut one = Client::subscribed(gateway.addr(), transport, "/prices/ACME");
        let mut all = Client::subscribed(gateway.addr(), transport, "/prices/*");
        writer.put(&topic, "ACME", r#"{"bid":12.50,"name":"Zoë Ωmega 日本 🚀"}"#);
        let event = ("/prices/ACME".to_owned(), json!({ "bid": 12.5, "name": "Zoë Ωmega 日本 🚀" }));
        assert_eq!(one.expect_event(), event, "{transport:?}");
        assert_eq!(all.expect_event(), event, "{transport:?}");
        writer.put(&topic, "OTHER", "[1]");
        assert_eq!(all.expect_event(), ("/prices/OTHER".to_owned(), json!([1])));
        one.expect_silence(QUIET);
        writer.send(&topic, Some(b"ACME"), None);
        assert_eq!(one.expect_event(), ("/prices/ACME".to_owned(), json!(null)), "a tombstone is null");
        assert_eq!(one.unsubscribe("/prices/ACME")["successful"], true);
        writer.put(&topic, "ACME", "2");
        one.expect_silence(QUIET);
    }
}

#[test]
fn a_value_passes_byte_for_byte() {
    let kafka = Kafka::shared();
    let topic = unique("exact");
    kafka.create_topic(&topic, 1);
    let gateway = Gateway::start(kafka, &keyed(&topic));
    let writer = Writer::new(kafka);
    let value = r#"{ "big": 12345678901234567890123, "money": 1.10, "e": 1E+2, "dup": 1, "dup": 2, "s": "\u00e9\/" }"#;
    for transport in BOTH {
        let mut client = Client::subscribed(gateway.addr(), transport, "/prices/x");
        writer.put(&topic, "x", value);
        let mut seen = None;
        let until = std::time::Instant::now() + Duration::from_secs(20);
        client
            .receive(until, |(channel, data)| {
                seen = Some((channel.to_vec(), data.to_vec()));
                std::ops::ControlFlow::Break(())
            })
            .expect("a delivery comes");
        let (channel, data) = seen.unwrap();
        assert_eq!(String::from_utf8(channel).unwrap(), "/prices/x");
        assert_eq!(String::from_utf8(data).unwrap(), value);
    }
}

#[test]
fn keys_that_are_no_channel_segments_are_escaped() {
    let kafka = Kafka::shared();
    let topic = unique("keys");
    kafka.create_topic(&topic, 1);
    let gateway = Gateway::start(kafka, &keyed(&topic));
    let writer = Writer::new(kafka);
    let mut client = Client::subscribed(gateway.addr(), BOTH[0], "/prices/*");
    for (key, channel) in
        [("a/b", "/prices/a~2Fb"), ("50%", "/prices/50~25"), ("~", "/prices/~7E"), ("é.1", "/prices/é.1")]
    {
        writer.put(&topic, key, "1");
        assert_eq!(client.expect_event().0, channel);
        let mut narrow = Client::subscribed(gateway.addr(), BOTH[1], channel);
        writer.put(&topic, key, "2");
        assert_eq!(narrow.expect_event(), (channel.to_owned(), json!(2)));
        assert_eq!(client.expect_event().1, json!(2));
    }
}

#[test]
fn a_session_gets_one_copy_however_many_subscriptions_match() {
    let kafka = Kafka::shared();
    let topic = unique("once");
    kafka.create_topic(&topic, 2);
    let gateway = Gateway::start(kafka, &keyed(&topic));
    let writer = Writer::new(kafka);
    for transport in BOTH {
        let mut client = Client::open(gateway.addr(), transport);
        for subscription in ["/prices/*", "/prices/A", "/prices/**", "/**"] {
            assert_eq!(client.subscribe(subscription)["successful"], true, "{subscription}");
        }
        writer.put(&topic, "A", "7");
        assert_eq!(client.expect_event(), ("/prices/A".to_owned(), json!(7)));
        client.expect_silence(QUIET);
    }
}

#[test]
fn every_record_after_the_reply_to_a_subscribe_is_delivered() {
    let kafka = Kafka::shared();
    let topic = unique("seam");
    kafka.create_topic(&topic, 4);
    let gateway = Gateway::start(kafka, &keyed(&topic));
    let writer = Writer::new(kafka);
    for round in 0..20 {
        // Each round a session of its own on a channel that nobody reads: what is written right after the reply must come.
        let key = format!("k{round}");
        let mut client = Client::subscribed(gateway.addr(), BOTH[round % 2], &format!("/prices/{key}"));
        writer.send(&topic, Some(key.as_bytes()), Some(b"1"));
        writer.send(&topic, Some(key.as_bytes()), Some(b"2"));
        assert_eq!(client.expect_event().1, json!(1));
        assert_eq!(client.expect_event().1, json!(2));
        client.disconnect();
    }
}

#[test]
fn topics_and_partitions_that_appear_later_are_read_from_their_start() {
    let kafka = Kafka::shared();
    let (literal, family) = (unique("later"), unique("family"));
    let routes = format!(
        r#"
routes:
  - name: later
    channel: "/later/{{key}}"
    topic: {literal}
    key: "{{key}}"
  - name: family
    channel: "/family/{{member}}/{{key}}"
    topic: "{family}.{{member}}"
    key: "{{key}}"
"#
    );
    let gateway = Gateway::start(kafka, &routes);
    let mut later = Client::subscribed(gateway.addr(), BOTH[0], "/later/*");
    let mut members = Client::subscribed(gateway.addr(), BOTH[1], "/family/**");
    let writer = Writer::new(kafka);

    kafka.create_topic(&literal, 1);
    writer.put(&literal, "a", "1");
    assert_eq!(later.expect_event(), ("/later/a".to_owned(), json!(1)));
    kafka.add_partitions(&literal, 3);
    let wider = Writer::new(kafka);
    wider.send_record(&literal, Some(2), Some(b"b"), Some(b"2"), &[]);
    wider.flush();
    assert_eq!(later.expect_event(), ("/later/b".to_owned(), json!(2)));

    kafka.create_topic(&format!("{family}.eu"), 2);
    writer.put(&format!("{family}.eu"), "k", "3");
    assert_eq!(members.expect_event(), ("/family/eu/k".to_owned(), json!(3)));
}

#[test]
fn a_topic_deleted_and_created_again_is_read_from_its_new_start() {
    let kafka = Kafka::shared();
    let topic = unique("recreated");
    kafka.create_topic(&topic, 1);
    let gateway = Gateway::start(kafka, &keyed(&topic));
    let mut client = Client::subscribed(gateway.addr(), BOTH[0], "/prices/*");
    let writer = Writer::new(kafka);
    for n in 0..5 {
        writer.put(&topic, "k", &n.to_string());
        assert_eq!(client.expect_event().1, json!(n));
    }
    kafka.delete_topic(&topic);
    kafka.create_topic(&topic, 1);
    let writer = Writer::new(kafka);
    for n in 10..20 {
        writer.put(&topic, "k", &n.to_string());
        assert_eq!(client.expect_event().1, json!(n), "read from offset 0 of the new topic");
    }
}

#[test]
fn what_no_route_can_give_is_refused() {
    let kafka = Kafka::shared();
    let topic = unique("refused");
    kafka.create_topic(&topic, 1);
    let gateway = Gateway::start(kafka, &keyed(&topic));
    let mut client = Client::open(gateway.addr(), BOTH[0]);
    for subscription in ["/unknown", "/unknown/*", "/prices", "/prices/a/b"] {
        let reply = client.subscribe(subscription);
        assert_eq!(reply["successful"], false, "{reply}");
        assert_eq!(reply["error"], format!("404:{subscription}:unknown_channel"));
        assert_eq!(reply["subscription"], subscription);
    }
    assert_eq!(client.subscribe("/service/**")["successful"], true);
}
