//! Reader, writer and catalog against the broker in the process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::*;
use crate::stream::{RawRecord, Topic};

const SOON: Duration = Duration::from_secs(10);

#[derive(Debug, PartialEq, Eq)]
enum Read {
    Record {
        topic: String,
        partition: i32,
        from: i64,
        offset: i64,
        key: Option<String>,
        value: Option<String>,
        headers: usize,
    },
    Reached {
        partition: i32,
        from: i64,
        to: i64,
    },
    Lost {
        partition: i32,
    },
    Moved {
        partition: i32,
        from: i64,
        to: i64,
    },
    Doubt(u64),
    Failed,
    Flush,
}

struct Tell(Mutex<Sender<Read>>);

impl Tell {
    fn tell(&self, read: Read) {
        let _ = self.0.lock().unwrap().send(read);
    }
}

impl Sink for Tell {
    fn record(&mut self, topic: &Arc<Topic>, from: i64, record: &RawRecord<'_>) {
        let text = |bytes: Option<&[u8]>| bytes.map(|b| String::from_utf8_lossy(b).into_owned());
        let (partition, offset, headers) = (record.partition, record.offset, record.headers.len());
        let (key, value) = (text(record.key), text(record.value));
        self.tell(Read::Record {
            topic: topic.name.to_string(),
            partition,
            from,
            offset,
            key,
            value,
            headers,
        });
    }
    fn reached(&mut self, _: &Arc<Topic>, partition: i32, from: i64, to: i64) {
        self.tell(Read::Reached { partition, from, to });
    }
    fn lost(&mut self, _: &Arc<Topic>, partition: i32) {
        self.tell(Read::Lost { partition });
    }
    fn moved(&mut self, _: &Arc<Topic>, partition: i32, from: i64, to: i64) {
        self.tell(Read::Moved { partition, from, to });
    }
    fn doubt(&mut self, number: u64) {
        self.tell(Read::Doubt(number));
    }
    fn failed(&mut self, _: &Arc<Topic>, _: i32, _: &str) {
        self.tell(Read::Failed);
    }
    fn flush(&mut self) {
        self.tell(Read::Flush);
    }
    fn busy(&self) -> bool {
        false
    }
}

struct Rig {
    _runtime: tokio::runtime::Runtime,
    broker: DevBroker,
    config: Config,
    writer: Writer,
    reports: Mutex<Receiver<Report>>,
    reader: Reader,
    reads: Receiver<Read>,
}

fn rig(topics: &[(&str, i32)]) -> Rig {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let broker = runtime.block_on(DevBroker::start()).unwrap();
    for (name, partitions) in topics {
        assert!(broker.create_topic(name, *partitions));
    }
    let properties = BTreeMap::from([("bootstrap.servers".into(), broker.bootstrap())]);
    let config = Config::new(properties, Duration::from_secs(5)).unwrap();
    let (report, reports) = channel();
    let report = Mutex::new(report);
    let writer = Writer::start(&config, move |r| drop(report.lock().unwrap().send(r))).unwrap();
    let (tell, reads) = channel();
    let reader = Reader::start(&config, Tell(Mutex::new(tell))).unwrap();
    Rig { _runtime: runtime, broker, config, writer, reports: Mutex::new(reports), reader, reads }
}

impl Rig {
    fn write(&self, topic: &str, partition: i32, value: &str) -> Outcome {
        let headers: &[(&str, Option<&[u8]>)] = &[("a", Some(b"1")), ("b", None)];
        let write =
            Write { topic, partition, key: Some(b"k"), value: Some(value.as_bytes()), headers, token: 7 };
        self.writer.send(&write).unwrap();
        let report = self.reports.lock().unwrap().recv_timeout(SOON).unwrap();
        assert_eq!(report.token, 7);
        report.outcome
    }

    /// What is read next, turns aside; doubts are dispelled.
    fn next(&self) -> Read {
        self.next_within(SOON).expect("nothing was read")
    }

    fn next_within(&self, limit: Duration) -> Option<Read> {
        let until = Instant::now() + limit;
        loop {
            match self.reads.recv_timeout(until.saturating_duration_since(Instant::now())).ok()? {
                Read::Flush => {}
                Read::Doubt(number) => self.reader.trust(number),
                read => return Some(read),
            }
        }
    }

