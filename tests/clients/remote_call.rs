//! Remote calls of CometD's clients, answered by a service that knows Kafka alone.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};

use super::java;
use crate::support::driver::Driver;
use crate::support::gateway::Gateway;
use crate::support::kafka::Kafka;
use crate::support::records::Writer;
use crate::support::unique;

/// A gateway with a route that asks, and the service behind it.
struct Rig {
    gateway: Gateway,
    requests: BaseConsumer,
    replies: Writer,
}

impl Rig {
    fn new() -> Self {
        let kafka = Kafka::shared();
        let topic = unique("quotes");
        let replies = format!("{topic}-replies");
        kafka.create_topic(&topic, 1);
        kafka.create_topic(&replies, 2);
        let routes = format!(
            "routes:
  - {{ name: quote, channel: /service/quote, topic: {topic}, publish: {{}}, reply: {{ topic: {replies} }} }}
  - {{ name: deaf, channel: /service/deaf, topic: {topic}, publish: {{}}, reply: {{ topic: {replies}, timeout: 500ms }} }}
"
        );
        let requests: BaseConsumer = kafka.config().set("group.id", &topic).create().expect("a consumer");
        let mut from = TopicPartitionList::new();
        from.add_partition_offset(&topic, 0, Offset::Beginning).expect("an offset");
        requests.assign(&from).expect("a partition is assigned");
        Self { gateway: Gateway::start(kafka, &routes), requests, replies: Writer::new(kafka) }
    }

    /// Answers the next request; what was asked.
    fn answer(&self, value: &str) -> Value {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            assert!(Instant::now() < end, "no request");
            let Some(Ok(request)) = self.requests.poll(Duration::from_millis(100)) else { continue };
            let header = |name: &str| {
                let headers = request.headers().expect("headers");
                let value = headers.iter().find(|header| header.key == name).and_then(|header| header.value);
                std::str::from_utf8(value.expect("a header")).expect("UTF-8").to_owned()
            };
            let (id, topic) = (header("correlation-id"), header("reply-to"));
            self.replies.send_record(&topic, None, None, Some(value.as_bytes()), &[("correlation-id", &id)]);
            self.replies.flush();
            return serde_json::from_slice(request.payload().expect("a value")).expect("JSON");
        }
    }

    fn converse(&self, mut client: Driver) {
        client.expect("handshake", |m| m["successful"] == true);
        let call = |client: &mut Driver, target: &str, data: &Value| {
            client.tell(&json!({ "do": "call", "target": target, "data": data, "timeout": 10_000 }));
        };
        call(&mut client, "/quote", &json!({ "symbol": "ACME" }));
        assert_eq!(self.answer(r#"{"price":102.40,"name":"Zoë"}"#), json!({ "symbol": "ACME" }));
        let answer = client.expect("answer", |_| true);
        assert_eq!((&answer["channel"], &answer["successful"]), (&json!("/service/quote"), &json!(true)));
        assert_eq!(answer["data"], json!({ "price": 102.4, "name": "Zoë" }));
        // Nobody answers: the gateway says so before the client's own patience ends.
        call(&mut client, "/deaf", &json!(1));
        let answer = client.expect("answer", |_| true);
        assert_eq!((&answer["successful"], &answer["data"]), (&json!(false), &Value::Null));
        assert_eq!(answer["error"], "504:/service/deaf:reply_timeout");
        self.answer("\"too late\"");
        // Nor does anybody know this one.
        call(&mut client, "/nothing", &json!(1));
        let answer = client.expect("answer", |_| true);
        assert_eq!(answer["error"], "404:/service/nothing:unknown_channel");
        // And after all that it works still.
        call(&mut client, "/quote", &json!(2));
        self.answer("[2]");
        assert_eq!(client.expect("answer", |_| true)["data"], json!([2]));
    }
}

/// R27, W6: `remoteCall` of the JavaScript library, unchanged.
#[test]
fn a_remote_call_of_a_page_is_answered_by_a_service_behind_kafka() {
    let rig = Rig::new();
    for transport in ["websocket", "long-polling"] {
        rig.converse(Driver::node("cometd.mjs", &["cometd", &rig.gateway.url(), transport]));
    }
}

/// R27, W6: `remoteCall` of the Java library, unchanged.
#[test]
fn a_remote_call_of_a_java_client_is_answered_by_a_service_behind_kafka() {
    let rig = Rig::new();
    for transport in ["websocket", "long-polling"] {
        for client in java::newest_and_oldest(&rig.gateway.url(), transport) {
            rig.converse(client);
        }
    }
}
