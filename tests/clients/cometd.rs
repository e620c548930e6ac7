//! npm `cometd` in Node: the library that most pages use.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use serde_json::{Value, json};

use crate::support::driver::Driver;
use crate::support::gateway::Gateway;
use crate::support::kafka::Kafka;
use crate::support::records::{Writer, read_all};
use crate::support::unique;

fn routes(topic: &str) -> String {
    format!(
        r#"
routes:
  - name: orders
    channel: "/orders/{{region}}/{{id}}"
    topic: "{topic}.{{region}}"
    key: "{{id}}"
    publish: {{ headers: {{ source: web }} }}
"#
    )
}

fn cometd(transport: &str) {
    let kafka = Kafka::shared();
    let family = unique("orders");
    let topic = format!("{family}.eu");
    kafka.create_topic(&topic, 3);
    let gateway = Gateway::start(kafka, &routes(&family));
    let mut node = Driver::node("cometd.mjs", &["cometd", &gateway.url(), transport]);

    let handshake = node.expect("handshake", |_| true);
    assert_eq!(handshake["successful"], true, "{handshake}");
    node.tell(&json!({ "do": "subscribe", "channel": "/orders/eu/*" }));
    let subscribed = node.expect("subscribe", |_| true);
    assert_eq!(
        (&subscribed["successful"], &subscribed["subscription"]),
        (&json!(true), &json!("/orders/eu/*"))
    );

    // From a plain producer to the page.
    let writer = Writer::new(kafka);
    writer.put(&topic, "42", r#"{"text":"Grüße, 世界 🚀","price":12.50}"#);
    let message = node.expect("message", |_| true);
    assert_eq!(message["channel"], "/orders/eu/42");
    assert_eq!(message["data"], json!({ "text": "Grüße, 世界 🚀", "price": 12.5 }));

    // From the page to a plain consumer, and back to the page.
    let data = json!({ "text": "¡Olé! ß 日本 \u{1f600}", "n": 7 });
    node.tell(&json!({ "do": "publish", "channel": "/orders/eu/43", "data": data }));
    let reply = node.expect("publish", |_| true);
    assert_eq!(reply["successful"], true, "{reply}");
    let seen = read_all(kafka, &topic);
    let record = seen.iter().find(|s| s.key_text() == "43").expect("the published record is in Kafka");
    assert_eq!(serde_json::from_str::<Value>(record.value_text()).unwrap(), data);
    assert_eq!(record.header("source"), Some("web"));
    let echo = node.expect("message", |message| message["channel"] == "/orders/eu/43");
    assert_eq!(echo["data"], data);

    // Refusals reach the application as such.
    node.tell(&json!({ "do": "publish", "channel": "/nowhere", "data": 1 }));
    let refused = node.expect("publish", |_| true);
    assert_eq!(
        (&refused["successful"], &refused["error"]),
        (&json!(false), &json!("404:/nowhere:unknown_channel"))
    );
    node.tell(&json!({ "do": "subscribe", "channel": "/nowhere" }));
    assert_eq!(node.expect("subscribe", |_| true)["successful"], false);

    // Many, while polls come and go.
    for n in 0..500 {
        writer.send(&topic, Some(b"many"), Some(n.to_string().as_bytes()));
    }
    for n in 0..500 {
        let message = node.expect("message", |_| true);
        assert_eq!((&message["channel"], &message["data"]), (&json!("/orders/eu/many"), &json!(n)));
    }

    node.tell(&json!({ "do": "unsubscribe", "channel": "/orders/eu/*" }));
    assert_eq!(node.expect("unsubscribe", |_| true)["successful"], true);
    node.tell(&json!({ "do": "disconnect" }));
    assert_eq!(node.expect("disconnect", |_| true)["successful"], true);
}

/// Answers the next request of a topic as any service would.
fn answer_next(requests: &BaseConsumer, replies: &Writer, value: &str) -> String {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        assert!(Instant::now() < end, "no request");
        let Some(Ok(request)) = requests.poll(Duration::from_millis(100)) else { continue };
        let header = |name: &str| {
            let headers = request.headers().expect("headers");
            let value = headers.iter().find(|header| header.key == name).and_then(|header| header.value);
            std::str::from_utf8(value.expect("a header")).expect("UTF-8").to_owned()
        };
        let (id, topic) = (header("correlation-id"), header("reply-to"));
        replies.send_record(&topic, None, None, Some(value.as_bytes()), &[("correlation-id", &id)]);
        replies.flush();
        return std::str::from_utf8(request.payload().expect("a value")).expect("UTF-8").to_owned();
    }
}

/// R27, W6: `remoteCall` of the library, unchanged.
#[test]
fn a_remote_call_is_answered_by_a_service_behind_kafka() {
    let kafka = Kafka::shared();
    let topic = unique("quotes");
    let replies = format!("{topic}-replies");
    kafka.create_topic(&topic, 1);
    kafka.create_topic(&replies, 2);
    let routes = format!(
        "routes: [{{ name: q, channel: /service/quote, topic: {topic}, publish: {{}}, reply: {{ topic: {replies}, timeout: 1s }} }}]"
    );
    let gateway = Gateway::start(kafka, &routes);
    let requests: BaseConsumer = kafka
        .config()
        .set("group.id", &topic)
        .set("auto.offset.reset", "earliest")
        .create()
        .expect("a consumer");
    requests.subscribe(&[&topic]).expect("a subscription");
    let writer = Writer::new(kafka);
    for transport in ["websocket", "long-polling"] {
        let mut node = Driver::node("cometd.mjs", &["cometd", &gateway.url(), transport]);
        node.expect("handshake", |m| m["successful"] == true);
        let call = |node: &mut Driver, target: &str, data: &Value| {
            node.tell(&json!({ "do": "call", "target": target, "data": data, "timeout": 10_000 }));
        };
        call(&mut node, "quote", &json!({ "symbol": "ACME" }));
        let asked = answer_next(&requests, &writer, r#"{"price":102.40,"name":"Zoë"}"#);
        assert_eq!(asked, r#"{"symbol":"ACME"}"#);
        let answer = node.expect("answer", |_| true);
        assert_eq!((&answer["channel"], &answer["successful"]), (&json!("/service/quote"), &json!(true)));
        assert_eq!(answer["data"], json!({ "price": 102.4, "name": "Zoë" }));
        // Nobody answers: the gateway says so before the client's own patience ends.
        call(&mut node, "/quote", &json!(1));
        let answer = node.expect("answer", |_| true);
        assert_eq!((&answer["successful"], &answer["data"]), (&json!(false), &Value::Null));
        assert_eq!(answer["error"], "504:/service/quote:reply_timeout");
        answer_next(&requests, &writer, "\"too late\"");
        // Nor does anybody know this one.
        call(&mut node, "/nothing", &json!(1));
        let answer = node.expect("answer", |_| true);
        assert_eq!(answer["error"], "404:/service/nothing:unknown_channel");
        // And after all that it works still.
        call(&mut node, "quote", &json!(2));
        answer_next(&requests, &writer, "[2]");
        assert_eq!(node.expect("answer", |_| true)["data"], json!([2]));
    }
}

#[test]
fn cometd_over_websocket() {
    cometd("websocket");
}

#[test]
fn cometd_over_long_polling() {
    cometd("long-polling");
}