    /// The next doubt, behind what is beyond it.
    fn doubt(&self) -> u64 {
        loop {
            match self.reads.recv_timeout(SOON).expect("no doubt") {
                Read::Doubt(number) => return number,
                Read::Flush => {}
                read => panic!("{read:?} is handed over"),
            }
        }
    }

    fn nothing_for(&self, quiet: Duration) {
        assert_eq!(self.next_within(quiet), None);
    }
}

fn record(partition: i32, offset: i64, value: &str) -> Read {
    let (key, value) = (Some("k".into()), Some(value.into()));
    Read::Record { topic: "t".into(), partition, from: offset, offset, key, value, headers: 2 }
}

#[test]
fn records_are_read_from_where_they_are_asked_for() {
    let rig = rig(&[("t", 2)]);
    let topic = Arc::new(Topic::new("t".into(), 1));
    for (partition, offset, value) in [(0, 0, "a"), (0, 1, "b"), (1, 0, "c")] {
        assert_eq!(rig.write("t", partition, value), Outcome::Written { partition, offset });
    }
    rig.reader.assign(vec![(topic.clone(), 0, From::Offset(1))]);
    assert_eq!(rig.next(), record(0, 1, "b"));
    rig.reader.assign(vec![(topic.clone(), 1, From::LogStart)]);
    assert_eq!(rig.next(), record(1, 0, "c"));
    // Live, both.
    rig.write("t", 0, "d");
    assert_eq!(rig.next(), record(0, 2, "d"));
    rig.write("t", 1, "e");
    assert_eq!(rig.next(), record(1, 1, "e"));
    // Moved back, then left.
    rig.reader.assign(vec![(topic.clone(), 0, From::Offset(0))]);
    for (offset, value) in [(0, "a"), (1, "b"), (2, "d")] {
        assert_eq!(rig.next(), record(0, offset, value));
    }
    rig.reader.unassign(vec![(topic, 0)]);
    rig.write("t", 0, "f");
    rig.nothing_for(Duration::from_millis(500));
}

#[test]
fn a_new_incarnation_is_read_by_a_new_client() {
    let rig = rig(&[("t", 1)]);
    rig.write("t", 0, "a");
    rig.reader.assign(vec![(Arc::new(Topic::new("t".into(), 1)), 0, From::Offset(0))]);
    assert_eq!(rig.next(), record(0, 0, "a"));
    rig.reader.assign(vec![(Arc::new(Topic::new("t".into(), 2)), 0, From::LogStart)]);
    assert_eq!(rig.next(), record(0, 0, "a"));
    rig.writer.renew();
    rig.write("t", 0, "b");
    assert_eq!(rig.next(), record(0, 1, "b"));
}

#[test]
fn nothing_is_handed_over_before_it_is_known_whose_it_is() {
    let rig = rig(&[("t", 1)]);
    for value in ["a", "b", "c"] {
        rig.write("t", 0, value);
    }
    rig.reader.assign(vec![(Arc::new(Topic::new("t".into(), 1)), 0, From::Offset(1))]);
    let number = rig.doubt();
    rig.reader.trust(number - 1);
    // Found out to be another one: what was held back is of no use.
    rig.reader.assign(vec![(Arc::new(Topic::new("t".into(), 2)), 0, From::LogStart)]);
    rig.reader.trust(number);
    for (offset, value) in [(0, "a"), (1, "b"), (2, "c")] {
        assert_eq!(rig.next(), record(0, offset, value));
    }
}

#[test]
fn where_nobody_knows_reading_goes_on() {
    let rig = rig(&[("t", 1)]);
    rig.write("t", 0, "a");
    rig.reader.assign(vec![(Arc::new(Topic::new("t".into(), 1)), 0, From::LogStart)]);
    rig.doubt();
    let mut reads = std::iter::from_fn(|| rig.reads.recv_timeout(SOON).ok());
    let first = reads.find(|read| !matches!(read, Read::Flush | Read::Doubt(_)));
    assert_eq!(first, Some(record(0, 0, "a")));
}

