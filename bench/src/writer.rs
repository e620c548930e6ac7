//! Writes numbered records into Kafka, each when it is due.

use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};

use crate::clock;
use crate::record::{Record, key_name};

/// Record n is due at `start` + n / `rate`, has key n modulo `keys` and is number n / `keys` of its key.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// In nanoseconds of the clock.
    pub start: u64,
    /// Records a second.
    pub rate: u64,
    pub keys: u32,
    /// How many.
    pub records: u64,
}

/// The shortest sleep between records: at high rates a few are written together, a little late, rather than each with a wake-up.
const NAP: u64 = 250_000;

// === impl Schedule ===

impl Schedule {
    pub fn due(&self, n: u64) -> u64 {
        self.start + n * 1_000_000_000 / self.rate
    }

    pub fn record(&self, n: u64) -> Record {
        let keys = u64::from(self.keys);
        let key = u32::try_from(n % keys).unwrap_or(0);
        Record { key, number: n / keys, due: self.due(n) }
    }

    /// Runs `act` for every record when it is due.
    fn run(&self, mut act: impl FnMut(Record) -> Result<()>) -> Result<()> {
        for n in 0..self.records {
            let (due, now) = (self.due(n), clock::now());
            if due > now {
                clock::sleep_until(due.max(now + NAP));
            }
            act(self.record(n))?;
        }
        Ok(())
    }
}

/// Records a second up to which each is sent at once.
const SLOW: u64 = 1000;

/// A producer for one topic.
pub struct Writer {
    producer: ThreadedProducer<DefaultProducerContext>,
    topic: String,
}

// === impl Writer ===

impl Writer {
    /// For about `rate` records a second. Looks the topic up at once: the first request for metadata is no part of any record's
    /// latency.
    pub fn new(config: &ClientConfig, topic: &str, rate: u64) -> Result<Self> {
        // Not 0 throughout: then librdkafka leaves thousands of records a second lying for up to a second.
        let linger = if rate > SLOW { "5" } else { "0" };
        let producer: ThreadedProducer<DefaultProducerContext> =
            config.clone().set("linger.ms", linger).set("acks", "1").create()?;
        producer.client().fetch_metadata(Some(topic), Duration::from_secs(10))?;
        Ok(Self { producer, topic: topic.to_owned() })
    }

    /// Writes the records of `schedule` on a thread of its own, which ends when Kafka has them all.
    pub fn write(self, schedule: Schedule) -> JoinHandle<Result<()>> {
        std::thread::spawn(move || {
            schedule.run(|record| self.send(record))?;
            Ok(self.producer.flush(Duration::from_secs(30))?)
        })
    }

    fn send(&self, record: Record) -> Result<()> {
        let (key, value) = (key_name(record.key), record.value());
        let mut message = BaseRecord::to(&self.topic).key(&key).payload(&value);
        while let Err((error, back)) = self.producer.send(message) {
            if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                return Err(error.into());
            }
            std::thread::sleep(Duration::from_millis(1));
            message = back;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_take_turns_and_each_counts_for_itself() {
        let schedule = Schedule { start: 1_000, rate: 1_000_000, keys: 3, records: 7 };
        let mut seen = Vec::new();
        schedule
            .run(|record| {
                seen.push((record.key, record.number, record.due));
                Ok(())
            })
            .unwrap();
        assert_eq!(seen[..4], [(0, 0, 1_000), (1, 0, 2_000), (2, 0, 3_000), (0, 1, 4_000)]);
        assert_eq!(seen.len(), 7);
    }
}
