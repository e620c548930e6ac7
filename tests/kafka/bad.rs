//! Records that are not what their route says.

use serde_json::json;

use crate::support::bayeux::{BOTH, Client};
use crate::support::gateway::Gateway;
use crate::support::kafka::Kafka;
use crate::support::records::Writer;
use crate::support::unique;

#[test]
fn a_bad_record_is_skipped_and_counted_and_the_next_one_comes() {
    let kafka = Kafka::shared();
    let topic = unique("bad");
    kafka.create_topic(&topic, 1);
    let routes = format!(
        r#"
routes:
  - name: sensors
    channel: "/sensors/{{id}}"
    topic: {topic}
    key: "{{id}}"
    key_format: long
"#
    );
    let gateway = Gateway::start(kafka, &routes);
    let writer = Writer::new(kafka);
    let mut clients: Vec<Client> = BOTH.map(|t| Client::subscribed(gateway.addr(), t, "/sensors/*")).into();
    let seven = 7_i64.to_be_bytes();
    let bad: [(Option<&[u8]>, &[u8]); 7] = [
        (Some(&seven), b"{not json"),
        (Some(&seven), b""),
        (Some(&seven), b"{\"utf8\":\"\xff\"}"),
        (Some(&seven), b"1 2"),
        (Some(b"seven"), b"1"),
        (Some(b""), b"1"),
        (None, b"1"),
    ];
    for (key, value) in bad {
        writer.send(&topic, key, Some(value));
        writer.send(&topic, Some(&seven), Some(b"\"good\""));
    }
    writer.flush();
    for client in &mut clients {
        for _ in bad {
            assert_eq!(client.expect_event(), ("/sensors/7".to_owned(), json!("good")));
        }
    }
    let skipped = gateway.metric("halley_records_skipped_total", &[]);
    assert!(
        (skipped - 7.0).abs() < 0.1,
        "each bad record is counted once, not {skipped}\n{}",
        gateway.metrics()
    );
    let log = gateway.log();
    assert!(log.contains(&topic), "the log names the topic of a bad record:\n{log}");
    assert!(log.lines().count() < 200, "the log of bad records is limited");
}
