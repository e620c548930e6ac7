//! npm `cometd` with its extensions, all at once.

use serde_json::{Value, json};

use crate::support::driver::Driver;
use crate::support::gateway::Gateway;
use crate::support::http::PATIENCE;
use crate::support::kafka::{Kafka, free_port};
use crate::support::records::{Writer, read_all};
use crate::support::toxiproxy::{Toxic, Toxiproxy};
use crate::support::{eventually, unique};

const ALL: [&str; 4] = ["ack", "timesync", "timestamp", "binary"];

fn extended(transport: &str) {
    let kafka = Kafka::shared();
    let topic = unique("extended");
    kafka.create_topic(&topic, 1);
    kafka.create_topic(&format!("{topic}.raw"), 1);
    let routes = format!(
        r#"
routes:
  - {{ name: texts, channel: "/texts/{{x}}", topic: {topic}, key: "{{x}}", publish: }}
  - {{ name: bytes, channel: "/bytes/{{x}}", topic: {topic}.raw, key: "{{x}}", value_format: bytes, publish: }}
"#
    );
    let gateway = Gateway::start(kafka, &routes);
    let front = free_port();
    let proxy = Toxiproxy::start(&[(front, gateway.addr().port())]);
    let url = format!("http://127.0.0.1:{front}/cometd");
    let mut node = Driver::node("cometd.mjs", &[&["cometd", &*url, transport], &ALL[..]].concat());
    let handshake = node.expect("handshake", |_| true);
    assert_eq!(handshake["ext"]["ack"], true, "{handshake}");
    assert!(handshake["ext"]["timesync"]["ts"].is_i64());
    for channel in ["/texts/*", "/bytes/*"] {
        node.tell(&json!({ "do": "subscribe", "channel": channel }));
        node.expect("subscribe", |reply| reply["successful"] == true);
    }
    assert_eq!(node.expect("connect", |_| true)["ext"]["ack"], 1);

    // To itself, with a time stamp that goes no further; then bytes, by way of Kafka.
    node.tell(&json!({ "do": "publish", "channel": "/texts/a", "data": "é" }));
    node.expect("publish", |reply| reply["successful"] == true);
    assert_eq!(node.expect("message", |_| true)["data"], "é");
    let bytes: Vec<u8> = (0..=255).chain([0, 0, 1]).collect();
    for (channel, topic) in [("/bytes/b", format!("{topic}.raw")), ("/texts/b", topic.clone())] {
        node.tell(
            &json!({ "do": "publishBinary", "channel": channel, "data": bytes, "meta": { "name": "x" } }),
        );
        node.expect("publish", |reply| reply["successful"] == true);
        let message = node.expect("message", |_| true);
        let expected = json!({ "bytes": bytes, "last": true, "meta": { "name": "x" } });
        assert_eq!((&message["channel"], &message["data"]), (&json!(channel), &expected));
        let record = read_all(kafka, &topic).pop().unwrap();
        assert_eq!(record.value.unwrap() == bytes, channel == "/bytes/b");
    }
    node.tell(&json!({ "do": "clock" }));
    let clock = node.expect("clock", |_| true);
    assert!(clock["offset"].as_i64().is_some_and(|offset| offset.abs() < 2_000), "one clock: {clock}");

    // What the gateway has sent, and a broken network has swallowed, comes again, and nothing twice.
    let writer = Writer::new(kafka);
    for n in 0..4 {
        proxy.spoil_all(Toxic::Silence);
        let sent = gateway.metric("halley_deliveries_total", &[]);
        writer.put(&topic, "lost", &(2 * n).to_string());
        eventually(PATIENCE, "the gateway sends it", || {
            gateway.metric("halley_deliveries_total", &[]) > sent
        });
        proxy.heal();
        proxy.spoil_all(Toxic::Reset);
        writer.put(&topic, "lost", &(2 * n + 1).to_string());
        node.expect("connect", |reply| reply["successful"] == false);
        proxy.heal();
        for expected in [2 * n, 2 * n + 1] {
            assert_eq!(node.expect("message", |_| true)["data"], expected);
        }
    }
    node.never("message", |_: &Value| true);
    node.never("handshake", |_: &Value| true);
    node.tell(&json!({ "do": "disconnect" }));
    assert_eq!(node.expect("disconnect", |_| true)["successful"], true);
}

/// B80, B83, B90: acknowledged over a network that loses things, clocks compared, bytes both ways.
#[test]
fn cometd_with_extensions_over_websocket() {
    extended("websocket");
}

/// B77, B80, B90: the same.
#[test]
fn cometd_with_extensions_over_long_polling() {
    extended("long-polling");
}
