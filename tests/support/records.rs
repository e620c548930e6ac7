//! Plain Kafka clients: what any other producer and consumer of the cluster would do.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};

use super::eventually;
use super::kafka::Kafka;

/// A record as a plain consumer sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// A plain producer, idempotent, with a time-out longer than any outage of a test.
pub struct Writer(ThreadedProducer<DefaultProducerContext>);

// === impl Seen ===

impl Seen {
    pub fn key_text(&self) -> &str {
        std::str::from_utf8(self.key.as_deref().expect("a key")).expect("a key in UTF-8")
    }

    pub fn value_text(&self) -> &str {
        std::str::from_utf8(self.value.as_deref().expect("a value")).expect("a value in UTF-8")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let value = self.headers.iter().find(|(n, _)| n == name)?.1.as_deref()?;
        Some(std::str::from_utf8(value).expect("a header in UTF-8"))
    }
}

// === impl Writer ===

impl Writer {
    pub fn new(kafka: &Kafka) -> Self {
        let mut config = kafka.config();
        config
            .set("enable.idempotence", "true")
            .set("linger.ms", "2")
            .set("message.timeout.ms", "120000")
            .set("queue.buffering.max.messages", "1000000");
        Self(config.create().expect("a producer"))
    }

    /// Queues one record; a full queue is waited out.
    pub fn send(&self, topic: &str, key: Option<&[u8]>, value: Option<&[u8]>) {
        self.send_record(topic, None, key, value, &[]);
    }

    /// Queues one record for a partition, with headers.
    pub fn send_record(
        &self,
        topic: &str,
        partition: Option<i32>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, &str)],
    ) {
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic);
        record.key = key;
        record.payload = value;
        record.partition = partition;
        if !headers.is_empty() {
            record = record.headers(headers.iter().fold(OwnedHeaders::new(), |all, (key, value)| {
                all.insert(Header { key, value: Some(*value) })
            }));
        }
        loop {
            match self.0.send(record) {
                Ok(()) => return,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                    record = again;
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err((error, _)) => panic!("a record could not be queued: {error}"),
            }
        }
    }

    /// Waits until Kafka has acknowledged everything. (librdkafka's own flush looks only every 100 ms.)
    pub fn flush(&self) {
        eventually(Duration::from_mins(2), "Kafka acknowledges every record", || {
            self.0.in_flight_count() == 0
        });
    }

    /// Sends one record and waits for Kafka's acknowledgement.
    pub fn put(&self, topic: &str, key: &str, value: &str) {
        self.send(topic, Some(key.as_bytes()), Some(value.as_bytes()));
        self.flush();
    }
}

/// Everything that `topic` holds now, partition by partition.
pub fn read_all(kafka: &Kafka, topic: &str) -> Vec<Seen> {
    let limit = Duration::from_secs(20);
    let mut config = kafka.config();
    config.set("group.id", "plain").set("enable.auto.commit", "false").set("enable.partition.eof", "false");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let metadata = consumer.fetch_metadata(Some(topic), limit).expect("Kafka answers");
    let mut positions = TopicPartitionList::new();
    let mut left = 0;
    for partition in metadata.topics()[0].partitions() {
        // A broker that just started may not lead its partitions yet.
        let until = Instant::now() + limit;
        let (low, high) = loop {
            match consumer.fetch_watermarks(topic, partition.id(), limit) {
                Ok(offsets) => break offsets,
                Err(error) => assert!(Instant::now() < until, "Kafka answers: {error}"),
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        positions.add_partition_offset(topic, partition.id(), Offset::Offset(low)).expect("an offset");
        left += high - low;
    }
    consumer.assign(&positions).expect("partitions are assigned");
    let mut seen = Vec::new();
    let end = Instant::now() + limit;
    while left > 0 {
        assert!(Instant::now() < end, "{left} records of {topic} could not be read");
        let Some(message) = consumer.poll(Duration::from_millis(200)) else { continue };
        let Ok(message) = message else { continue };
        left -= 1;
        seen.push(Seen {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: message.headers().map_or_else(Vec::new, |headers| {
                headers.iter().map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec))).collect()
            }),
        });
    }
    seen.sort_by_key(|record| (record.partition, record.offset));
    seen
}
