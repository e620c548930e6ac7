//! A topic that is deleted and created again while clients listen.

use std::time::Duration;

use super::numbers::{clients, expect, expect_all, put, route};
use crate::support::gateway::Gateway;
use crate::support::kafka::Kafka;
use crate::support::records::Writer;
use crate::support::{eventually, unique};

/// Reads `old` records of a topic, has it created again with `new` ones while the gateway stands still, so that it meets the new
/// log at its full length, and sees that each of these comes once.
fn created_again(kafka: &Kafka, gateway: &Gateway, topic: &str, old: u64, new: u64) {
    let mut clients = clients(gateway, "/n/*");
    put(&Writer::new(kafka), topic, "old", 0..old);
    for client in &mut clients {
        expect(client, "/n/old", 0..old);
    }
    gateway.process().signal("STOP");
    kafka.delete_topic(topic);
    kafka.create_topic(topic, 1);
    put(&Writer::new(kafka), topic, "new", 0..new);
    gateway.process().signal("CONT");
    expect_all(&mut clients, "/n/new", 0..new);
    put(&Writer::new(kafka), topic, "new", new..new + 10);
    expect_all(&mut clients, "/n/new", new..new + 10);
}

#[test]
fn a_topic_created_again_with_a_longer_log_is_read_from_its_start_alone() {
    let kafka = Kafka::shared();
    for (old, new) in [(5, 500), (100, 101), (50, 50), (70, 20)] {
        let topic = unique("again");
        kafka.create_topic(&topic, 1);
        let gateway = Gateway::start(kafka, &route(&topic));
        created_again(kafka, &gateway, &topic, old, new);
    }
}

#[test]
fn a_topic_created_again_with_an_older_leader_epoch_is_read_from_its_start_alone() {
    let mut kafka = Kafka::start();
    kafka.create_topic("again", 1);
    // Each restart of the broker is another election of leaders.
    for _ in 0..3 {
        kafka.kill();
        kafka.launch();
    }
    let gateway = Gateway::start(&kafka, &route("again"));
    created_again(&kafka, &gateway, "again", 20, 200);
}

#[test]
fn a_topic_created_again_more_than_once_is_read_from_each_start() {
    let kafka = Kafka::shared();
    let topic = unique("again");
    kafka.create_topic(&topic, 1);
    let gateway = Gateway::start(kafka, &route(&topic));
    let mut clients = clients(&gateway, "/n/*");
    for round in 0..4 {
        let writer = Writer::new(kafka);
        let key = format!("r{round}");
        put(&writer, &topic, &key, 0..10 * (round + 1));
        expect_all(&mut clients, &format!("/n/{key}"), 0..10 * (round + 1));
        kafka.delete_topic(&topic);
        kafka.create_topic(&topic, 1);
    }
    eventually(Duration::from_secs(20), "one partition is read", || {
        (gateway.metric("halley_partitions", &[]) - 1.0).abs() < 0.1
    });
}
