//! Large records, and publishes too large for their topic.

use std::time::Duration;

use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use serde_json::{Value, json};

use super::numbers::{QUIET, clients};
use crate::support::bayeux::{BOTH, Client};
use crate::support::gateway::Gateway;
use crate::support::kafka::Kafka;
use crate::support::records::read_all;
use crate::support::unique;

fn routes(topic: &str) -> String {
    format!("routes: [{{ name: n, channel: '/n/{{key}}', topic: {topic}, key: '{{key}}', publish: {{}} }}]")
}

/// A JSON string of `size` bytes that begins with a number.
fn text(n: usize, size: usize) -> String {
    let head = format!("{n:04}");
    format!("\"{head}{}\"", "x".repeat(size - head.len() - 2))
}

#[test]
fn records_of_a_megabyte_arrive_whole_and_once() {
    const MEGABYTE: usize = 1_000_000;
    let kafka = Kafka::shared();
    let topic = unique("large");
    kafka.create_topic(&topic, 1);
    let gateway = Gateway::start(kafka, &routes(&topic));
    let mut clients = clients(&gateway, "/n/*");
    let mut config = kafka.config();
    config.set("message.max.bytes", "1048000");
    let producer: ThreadedProducer<DefaultProducerContext> = config.create().expect("a producer");
    for n in 0..10 {
        let value = text(n, MEGABYTE);
        producer.send(BaseRecord::to(&topic).key("k").payload(&value)).expect("room in the queue");
        producer.flush(Duration::from_secs(20)).expect("Kafka takes it");
        for client in &mut clients {
            let (channel, data) = client.expect_event();
            assert_eq!(channel, "/n/k");
            let data = data.as_str().expect("a string");
            assert_eq!(
                (data.len() + 2, &data[..4]),
                (MEGABYTE, &*format!("{n:04}")),
                "{:?}",
                client.transport
            );
        }
    }
    for client in &mut clients {
        client.expect_silence(QUIET);
    }
}

#[test]
fn large_publishes_are_written_and_larger_ones_refused_without_harm() {
    let kafka = Kafka::shared();
    let (topic, small) = (unique("publish"), unique("small"));
    kafka.create_topic(&topic, 1);
    kafka.create_topic_with(&small, 1, &[("max.message.bytes", "10000")]);
    let both = format!(
        "routes:\n- {{ name: n, channel: '/n/{{key}}', topic: {topic}, key: '{{key}}', publish: {{}} }}\n\
         - {{ name: s, channel: '/s/{{key}}', topic: {small}, key: '{{key}}', publish: {{}} }}\n"
    );
    let gateway = Gateway::start(kafka, &both);
    // Between topics there is no order.
    let (mut of_large, mut of_small) = (clients(&gateway, "/n/*"), clients(&gateway, "/s/*"));
    for transport in BOTH {
        let mut client = Client::open(gateway.addr(), transport);
        // The largest that both `limits.body` and the producer's `message.max.bytes` let pass, as they come.
        let large: Value = serde_json::from_str(&text(1, 990_000)).expect("JSON");
        let reply = client.publish("/n/large", &large);
        assert_eq!(reply["successful"], true, "{transport:?}: {reply}");
        // Sent together, some too large for the producer, some for the topic: each has its own answer.
        let larger: Value = serde_json::from_str(&text(2, 1_005_000)).expect("JSON");
        let over_topic: Value = serde_json::from_str(&text(3, 20_000)).expect("JSON");
        let mut ids = Vec::new();
        for n in 0..10 {
            ids.push((client.send(&json!({ "channel": "/s/k", "data": n })).expect("sent"), None));
            let sent = client.send(&json!({ "channel": "/s/k", "data": over_topic })).expect("sent");
            ids.push((sent, Some("413:/s/k:too_large")));
        }
        ids.push((
            client.send(&json!({ "channel": "/n/k", "data": larger })).expect("sent"),
            Some("413:/n/k:too_large"),
        ));
        for (id, error) in ids {
            let reply = client.reply(&id, Duration::from_secs(20)).expect("an answer");
            assert_eq!(reply["successful"], error.is_none(), "{transport:?}: {reply}");
            assert_eq!(reply.get("error").and_then(Value::as_str), error, "{transport:?}");
        }
        for listener in &mut of_large {
            let (channel, data) = listener.expect_event();
            assert_eq!((channel.as_str(), data.as_str().map(str::len)), ("/n/large", Some(990_000 - 2)));
        }
        for listener in &mut of_small {
            for n in 0..10 {
                assert_eq!(listener.expect_event(), ("/s/k".to_owned(), json!(n)), "{transport:?}");
            }
        }
        for listener in of_large.iter_mut().chain(&mut of_small) {
            listener.expect_silence(QUIET);
        }
    }
    let values: Vec<String> =
        read_all(kafka, &small).iter().map(|seen| seen.value_text().to_owned()).collect();
    let expected: Vec<String> = (0..10).chain(0..10).map(|n| n.to_string()).collect();
    assert_eq!(values, expected, "what was refused is not in the log, the others are, in order");
}
