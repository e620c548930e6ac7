//! Logs that lose records before Halley has read them: compaction, and deletion from the start.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use super::numbers::{QUIET, clients, expect, put, route};
use crate::support::gateway::Gateway;
use crate::support::kafka::Kafka;
use crate::support::records::Writer;
use crate::support::{eventually, unique};

/// Stops the gateway, and writes one record that answers the fetch which it had under way: what is written after that it can only
/// ask for when it goes on.
fn freeze(gateway: &Gateway, writer: &Writer, topic: &str, key: &str, n: u64) {
    gateway.process().signal("STOP");
    put(writer, topic, key, n..n + 1);
}

/// What partition 0 of a topic holds: key and value of each offset that is left.
fn left(kafka: &Kafka, topic: &str) -> BTreeMap<i64, (String, Option<u64>)> {
    let mut config = kafka.config();
    config.set("group.id", "plain").set("enable.auto.commit", "false").set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let mut at = TopicPartitionList::new();
    at.add_partition_offset(topic, 0, Offset::Beginning).expect("an offset");
    consumer.assign(&at).expect("the partition is assigned");
    let mut left = BTreeMap::new();
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        assert!(Instant::now() < until, "the end of {topic} is reached");
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
                let value = message.payload().map(|value| text(value).parse().expect("a number"));
                left.insert(message.offset(), (text(message.key().expect("a key")), value));
            }
            Some(Err(KafkaError::PartitionEOF(_))) => return left,
            _ => {}
        }
    }
}

#[test]
fn a_reader_behind_compaction_gets_what_is_left_and_the_last_value_of_every_key() {
    const KEYS: u64 = 20;
    let kafka = Kafka::shared();
    let topic = unique("compacted");
    kafka.create_topic_with(
        &topic,
        1,
        &[
            ("cleanup.policy", "compact"),
            ("min.cleanable.dirty.ratio", "0.001"),
            ("segment.ms", "100"),
            // Tombstones outlive this test.
            ("delete.retention.ms", "3600000"),
        ],
    );
    let gateway = Gateway::start(kafka, &route(&topic));
    let writer = Writer::new(kafka);
    let mut clients = clients(&gateway, "/n/*");
    put(&writer, &topic, "before", 0..3);
    for client in &mut clients {
        expect(client, "/n/before", 0..3);
    }
    freeze(&gateway, &writer, &topic, "before", 3);
    // Every key gets many values; keys 0 and 1 end as tombstones. All are overwritten but the last.
    for n in 0..1000 {
        writer.send(&topic, Some(format!("k{}", n % KEYS).as_bytes()), Some(n.to_string().as_bytes()));
    }
    writer.send(&topic, Some(b"k0"), None);
    writer.send(&topic, Some(b"k1"), None);
    writer.flush();
    // Each new record closes the segment before it, which may then be cleaned.
    let mut marks = 0;
    let mut rest = BTreeMap::new();
    eventually(Duration::from_mins(1), "the log is compacted", || {
        put(&writer, &topic, "mark", marks..marks + 1);
        marks += 1;
        std::thread::sleep(Duration::from_millis(200));
        rest = left(kafka, &topic);
        rest.len() < 100
    });
    gateway.process().signal("CONT");
    put(&writer, &topic, "end", 0..1);

    let last: HashMap<String, Option<u64>> = rest.values().cloned().collect();
    assert_eq!(last["k0"], None, "a tombstone is kept");
    for client in &mut clients {
        let mut seen: HashMap<String, Vec<Option<u64>>> = HashMap::new();
        loop {
            let (channel, data) = client.expect_event();
            let key = channel.strip_prefix("/n/").expect("the channel of a key").to_owned();
            if key == "end" {
                break;
            }
            seen.entry(key).or_default().push(data.as_u64());
        }
        client.expect_silence(QUIET);
        for (key, values) in &seen {
            let numbers: Vec<u64> = values.iter().flatten().copied().collect();
            assert!(numbers.is_sorted_by(|a, b| a < b), "each at most once, in order: {key}: {values:?}");
        }
        for (key, value) in last.iter().filter(|(key, _)| *key != "before") {
            assert_eq!(seen[key].last(), Some(value), "{:?}: the last value of {key}", client.transport);
        }
        let count: usize = seen.values().map(Vec::len).sum();
        assert!(count < 500, "the log was compacted before it was read: {count} events");
    }
}

#[test]
fn records_deleted_before_they_were_read_are_a_gap_that_is_told_and_the_rest_comes_once() {
    let kafka = Kafka::shared();
    let topic = unique("overtaken");
    kafka.create_topic(&topic, 1);
    let gateway = Gateway::start(kafka, &route(&topic));
    let writer = Writer::new(kafka);
    let mut clients = clients(&gateway, "/n/*");
    put(&writer, &topic, "k", 0..10);
    for client in &mut clients {
        expect(client, "/n/k", 0..10);
    }
    freeze(&gateway, &writer, &topic, "k", 10);
    put(&writer, &topic, "k", 11..300);
    let admin: AdminClient<DefaultClientContext> = kafka.config().create().expect("an admin client");
    let mut before = TopicPartitionList::new();
    before.add_partition_offset(&topic, 0, Offset::Offset(200)).expect("an offset");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(admin.delete_records(&before, &AdminOptions::new())).expect("Kafka deletes records");
    gateway.process().signal("CONT");

    for client in &mut clients {
        let mut numbers = Vec::new();
        while numbers.last() != Some(&299) {
            numbers.push(client.expect_event().1.as_u64().expect("a number"));
        }
        // The one that answered the last fetch, and all that are left.
        let kept = numbers.iter().position(|n| *n == 200).expect("the first that is left");
        assert!(numbers[kept..].iter().copied().eq(200..300), "{:?}: {numbers:?}", client.transport);
        let early = u32::try_from(kept).expect("few");
        assert!(
            numbers[..kept].iter().copied().eq(10..10 + u64::from(early)),
            "{:?}: {numbers:?}",
            client.transport
        );
        client.expect_silence(QUIET);
        let missed = gateway.metric("halley_records_missed_total", &[]);
        assert!((missed - f64::from(190 - early)).abs() < 0.1, "{missed} are counted of {}", 190 - early);
    }
    let log = gateway.log();
    let told = log.lines().find(|line| line.contains(&topic) && line.contains("Kafka no longer has"));
    assert!(told.is_some_and(|line| line.contains("to=200")), "the log tells the gap:\n{log}");
    // And it goes on as if nothing had been.
    put(&writer, &topic, "k", 300..310);
    super::numbers::expect_all(&mut clients, "/n/k", 300..310);
}
