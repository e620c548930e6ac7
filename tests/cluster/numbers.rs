//! A stream of numbered records in both directions while something happens to Kafka, and the count of what came of it.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::bayeux::{BOTH, Client, Transport};
use crate::support::eventually;
use crate::support::gateway::Gateway;
use crate::support::kafka::Kafka;
use crate::support::records::{Writer, read_all};

/// Partitions of a topic of numbers. A plain producer writes to each, with a key of its own.
pub const PARTITIONS: i32 = 6;

/// How many read, half by each transport.
const READERS: usize = 4;
/// How many publish through the gateway, half by each transport.
const PUBLISHERS: usize = 2;
/// How long the plain producer pauses between a record for each partition and the next.
const PACE: Duration = Duration::from_millis(5);
/// How long a reader waits for all that it should get.
const PATIENCE: Duration = Duration::from_mins(1);

/// The numbers under each key, in the order of its partition.
type Numbers = BTreeMap<String, Vec<usize>>;

/// How far everybody came.
#[derive(Default)]
pub struct Progress {
    /// Of the plain producer's records, by reader and partition.
    read: [[AtomicUsize; PARTITIONS as usize]; READERS],
    acknowledged: [AtomicUsize; PUBLISHERS],
}

/// What a stream came to, besides being right.
pub struct Outcome {
    /// Errors of publishes that failed.
    pub failed: Vec<String>,
    /// The longest that any reader went without a record of one of the plain producer's keys.
    pub longest_gap: Duration,
}

/// What one publisher knows.
#[derive(Default)]
struct Published {
    good: Vec<usize>,
    failed: Vec<(usize, String)>,
}

// === impl Progress ===

impl Progress {
    /// Waits until every reader went on by a good deal with every partition, and every publisher.
    pub fn goes_on(&self, limit: Duration) {
        let all = || {
            let read = self.read.iter().flatten().zip([80; READERS * PARTITIONS as usize]);
            read.chain(self.acknowledged.iter().zip([5; PUBLISHERS]))
        };
        let from: Vec<usize> = all().map(|(count, more)| count.load(Ordering::Relaxed) + more).collect();
        eventually(limit, "the stream goes on", || {
            all().zip(&from).all(|((count, _), from)| count.load(Ordering::Relaxed) >= *from)
        });
    }
}

/// Has a plain producer and clients of the gateway write numbers to `topic` while `meanwhile` happens; then counts.
/// Every record must have reached every reader once and in the order of its partition; every record of the plain producer
/// and every publish that was acknowledged must be in Kafka once and in order, and none that failed twice.
pub fn stream(gateway: &Gateway, kafka: &Kafka, topic: &str, meanwhile: impl FnOnce(&Progress)) -> Outcome {
    let pattern = format!("/{topic}/*");
    let readers: Vec<Client> =
        (0..READERS).map(|n| Client::subscribed(gateway.addr(), BOTH[n % 2], &pattern)).collect();
    let publishers: Vec<Client> =
        (0..PUBLISHERS).map(|n| Client::open(gateway.addr(), BOTH[n % 2])).collect();
    let (progress, stop, expected) =
        (Progress::default(), AtomicBool::new(false), AtomicUsize::new(usize::MAX));
    std::thread::scope(|scope| {
        let reading: Vec<_> = readers
            .into_iter()
            .zip(&progress.read)
            .map(|(client, counts)| scope.spawn(|| read(client, topic, counts, &expected)))
            .collect();
        let publishing: Vec<_> = publishers
            .into_iter()
            .zip(&progress.acknowledged)
            .enumerate()
            .map(|(n, (client, count))| {
                let channel = format!("/{topic}/c{n}");
                let stop = &stop;
                scope.spawn(move || publish(client, &channel, count, stop))
            })
            .collect();
        let writing = scope.spawn(|| write(kafka, topic, &stop));
        // A panic in here must not leave the others running.
        let happened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| meanwhile(&progress)));
        stop.store(true, Ordering::Relaxed);
        let (writer, written) = writing.join().unwrap();
        let published: Vec<Published> = publishing.into_iter().map(|p| p.join().unwrap()).collect();
        let kept = numbers_in(kafka, topic);
        // One more for each partition, which ends the wait of the readers.
        let total: usize = kept.values().map(Vec::len).sum();
        expected.store(total + usize::try_from(PARTITIONS).unwrap(), Ordering::SeqCst);
        write_one(&writer, topic, written);
        writer.flush();
        let read: Vec<_> = reading.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        happened.unwrap_or_else(|panic| std::panic::resume_unwind(panic));

        let kept = check_log(kept, written, &published);
        let mut longest_gap = Duration::ZERO;
        for (n, reader) in read.into_iter().enumerate() {
            let (got, gap) = reader.unwrap();
            for (key, numbers) in &kept {
                let got = got.get(key).map_or(&[][..], Vec::as_slice);
                assert!(got == numbers, "reader {n} of {key}: {}", difference(got, numbers));
            }
            assert_eq!(got.len(), kept.len(), "reader {n} got no other keys");
            longest_gap = longest_gap.max(gap);
        }
        let failed: Vec<String> =
            published.into_iter().flat_map(|p| p.failed).map(|(_, error)| error).collect();
        println!("{topic}: {total} records, {} publishes failed, longest gap {longest_gap:?}", failed.len());
        Outcome { failed, longest_gap }
    })
}

