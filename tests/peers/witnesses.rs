//! A gateway with well-behaved clients, whose deliveries are timed while others do harm.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::support::bayeux::{BOTH, Client};
use crate::support::gateway::{Gateway, Setup};
use crate::support::kafka::Kafka;
use crate::support::records::Writer;
use crate::support::{eventually, unique};

/// How often the witnesses are sent a record.
const EVERY: Duration = Duration::from_millis(20);
/// How long they are watched before the harm begins.
const CALM: Duration = Duration::from_secs(3);

/// What others may notice of those who do harm, on the same cores.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// By how many bytes the gateway's memory may grow.
    pub memory: u64,
    /// How much later than in the calm a hundredth of the records may come.
    pub delay: Duration,
}

/// The scene of a test: nobody else uses the machine's cores while it is there.
pub struct Scene {
    pub gateway: Gateway,
    pub kafka: &'static Kafka,
    /// The topic of the records for those who do harm, on channels `/harm/{key}`.
    pub topic: String,
    numbers: String,
    _alone: MutexGuard<'static, ()>,
}

/// When a record was written, in microseconds, and how long it took to arrive.
type Sample = (u64, Duration);

// === impl Bounds ===

impl Bounds {
    /// The usual delay, and this memory.
    pub fn memory(memory: u64) -> Self {
        Self { memory, delay: Duration::from_millis(100) }
    }
}

// === impl Scene ===

impl Scene {
    /// Starts a gateway with more settings.
    pub fn new(settings: &str) -> Self {
        Self::with(settings, || {})
    }

    /// The same, with something to do when nobody else is there and before the gateway starts.
    pub fn with(settings: &str, before: impl FnOnce()) -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        // A test that failed left nothing behind.
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let kafka = Kafka::shared();
        let (topic, numbers) = (unique("harm"), unique("numbers"));
        kafka.create_topic(&topic, 1);
        kafka.create_topic(&numbers, 1);
        let routes = format!(
            r#"
routes:
  - {{ name: numbers, channel: "/numbers", topic: {numbers}, key: n }}
  - {{ name: harm, channel: "/harm/{{key}}", topic: {topic}, key: "{{key}}" }}
"#
        );
        before();
        let gateway = Gateway::with(&Setup { kafka: kafka.bootstrap(), routes: &routes, settings });
        Self { gateway, kafka, topic, numbers, _alone: alone }
    }

    /// A metric that counts something.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn count(&self, metric: &str, labels: &[&str]) -> usize {
        self.gateway.metric(metric, labels) as usize
    }

    /// Watches a client of each transport in the calm and then during `harm`. Each gets every record, in order; memory
    /// and delays stay within `bounds`. Says how it was.
    pub fn watch<T>(&self, what: &str, bounds: Bounds, harm: impl FnOnce(&Self) -> T) -> T {
        let clock = Instant::now();
        let micros = || u64::try_from(clock.elapsed().as_micros()).unwrap();
        let (stop, peak, arrived) = (AtomicBool::new(false), AtomicU64::new(0), AtomicUsize::new(0));
        let clients = BOTH.map(|transport| Client::subscribed(self.gateway.addr(), transport, "/numbers"));
        let writer = Writer::new(self.kafka);
        let write = |number: usize, last: bool| {
            let value = format!(r#"{{"n":{number},"at":{},"last":{last}}}"#, micros());
            writer.send(&self.numbers, Some(b"n"), Some(value.as_bytes()));
        };
        std::thread::scope(|scope| {
            // Whatever panics, the threads must end.
            let stopper = Stopper(&stop);
            let arrived = &arrived;
            let readers =
                clients.map(|client| scope.spawn(move || (client.transport, read(client, clock, arrived))));
            // The first record finds its way to the broker, and the gateway begins to read.
            write(0, false);
            eventually(Duration::from_secs(10), "the first record arrives", || {
                arrived.load(Ordering::Relaxed) == readers.len()
            });
            let calm = micros();
            scope.spawn(|| {
                for number in 1.. {
                    std::thread::sleep(EVERY);
                    let last = stop.load(Ordering::Relaxed);
                    write(number, last);
                    if last {
                        break;
                    }
                }
                writer.flush();
            });
            std::thread::sleep(CALM);
            let before = self.gateway.process().resident();
            let begin = micros();
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    peak.fetch_max(self.gateway.process().resident(), Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(10));
                }
            });
            let result = harm(self);
            let end = micros();
            drop(stopper);
            let grown = peak.load(Ordering::Relaxed).saturating_sub(before);
            println!(
                "{what}: {:.1} s, memory {:.1} MiB before, {:.1} MiB more at most",
                Duration::from_micros(end - begin).as_secs_f64(),
                mebibytes(before),
                mebibytes(grown)
            );
            for reader in readers {
                let (transport, samples) = reader.join().unwrap();
                let during = |from, to| {
                    samples.iter().filter(move |(at, _)| (from..to).contains(at)).map(|(_, took)| *took)
                };
                let (quiet, loud) = (ranks(during(calm, begin)), ranks(during(begin, end)));
                println!(
                    "    {}: p50 {:.1} ms, p99 {:.1} ms in the calm; p50 {:.1} ms, p99 {:.1} ms then; {} records",
                    transport.name(),
                    millis(quiet.0),
                    millis(quiet.1),
                    millis(loud.0),
                    millis(loud.1),
                    samples.len()
                );
                assert!(loud.1 < quiet.1 + bounds.delay, "{what}: {transport:?} is disturbed");
            }
            assert!(grown < bounds.memory, "{what}: the memory grew by {grown} bytes");
            let log = self.gateway.log();
            assert!(!log.contains("panicked"), "{log}");
            result
        })
    }
}

/// Sets a flag when it is dropped.
struct Stopper<'a>(&'a AtomicBool);

impl Drop for Stopper<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Reads to the record that says it is the last one; counts when the first is there.
fn read(mut client: Client, clock: Instant, arrived: &AtomicUsize) -> Vec<Sample> {
    let mut samples = Vec::new();
    let transport = client.transport;
    let until = Instant::now() + Duration::from_mins(1);
    let result = client.receive(until, |(_, data)| {
        let now = clock.elapsed();
        let data: serde_json::Value = serde_json::from_slice(data).unwrap();
        assert_eq!(data["n"], samples.len(), "{transport:?}: a record is missing, or came twice");
        let at = data["at"].as_u64().unwrap();
        arrived.fetch_add(usize::from(samples.is_empty()), Ordering::Relaxed);
        samples.push((at, now.saturating_sub(Duration::from_micros(at))));
        if data["last"] == true { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    result.unwrap_or_else(|error| panic!("{transport:?}: {error} after {} records", samples.len()));
    samples
}

/// The median and the 99th hundredth.
fn ranks(samples: impl Iterator<Item = Duration>) -> (Duration, Duration) {
    let mut samples: Vec<_> = samples.collect();
    samples.sort_unstable();
    assert!(samples.len() >= 100, "{} records say little", samples.len());
    (samples[samples.len() / 2], samples[samples.len() * 99 / 100])
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[allow(clippy::cast_precision_loss)]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
