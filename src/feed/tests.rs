//! The feed against the broker in the process.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;
use crate::kafka::{Config, DevBroker, Outcome, Report, Write, Writer};
use crate::route;

const SOON: Duration = Duration::from_secs(10);

const ROUTES: &str = r#"
routes:
  - { name: prices, channel: "/prices/{symbol}", topic: prices, key: "{symbol}" }
  - { name: orders, channel: "/orders/{region}/{id}", topic: "orders.{region}", key: "{id}" }
  - { name: one, channel: "/one/{id}", topic: one, key: "{id}", partitioner: murmur2 }
  - { name: chat, channel: "/chat/{room}", local: true, publish: {} }
"#;

/// What a shard was given: channels and offsets.
type Given = Receiver<(String, i64)>;

/// A shard that tells.
struct Shard(Mutex<Sender<(String, i64)>>);

impl ShardInbox for Shard {
    fn batch(&self, batch: Arc<Batch>) {
        for span in &batch.spans {
            for record in &span.records {
                let source = record.source.as_ref().unwrap();
                assert!((span.from..span.to).contains(&source.offset));
                let told = (record.channel.as_str().to_owned(), source.offset);
                let _ = self.0.lock().unwrap().send(told);
            }
        }
    }
}

/// Takes no replies.
struct Nobody;

impl Replies for Nobody {
    fn reply(&self, _: &RawRecord<'_>) {}
}

struct Rig {
    _runtime: tokio::runtime::Runtime,
    broker: DevBroker,
    writer: Writer,
    reports: Receiver<Report>,
    feed: Feed,
    shards: Vec<Given>,
    metrics: Arc<NodeMetrics>,
}

fn rig(topics: &[(&str, i32)]) -> Rig {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let broker = runtime.block_on(DevBroker::start()).unwrap();
    for (name, partitions) in topics {
        broker.create_topic(name, *partitions);
    }
    let config = config(broker.bootstrap());
    let (report, reports) = channel();
    let report = Mutex::new(report);
    let writer = Writer::start(&config, move |r| drop(report.lock().unwrap().send(r))).unwrap();
    let (feed, shards, metrics) = feed(&config, SOON);
    Rig { _runtime: runtime, broker, writer, reports, feed, shards, metrics }
}

fn config(bootstrap: String) -> Config {
    Config::new(BTreeMap::from([("bootstrap.servers".into(), bootstrap)]), Duration::from_secs(5)).unwrap()
}

fn feed(config: &Config, timeout: Duration) -> (Feed, Vec<Given>, Arc<NodeMetrics>) {
    let (tell, shards): (Vec<_>, Vec<_>) = (0..2).map(|_| channel()).unzip();
    let tell =
        tell.into_iter().map(|tell| Arc::new(Shard(Mutex::new(tell))) as Arc<dyn ShardInbox>).collect();
    let settings =
        Settings { timeout, linger: Duration::from_millis(300), discovery: Duration::from_millis(300) };
    let routes = route::parse(&[route::Source { file: "routes.yaml".as_ref(), text: ROUTES }]).unwrap().table;
    let metrics = Arc::new(NodeMetrics::default());
    let catalog = Catalog::start(config).unwrap();
    let feed =
        Feed::start(settings, config, catalog, Arc::new(routes), tell, Arc::new(Nobody), metrics.clone())
            .unwrap();
    (feed, shards, metrics)
}

fn subscribe(feed: &Feed, shard: usize, pattern: &str) -> Result<Start, SubscribeError> {
    let (tell, told) = channel();
    feed.subscribe(shard, Pattern::parse(pattern).unwrap(), Box::new(move |result| drop(tell.send(result))));
    told.recv_timeout(SOON).unwrap()
}

impl Rig {
    fn subscribe(&self, shard: usize, pattern: &str) -> Vec<(String, i32, i64)> {
        let start = subscribe(&self.feed, shard, pattern).unwrap();
        start.positions.iter().map(|(topic, p, at)| (topic.name.to_string(), p, at)).collect()
    }

    fn unsubscribe(&self, shard: usize, pattern: &str) {
        self.feed.unsubscribe(shard, Pattern::parse(pattern).unwrap());
    }

    fn write(&self, topic: &str, partition: i32, key: &str, value: &str) {
        let write = Write {
            topic,
            partition,
            key: Some(key.as_bytes()),
            value: Some(value.as_bytes()),
            headers: &[],
            token: 0,
        };
        self.writer.send(&write).unwrap();
        let report = self.reports.recv_timeout(SOON).unwrap();
        assert!(matches!(report.outcome, Outcome::Written { .. }));
    }

