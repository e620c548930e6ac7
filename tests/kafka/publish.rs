//! From a publish to a plain consumer.

use std::time::Duration;

use serde_json::json;

use crate::support::bayeux::{BOTH, Client, Transport};
use crate::support::gateway::Gateway;
use crate::support::http::Http;
use crate::support::kafka::Kafka;
use crate::support::records::{Writer, read_all};
use crate::support::{eventually, unique};

fn orders(topic: &str) -> String {
    format!(
        r#"
routes:
  - name: orders
    channel: "/orders/{{region}}/{{id}}"
    topic: "{topic}.{{region}}"
    key: "{{id}}"
    match: {{ region: "[a-z]{{2}}" }}
    publish: {{ headers: {{ origin: "web-{{region}}", order: "{{id}}" }} }}
  - name: closed
    channel: "/closed/{{id}}"
    topic: {topic}.eu
    key: "{{id}}"
  - name: numbers
    channel: "/numbers/{{n}}"
    topic: {topic}.eu
    key: "{{n}}"
    key_format: int
    publish:
"#
    )
}

#[test]
fn a_publish_is_a_record_with_key_value_and_headers() {
    let kafka = Kafka::shared();
    let topic = unique("orders");
    kafka.create_topic(&format!("{topic}.eu"), 4);
    let gateway = Gateway::start(kafka, &orders(&topic));
    for (n, transport) in BOTH.into_iter().enumerate() {
        let mut client = Client::open(gateway.addr(), transport);
        let reply = client.publish(&format!("/orders/eu/4{n}"), &json!({ "text": "Grüße 日本 🚀", "n": n }));
        assert_eq!(reply["successful"], true, "{reply}");
        assert_eq!(reply.get("data"), None, "a reply has no data");
        // Acknowledged means: it is there already.
        let seen = read_all(kafka, &format!("{topic}.eu"));
        let record = seen.iter().find(|s| s.key_text() == format!("4{n}")).expect("the record is in Kafka");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(record.value_text()).unwrap(),
            json!({ "text": "Grüße 日本 🚀", "n": n })
        );
        assert_eq!(record.header("origin"), Some("web-eu"));
        assert_eq!(record.header("order"), Some(&*format!("4{n}")));
    }
}

#[test]
fn data_is_written_byte_for_byte_to_the_partition_that_java_would_choose() {
    let kafka = Kafka::shared();
    let topic = unique("exactly");
    kafka.create_topic(&format!("{topic}.eu"), 7);
    let gateway = Gateway::start(kafka, &orders(&topic));
    let mut http = Http::connect(gateway.addr());
    let handshake = http
        .post(
            "/cometd",
            br#"{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["long-polling"]}"#,
        )
        .unwrap()
        .json();
    let client_id = handshake[0]["clientId"].as_str().unwrap().to_owned();
    let data = r#"{ "money": 1.10, "big": 12345678901234567890123, "e": 1E+2, "s": "\u00e9" }"#;
    let body =
        format!(r#"[{{"channel":"/orders/eu/x~2Fy","clientId":"{client_id}","id":"1","data":{data}}}]"#);
    let reply = http.post("/cometd/", body.as_bytes()).unwrap().json();
    assert_eq!(reply[0]["successful"], true, "{reply}");
    let seen = read_all(kafka, &format!("{topic}.eu"));
    assert_eq!((seen[0].key_text(), seen[0].value_text()), ("x/y", data));

    // murmur2 as Kafka's own clients compute it: a plain producer told to use it puts the same key in the same partition.
    let mut config = kafka.config();
    config.set("partitioner", "murmur2_random");
    let producer: rdkafka::producer::ThreadedProducer<rdkafka::producer::DefaultProducerContext> =
        config.create().unwrap();
    let eu = format!("{topic}.eu");
    let record: rdkafka::producer::BaseRecord<'_, str, str> =
        rdkafka::producer::BaseRecord::to(&eu).key("x/y").payload("{}");
    assert!(producer.send(record).is_ok());
    rdkafka::producer::Producer::flush(&producer, Duration::from_secs(20)).unwrap();
    let seen = read_all(kafka, &format!("{topic}.eu"));
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].partition, seen[1].partition);
}

/// R63: by way of the log.
#[test]
fn a_publish_reaches_the_subscribers_through_kafka() {
    let kafka = Kafka::shared();
    let topic = unique("loop");
    kafka.create_topic(&format!("{topic}.eu"), 3);
    let gateway = Gateway::start(kafka, &orders(&topic));
    for transport in BOTH {
        let mut reader = Client::subscribed(gateway.addr(), transport, "/orders/eu/*");
        let mut both = Client::subscribed(gateway.addr(), transport, "/orders/eu/9");
        assert_eq!(both.publish("/orders/eu/9", &json!("hello"))["successful"], true);
        assert_eq!(reader.expect_event(), ("/orders/eu/9".to_owned(), json!("hello")));
        assert_eq!(both.expect_event(), ("/orders/eu/9".to_owned(), json!("hello")));
    }
}

