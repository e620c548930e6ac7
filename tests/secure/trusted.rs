//! The right authority and the right password.

use std::time::Duration;

use serde_json::json;

use crate::broker::{Login, MECHANISMS, PASSWORD, RIGHT, Secure};
use crate::support::bayeux::{BOTH, Client};
use crate::support::gateway::keyed;
use crate::support::records::{Writer, read_all};
use crate::support::unique;

const RECORDS: usize = 100;
const PUBLISHES: usize = 20;

/// Records come once and in order, publishes are in Kafka once and in order, over both transports.
fn both_ways(mechanism: &str) {
    let secure = Secure::shared();
    let topic = unique("numbers");
    secure.kafka().create_topic(&topic, 1);
    let gateway = secure.gateway(&keyed(&topic), &Login { mechanism, ..RIGHT });
    let mut clients = BOTH.map(|t| Client::subscribed(gateway.addr(), t, &format!("/{topic}/records")));

    let writer = Writer::new(secure.kafka());
    for n in 0..RECORDS {
        writer.send(&topic, Some(b"records"), Some(n.to_string().as_bytes()));
    }
    writer.flush();
    for client in &mut clients {
        for n in 0..RECORDS {
            assert_eq!(
                client.expect_event(),
                (format!("/{topic}/records"), json!(n)),
                "{:?}",
                client.transport
            );
        }
        client.expect_silence(Duration::from_millis(300));
    }

    for client in &mut clients {
        let channel = format!("/{topic}/{}", client.transport.name());
        for n in 0..PUBLISHES {
            let reply = client.publish(&channel, &json!(n));
            assert_eq!(reply["successful"], true, "{reply}");
        }
    }
    let kept = read_all(secure.kafka(), &topic);
    for client in &clients {
        let key = client.transport.name();
        let values: Vec<String> =
            kept.iter().filter(|r| r.key_text() == key).map(|r| r.value_text().to_owned()).collect();
        let sent: Vec<String> = (0..PUBLISHES).map(|n| n.to_string()).collect();
        assert_eq!(values, sent, "{key}");
    }
    assert_eq!(kept.len(), RECORDS + clients.len() * PUBLISHES);
    assert!(!gateway.log().contains(PASSWORD), "the password is in the log");
}

#[test]
fn records_and_publishes_pass_with_plain() {
    both_ways(MECHANISMS[0]);
}

#[test]
fn records_and_publishes_pass_with_scram_sha_256() {
    both_ways(MECHANISMS[1]);
}

#[test]
fn records_and_publishes_pass_with_scram_sha_512() {
    both_ways(MECHANISMS[2]);
}

#[test]
fn the_password_shows_in_no_log_however_much_is_logged() {
    let secure = Secure::shared();
    let topic = unique("debugged");
    secure.kafka().create_topic(&topic, 1);
    for mechanism in MECHANISMS {
        let gateway = secure.gateway(&keyed(&topic), &Login { mechanism, debug: true, ..RIGHT });
        let mut client = Client::subscribed(gateway.addr(), BOTH[0], &format!("/{topic}/*"));
        assert_eq!(client.publish(&format!("/{topic}/k"), &json!(1))["successful"], true);
        assert_eq!(client.expect_event(), (format!("/{topic}/k"), json!(1)));
        let log = gateway.log();
        let told = |what: &str| log.lines().any(|line| line.contains("librdkafka") && line.contains(what));
        assert!(told(mechanism) && told("[redacted]"), "the log has the details of librdkafka: {mechanism}");
        assert!(!log.contains(PASSWORD), "the password is in the log: {mechanism}");
    }
}