#[test]
fn a_record_that_cannot_be_written_says_so() {
    let rig = rig(&[("t", 1)]);
    let write = Write { topic: "t", partition: 0, key: None, value: None, headers: &[], token: 1 };
    let large = vec![0; 2_000_000];
    assert_eq!(rig.writer.send(&Write { value: Some(&large), ..write }), Err(SendError::TooLarge));
    rig.writer.send(&write).unwrap();
    assert!(rig.writer.flush(SOON));
    // Nobody there: not written, within the publish time-out.
    let nowhere = BTreeMap::from([("bootstrap.servers".into(), "127.0.0.1:1".into())]);
    let config = Config::new(nowhere, Duration::from_secs(1)).unwrap();
    let (report, reports) = channel();
    let report = Mutex::new(report);
    let writer = Writer::start(&config, move |r| drop(report.lock().unwrap().send(r))).unwrap();
    writer.send(&write).unwrap();
    let outcome = reports.recv_timeout(SOON).unwrap().outcome;
    assert!(matches!(outcome, Outcome::NotWritten { .. }), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_catalog_knows_topics_and_the_ends_of_their_logs() {
    let rig = tokio::task::spawn_blocking(|| {
        let rig = rig(&[("t", 2), ("u", 1)]);
        rig.write("t", 1, "a");
        rig.write("t", 1, "b");
        rig
    });
    let rig = rig.await.unwrap();
    let catalog = Catalog::start(&rig.config).unwrap();
    let mut topics = catalog.topics(SOON).await.unwrap().to_vec();
    topics.sort();
    assert_eq!(topics, [("t".to_owned(), 2), ("u".to_owned(), 1)]);
    assert_eq!(catalog.partitions("t"), None);
    assert_eq!(catalog.lookup("t").await, Ok(Some(2)));
    assert_eq!(catalog.partitions("t"), Some(2));
    assert_eq!(catalog.lookup("no-such").await, Ok(None));

    let looked = catalog.find(&BTreeSet::from(["t".into(), "no-such".into()]), SOON).await.unwrap();
    let found = looked.found;
    assert!(looked.denied.is_empty());
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].name.as_str(), found[0].leaders.as_slice()), ("t", &[true, true][..]));
    rig.broker.create_topic("late", 1);
    let late = catalog.find(&BTreeSet::from(["late".into()]), SOON).await.unwrap().found;
    assert_ne!(late[0].id, found[0].id);

    let of: [(Arc<str>, i32); 3] = [("t".into(), 1), ("t".into(), 0), ("no-such".into(), 0)];
    let ends = catalog.ends(&of[..2], SOON).await.unwrap();
    assert_eq!(ends, [(of[0].clone(), Ok(2)), (of[1].clone(), Ok(0))]);
    assert_eq!(catalog.starts(&of[..1], SOON).await.unwrap(), [(of[0].clone(), Ok(0))]);
    let ends = catalog.ends(&of, SOON).await.unwrap();
    assert!(ends[0].1 == Ok(2) && ends[2].1.is_err(), "{ends:?}");
    assert!(catalog.is_up());

    // Deleted and created again: another id, and the writer goes on with the new one.
    catalog.inform(rig.writer.clone());
    assert!(rig.broker.delete_topic("t") && rig.broker.create_topic("t", 3));
    let again = catalog.find(&BTreeSet::from(["t".into()]), SOON).await.unwrap().found;
    assert_ne!(again[0].id, found[0].id);
    assert_eq!(catalog.partitions("t"), Some(3));
    let rig = tokio::task::spawn_blocking(move || {
        assert_eq!(rig.write("t", 2, "a"), Outcome::Written { partition: 2, offset: 0 });
        rig
    });
    let rig = rig.await.unwrap();
    tokio::task::spawn_blocking(move || drop((rig, catalog))).await.unwrap();
}

#[tokio::test]
async fn a_catalog_without_kafka_says_so_in_time() {
    let nowhere = BTreeMap::from([("bootstrap.servers".into(), "127.0.0.1:1".into())]);
    let catalog = Catalog::start(&Config::new(nowhere, SOON).unwrap()).unwrap();
    let (short, begun) = (Duration::from_millis(700), Instant::now());
    assert!(matches!(catalog.find(&BTreeSet::from(["t".into()]), short).await, Err(Error::TimedOut(_))));
    assert!(matches!(catalog.ends(&[("t".into(), 0)], short).await, Err(Error::TimedOut(_))));
    assert!(matches!(catalog.topics(short).await, Err(Error::TimedOut(_))));
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(!catalog.is_up());
}
