//! Topics that come, and topics that get more partitions.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use serde_json::json;

use super::numbers::{clients, expect_all, narrow_route, put, route, take};
use crate::support::bayeux::{BOTH, Client};
use crate::support::gateway::Gateway;
use crate::support::kafka::Kafka;
use crate::support::records::{Writer, read_all};
use crate::support::{eventually, unique};

#[test]
fn a_topic_created_after_the_subscription_is_read_from_its_first_record() {
    let kafka = Kafka::shared();
    let topic = unique("later");
    let gateway = Gateway::start(kafka, &route(&topic));
    let mut clients = clients(&gateway, "/n/*");
    kafka.create_topic(&topic, 1);
    put(&Writer::new(kafka), &topic, "k", 0..100);
    expect_all(&mut clients, "/n/k", 0..100);
}

#[test]
fn nothing_is_lost_of_single_keys_that_move_when_partitions_are_added() {
    const KEYS: usize = 12;
    let kafka = Kafka::shared();
    let topic = unique("grows");
    kafka.create_topic(&topic, 2);
    let gateway = Gateway::start(kafka, &narrow_route(&topic));
    let mut listeners: Vec<Client> = (0..KEYS)
        .map(|key| Client::subscribed(gateway.addr(), BOTH[key % 2], &format!("/n/k{key}")))
        .collect();
    // A producer that places keys as the Java client does, and learns of partitions in its own time.
    let mut config = kafka.config();
    config.set("partitioner", "murmur2_random").set("enable.idempotence", "true");
    let producer: ThreadedProducer<DefaultProducerContext> = config.create().expect("a producer");
    let stop = AtomicBool::new(false);
    let written = std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let mut next = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                for key in 0..KEYS {
                    let (key, value) = (format!("k{key}"), next.to_string());
                    producer
                        .send(BaseRecord::to(&topic).key(&key).payload(&value))
                        .expect("room in the queue");
                }
                next += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
            producer.flush(Duration::from_secs(20)).expect("Kafka takes the records");
            next
        });
        eventually(Duration::from_secs(20), "records are read", || {
            gateway.metric("halley_records_read_total", &[]) > 50.0
        });
        kafka.add_partitions(&topic, 7);
        eventually(Duration::from_secs(20), "keys have moved, and their new partitions are read", || {
            gateway.metric("halley_partitions", &[]) > 6.5
                && read_all(kafka, &topic).iter().filter(|seen| seen.partition > 1).count() > 100
        });
        stop.store(true, Ordering::Relaxed);
        writing.join().expect("the producer ends")
    });
    for (key, client) in listeners.iter_mut().enumerate() {
        let mut taken = take(client, usize::try_from(written).expect("few"));
        let numbers = taken.get_mut(&format!("/n/k{key}")).expect("records of its key");
        // Between partitions there is no order.
        numbers.sort_unstable();
        assert!(numbers.iter().copied().eq(0..written), "k{key}: each once of {written}: {numbers:?}");
    }
    for client in &mut listeners {
        client.expect_silence(super::numbers::QUIET);
    }
}

#[test]
fn publishes_go_on_while_their_topic_gets_more_partitions() {
    let kafka = Kafka::shared();
    let topic = unique("wider");
    kafka.create_topic(&topic, 1);
    let gateway = Gateway::start(kafka, &narrow_route(&topic));
    let mut listener = Client::subscribed(gateway.addr(), BOTH[0], "/n/*");
    let mut publisher = Client::open(gateway.addr(), BOTH[0]);
    let until = Instant::now() + Duration::from_secs(30);
    let (mut sent, mut grown) = (0_u64, false);
    // Until keys go to the new partitions, and for a while on.
    let mut wide_since = None;
    while wide_since.is_none_or(|since| sent < since + 200) {
        assert!(Instant::now() < until, "keys go to the new partitions");
        let channel = format!("/n/k{}", sent % 50);
        let reply = publisher.publish(&channel, &json!(sent));
        assert_eq!(reply["successful"], true, "publish {sent}: {reply}");
        sent += 1;
        if !grown {
            kafka.add_partitions(&topic, 40);
            grown = true;
        }
        if wide_since.is_none() && gateway.metric("halley_partitions", &[]) > 39.5 {
            wide_since = Some(sent);
        }
    }
    let mut numbers: Vec<u64> =
        take(&mut listener, usize::try_from(sent).expect("few")).into_values().flatten().collect();
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(0..sent), "each of {sent} once: {numbers:?}");
    let by_partition = read_all(kafka, &topic).iter().fold(HashMap::new(), |mut counts, seen| {
        *counts.entry(seen.partition).or_insert(0) += 1;
        counts
    });
    assert!(by_partition.len() > 20, "keys have moved: {by_partition:?}");
}