#[test]
fn publishes_of_a_session_and_channel_are_in_the_log_in_their_order() {
    const COUNT: usize = 500;
    let kafka = Kafka::shared();
    let topic = unique("ordered");
    kafka.create_topic(&format!("{topic}.eu"), 3);
    let gateway = Gateway::start(kafka, &orders(&topic));
    let mut client = Client::open(gateway.addr(), Transport::WebSocket);
    // Pipelined, within the bound on what a session may have in flight.
    let mut sent: std::collections::VecDeque<String> = std::collections::VecDeque::new();
    for n in 0..COUNT {
        if sent.len() == 200 {
            let reply = client.reply(&sent.pop_front().unwrap(), Duration::from_secs(20)).unwrap();
            assert_eq!(reply["successful"], true, "{reply}");
        }
        sent.push_back(client.send(&json!({ "channel": "/orders/eu/1", "data": n })).unwrap());
    }
    for id in sent {
        let reply = client.reply(&id, Duration::from_secs(20)).unwrap();
        assert_eq!(reply["successful"], true, "{reply}");
    }
    let values: Vec<usize> =
        read_all(kafka, &format!("{topic}.eu")).iter().map(|s| s.value_text().parse().unwrap()).collect();
    assert_eq!(values, (0..COUNT).collect::<Vec<_>>());
}

/// W10: and both are answered.
#[test]
fn the_same_publish_sent_again_while_it_is_pending_is_one_record() {
    let kafka = Kafka::start();
    let topic = "twins";
    kafka.create_topic("twins.eu", 1);
    let gateway = Gateway::start(&kafka, &orders(topic));
    let mut client = Client::open(gateway.addr(), Transport::WebSocket);
    assert_eq!(client.publish("/orders/eu/0", &json!("warm"))["successful"], true);
    kafka.freeze();
    let id = client.send(&json!({ "channel": "/orders/eu/1", "data": "once" })).unwrap();
    client.resend(&json!({ "channel": "/orders/eu/1", "data": "once" }), &id).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    kafka.thaw();
    for _ in 0..2 {
        let reply = client.reply(&id, Duration::from_secs(20)).unwrap();
        assert_eq!(reply["successful"], true, "{reply}");
    }
    assert_eq!(read_all(&kafka, "twins.eu").len(), 2, "the first, and one of the twins");
}

#[test]
fn what_cannot_be_published_is_refused_with_its_reason() {
    let kafka = Kafka::shared();
    let topic = unique("denied");
    kafka.create_topic(&format!("{topic}.eu"), 1);
    let gateway = Gateway::start(kafka, &orders(&topic));
    for transport in BOTH {
        let mut client = Client::open(gateway.addr(), transport);
        for (channel, code) in [
            ("/nowhere", "404:/nowhere:unknown_channel"),
            ("/orders/eu/a/b", "404:/orders/eu/a/b:unknown_channel"),
            ("/orders/EU/1", "404:/orders/EU/1:unknown_channel"),
            ("/closed/1", "403:/closed/1:"),
            // No key is written like that: the canonical form is a~2Fb.
            ("/orders/eu/a~2fb", "404:/orders/eu/a~2fb:unknown_channel"),
            // Its record would be on /numbers/7.
            ("/numbers/07", "400:/numbers/07:"),
            ("/numbers/x", "400:/numbers/x:"),
            ("/orders/zz/1", "404:/orders/zz/1:unknown_topic"),
            ("/orders/eu/*", "405::channel_invalid"),
        ] {
            let reply = client.publish(channel, &json!(1));
            assert_eq!(reply["successful"], false, "{reply}");
            assert!(reply["error"].as_str().unwrap().starts_with(code), "{channel}: {reply}");
            assert_eq!(reply.get("advice"), None, "no advice on the reply to a publish: {reply}");
        }
        // Nothing of it has disturbed the session.
        assert_eq!(client.publish("/orders/eu/1", &json!(1))["successful"], true);
    }
    assert_eq!(read_all(kafka, &format!("{topic}.eu")).len(), 2);
}

#[test]
fn past_the_bound_in_flight_a_publish_is_busy() {
    let kafka = Kafka::start();
    kafka.create_topic("busy.eu", 1);
    let gateway = Gateway::with(&crate::support::gateway::Setup {
        kafka: kafka.bootstrap(),
        routes: &orders("busy"),
        settings: "publish: { in_flight_per_session: 10 }",
    });
    let mut client = Client::open(gateway.addr(), Transport::WebSocket);
    assert_eq!(client.publish("/orders/eu/0", &json!("warm"))["successful"], true);
    kafka.freeze();
    let ids: Vec<String> =
        (0..15).map(|n| client.send(&json!({ "channel": "/orders/eu/1", "data": n })).unwrap()).collect();
    for id in &ids[10..] {
        let reply = client.reply(id, Duration::from_secs(5)).expect("busy is answered at once");
        assert_eq!(reply["error"], "503:/orders/eu/1:busy", "{reply}");
    }
    kafka.thaw();
    for id in &ids[..10] {
        let reply = client.reply(id, Duration::from_secs(20)).unwrap();
        assert_eq!(reply["successful"], true, "{reply}");
    }
    eventually(Duration::from_secs(5), "the bound is free again", || {
        client.publish("/orders/eu/1", &json!("again"))["successful"] == true
    });
}

#[test]
fn plain_records_and_publishes_travel_together() {
    let kafka = Kafka::shared();
    let topic = unique("mixed");
    kafka.create_topic(&format!("{topic}.eu"), 1);
    let gateway = Gateway::start(kafka, &orders(&topic));
    let mut client = Client::subscribed(gateway.addr(), Transport::WebSocket, "/orders/eu/*");
    let writer = Writer::new(kafka);
    for n in 0..50 {
        if n % 2 == 0 {
            writer.put(&format!("{topic}.eu"), "k", &n.to_string());
        } else {
            assert_eq!(client.publish("/orders/eu/k", &json!(n))["successful"], true);
        }
    }
    for n in 0..50 {
        assert_eq!(client.expect_event(), ("/orders/eu/k".to_owned(), json!(n)));
    }
}
