//! npm `cometd` in Node: the library that most pages use.

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

#[test]
fn cometd_over_websocket() {
    cometd("websocket");
}

#[test]
fn cometd_over_long_polling() {
    cometd("long-polling");
}