/// Reads until all that is expected has come; what came, and the longest gap of a key.
fn read(
    mut client: Client,
    topic: &str,
    counts: &[AtomicUsize],
    expected: &AtomicUsize,
) -> (Numbers, Duration) {
    let prefix = format!("/{topic}/");
    let mut got: BTreeMap<String, (Vec<usize>, Instant)> = BTreeMap::new();
    let (mut gap, mut so_far) = (Duration::ZERO, 0);
    let begun = Instant::now();
    // The fault itself may take as long.
    let result = client.receive(begun + 2 * PATIENCE, |(channel, data)| {
        let channel = std::str::from_utf8(channel).unwrap();
        let key = channel.strip_prefix(&prefix).expect("the channel of a key");
        let number = std::str::from_utf8(data).unwrap().parse().unwrap();
        let now = Instant::now();
        let (numbers, last) = got.entry(key.to_owned()).or_insert_with(|| (Vec::new(), now));
        numbers.push(number);
        if let Some(partition) = key.strip_prefix('p') {
            gap = gap.max(now - *last);
            counts[partition.parse::<usize>().unwrap()].fetch_add(1, Ordering::Relaxed);
        }
        *last = now;
        so_far += 1;
        if so_far == expected.load(Ordering::SeqCst) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    if let Err(error) = result {
        panic!("{error} after {so_far} records of {}", expected.load(Ordering::SeqCst));
    }
    client.expect_silence(Duration::from_millis(200));
    (got.into_iter().map(|(key, (numbers, _))| (key, numbers)).collect(), gap)
}

/// Publishes numbers one by one, on a WebSocket several at a time, until it is to stop and all are answered.
fn publish(mut client: Client, channel: &str, count: &AtomicUsize, stop: &AtomicBool) -> Published {
    let window = if client.transport == Transport::WebSocket { 20 } else { 1 };
    let mut published = Published::default();
    let mut pending: VecDeque<(String, usize)> = VecDeque::new();
    for n in 0.. {
        let stopped = stop.load(Ordering::Relaxed);
        if !stopped {
            let id = client.send(&json!({ "channel": channel, "data": n })).expect("the gateway is there");
            pending.push_back((id, n));
        }
        while pending.len() >= window || (stopped && !pending.is_empty()) {
            let (id, n) = pending.pop_front().unwrap();
            let reply = client.reply(&id, Duration::from_secs(20)).expect("every publish is answered");
            if reply["successful"] == true {
                count.fetch_add(1, Ordering::Relaxed);
                published.good.push(n);
            } else {
                published.failed.push((n, reply["error"].as_str().unwrap().to_owned()));
            }
        }
        if stopped {
            break;
        }
        std::thread::sleep(PACE);
    }
    published
}

/// Writes numbers to every partition until it is to stop and Kafka has all; how many each got.
fn write(kafka: &Kafka, topic: &str, stop: &AtomicBool) -> (Writer, usize) {
    let writer = Writer::new(kafka);
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        write_one(&writer, topic, n);
        n += 1;
        std::thread::sleep(PACE);
    }
    writer.flush();
    (writer, n)
}

fn write_one(writer: &Writer, topic: &str, n: usize) {
    for p in 0..PARTITIONS {
        let (key, value) = (format!("p{p}"), n.to_string());
        writer.send_record(topic, Some(p), Some(key.as_bytes()), Some(value.as_bytes()), &[]);
    }
}

fn numbers_in(kafka: &Kafka, topic: &str) -> Numbers {
    let mut numbers = Numbers::new();
    for seen in read_all(kafka, topic) {
        numbers.entry(seen.key_text().to_owned()).or_default().push(seen.value_text().parse().unwrap());
    }
    numbers
}

/// Compares the log with what was written to it; what it holds, with the last record of the plain producer.
fn check_log(mut kept: Numbers, written: usize, published: &[Published]) -> Numbers {
    for p in 0..PARTITIONS {
        let numbers = kept.entry(format!("p{p}")).or_default();
        numbers.push(written);
        let all: Vec<usize> = (0..=written).collect();
        assert!(*numbers == all, "the log of p{p}: {}", difference(numbers, &all));
    }
    for (n, Published { good, failed }) in published.iter().enumerate() {
        let numbers = kept.get(&format!("c{n}")).map_or(&[][..], Vec::as_slice);
        assert!(numbers.is_sorted_by(|a, b| a < b), "c{n}: published in order and once: {numbers:?}");
        let missing: Vec<_> = good.iter().filter(|n| numbers.binary_search(n).is_err()).collect();
        assert!(missing.is_empty(), "c{n}: acknowledged but not in Kafka: {missing:?}");
        let known = |n: &&usize| failed.iter().any(|(m, error)| m == *n && error.contains("not_written"));
        let there: Vec<_> = numbers.iter().filter(known).collect();
        assert!(there.is_empty(), "c{n}: not_written but in Kafka: {there:?}");
    }
    kept
}

/// Whether an error says of a publish what is known of it.
pub fn is_typed(error: &str) -> bool {
    error.starts_with("504:") && (error.contains(":not_written") || error.contains(":outcome_unknown"))
}

/// Where two lists part.
fn difference(got: &[usize], wanted: &[usize]) -> String {
    let at = got.iter().zip(wanted).take_while(|(got, wanted)| got == wanted).count();
    let near = |list: &[usize]| list.iter().skip(at).take(5).copied().collect::<Vec<_>>();
    format!(
        "{} instead of {}; from place {at} on {:?} instead of {:?}",
        got.len(),
        wanted.len(),
        near(got),
        near(wanted)
    )
}
