//! A Kafka broker inside the process, for trying Halley out and for tests: krafka's fake broker.

use std::sync::{Arc, Weak};
use std::time::Duration;

use krafka::testing::FakeBroker;

use super::Error;

/// How often old records and the broker's own notes are thrown away.
const TRIM_EVERY: Duration = Duration::from_secs(5);
/// What a partition keeps of its latest records: batches and bytes.
const KEEP_BATCHES: usize = 4096;
const KEEP_BYTES: usize = 4 << 20;

/// An in-memory broker on a port of its own of the loopback interface. It ends when this is dropped.
///
/// It keeps the latest records only (4 MiB a partition), forgets everything at its end, and creates no topics by itself.
pub struct DevBroker {
    broker: Arc<FakeBroker>,
}

// === impl DevBroker ===

impl DevBroker {
    /// Starts the broker on the runtime that it is called on, which has to live as long as the broker.
    ///
    /// # Errors
    ///
    /// [`Error::Start`] where no port can be had.
    pub async fn start() -> Result<Self, Error> {
        // Two rustls providers are compiled in, so rustls cannot choose by itself. Another choice made earlier stands.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let broker = FakeBroker::start().await.map_err(|error| Error::Start(error.to_string()))?;
        broker.with_state(|state| state.auto_create_topics = false);
        let broker = Arc::new(broker);
        tokio::spawn(trim_on_timer(Arc::downgrade(&broker)));
        Ok(Self { broker })
    }

    /// The broker's address, for `bootstrap.servers`.
    pub fn bootstrap(&self) -> String {
        self.broker.bootstrap_servers()
    }

    /// Creates a topic; `false` if it is there already.
    pub fn create_topic(&self, name: &str, partitions: i32) -> bool {
        self.broker.create_topic(name, partitions)
    }

    /// Deletes a topic with its records; `false` if there is none.
    pub fn delete_topic(&self, name: &str) -> bool {
        self.broker.delete_topic(name)
    }
}

async fn trim_on_timer(broker: Weak<FakeBroker>) {
    let mut timer = tokio::time::interval(TRIM_EVERY);
    loop {
        timer.tick().await;
        match broker.upgrade() {
            Some(broker) => trim(&broker),
            None => return,
        }
    }
}

/// Drops the oldest batches of every partition, and the log of requests that the broker keeps for assertions.
fn trim(broker: &FakeBroker) {
    broker.clear_requests();
    broker.with_state(|state| {
        state.list_offsets_lookups.clear();
        state.leave_group_members.clear();
        state.consumer_group_heartbeats.clear();
        for partition in state.topics.values_mut().flat_map(|topic| topic.partitions.iter_mut()) {
            let mut bytes = 0;
            let kept = partition.log.iter().rev().take(KEEP_BATCHES).take_while(|batch| {
                bytes += batch.len();
                bytes <= KEEP_BYTES
            });
            let drop = partition.log.len() - kept.count();
            if drop > 0 {
                partition.log.drain(..drop);
                partition.log_start_offset =
                    partition.log.first().map_or(partition.next_offset, |b| base_offset(b));
            }
        }
    });
}

/// The first offset of a stored batch: its first eight bytes.
fn base_offset(batch: &[u8]) -> i64 {
    batch.first_chunk().map_or(0, |first| i64::from_be_bytes(*first))
}