    fn next(&self, shard: usize) -> (String, i64) {
        self.shards[shard].recv_timeout(SOON).expect("nothing came")
    }

    fn nothing(&self, shard: usize) {
        let next = self.shards[shard].recv_timeout(Duration::from_millis(200));
        assert!(next.is_err(), "{next:?}");
    }
}

#[test]
fn records_go_to_the_shards_that_listen() {
    let rig = rig(&[("prices", 1)]);
    rig.write("prices", 0, "OLD", "1");
    assert_eq!(rig.subscribe(0, "/prices/ACME"), [("prices".into(), 0, 1)]);
    rig.write("prices", 0, "ACME", "2");
    assert_eq!(rig.next(0), ("/prices/ACME".into(), 1));
    assert_eq!(rig.subscribe(1, "/prices/*"), [("prices".into(), 0, 2)]);
    rig.write("prices", 0, "B/C", "3");
    assert_eq!((rig.next(0), rig.next(1)), (("/prices/B~2FC".into(), 2), ("/prices/B~2FC".into(), 2)));
    rig.unsubscribe(0, "/prices/ACME");
    rig.write("prices", 0, "ACME", "4");
    assert_eq!(rig.next(1), ("/prices/ACME".into(), 3));
    rig.nothing(0);
    // Nobody at all, longer than partitions linger: not read, and from the end again.
    rig.unsubscribe(1, "/prices/*");
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(rig.metrics.partitions.get(), 0);
    rig.write("prices", 0, "ACME", "5");
    assert_eq!(rig.subscribe(1, "/prices/*"), [("prices".into(), 0, 5)]);
    rig.nothing(1);
}

#[test]
fn topics_that_come_later_are_read_from_their_start() {
    let rig = rig(&[("orders.eu", 1)]);
    rig.write("orders.eu", 0, "1", "1");
    assert_eq!(rig.subscribe(0, "/orders/**"), [("orders.eu".into(), 0, 1)]);
    assert_eq!(rig.subscribe(0, "/prices/ACME"), []);
    rig.broker.create_topic("orders.us", 2);
    rig.broker.create_topic("prices", 1);
    rig.write("orders.us", 1, "7", "1");
    rig.write("prices", 0, "ACME", "1");
    let mut both = [rig.next(0), rig.next(0)];
    both.sort();
    assert_eq!(both, [("/orders/us/7".into(), 0), ("/prices/ACME".into(), 0)]);
}

#[test]
fn bad_records_are_skipped_and_counted() {
    let rig = rig(&[("prices", 1)]);
    rig.subscribe(0, "/prices/*");
    rig.write("prices", 0, "A", "{not json");
    rig.write("prices", 0, "", "1");
    rig.write("prices", 0, "B", "1");
    assert_eq!(rig.next(0), ("/prices/B".into(), 2));
    let metrics = &rig.metrics;
    assert_eq!((metrics.records_undecodable.get(), metrics.records_unroutable.get()), (1, 1));
    assert_eq!(metrics.records_read.get(), 3);
}

#[test]
fn a_fixed_key_reads_its_partition_until_a_key_is_out_of_place() {
    let rig = rig(&[("one", 8)]);
    let start = rig.subscribe(0, "/one/x");
    assert_eq!(start.len(), 1);
    let mine = start[0].1;
    rig.write("one", mine, "x", "1");
    assert_eq!(rig.next(0), ("/one/x".into(), 0));
    assert_eq!(rig.metrics.partitions.get(), 1);
    let others = ["a", "b", "c", "d", "e", "f"];
    for key in others {
        rig.write("one", mine, key, "1");
        assert_eq!(rig.next(0).0, format!("/one/{key}"));
    }
    let until = std::time::Instant::now() + SOON;
    while rig.metrics.partitions.get() < 8 && std::time::Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(rig.metrics.partitions.get(), 8);
    assert!(rig.metrics.records_misplaced.get() >= 4);
    rig.write("one", (mine + 1) % 8, "x", "2");
    assert_eq!(rig.next(0).0, "/one/x");
}

#[test]
fn what_no_route_has_and_what_kafka_has_not() {
    let rig = rig(&[]);
    assert_eq!(subscribe(&rig.feed, 0, "/nowhere/x").unwrap_err(), SubscribeError::UnknownChannel);
    assert_eq!(rig.subscribe(0, "/chat/*"), []);
    let (feed, _, _) = feed(&config("127.0.0.1:1".into()), Duration::from_secs(1));
    assert!(matches!(subscribe(&feed, 0, "/prices/x").unwrap_err(), SubscribeError::Kafka(_)));
    feed.stop();
    assert!(matches!(subscribe(&feed, 0, "/prices/x").unwrap_err(), SubscribeError::Kafka(_)));
}
