//! Kafka goes away: before, while and after.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::bayeux::{BOTH, Client, Transport};
use crate::support::eventually;
use crate::support::gateway::{Gateway, IMPATIENT, Setup, keyed};
use crate::support::kafka::Kafka;
use crate::support::records::{Writer, read_all};

/// Partitions of the topic; every record of partition p has the key `pP`.
const PARTITIONS: i32 = 3;

/// Reads until `total` records came; every partition's numbers must ascend one by one.
fn read_numbers(mut client: Client, total: usize, progress: &AtomicUsize) {
    let transport = client.transport;
    let mut next = [0_usize; PARTITIONS as usize];
    let mut count = 0;
    let until = Instant::now() + Duration::from_mins(2);
    client
        .receive(until, |(channel, data)| {
            let channel = std::str::from_utf8(channel).unwrap();
            let partition: usize =
                channel.strip_prefix("/numbers/p").expect("the channel of a key").parse().unwrap();
            let n: usize = std::str::from_utf8(data).unwrap().parse().unwrap();
            assert_eq!(n, next[partition], "{transport:?}: partition {partition} after {count} records");
            next[partition] += 1;
            count += 1;
            progress.fetch_add(1, Ordering::Relaxed);
            if count == total { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap_or_else(|error| panic!("{transport:?}: {error} after {count} of {total} records: {next:?}"));
    client.expect_silence(Duration::from_millis(500));
}

/// Kafka is killed `kills` times in the middle of a stream; every record arrives once and in order, at clients of both transports.
fn killed_in_the_middle(kills: usize) {
    let per_partition = 400 * (kills + 1);
    let total = per_partition * PARTITIONS as usize;
    let mut kafka = Kafka::start();
    kafka.create_topic("numbers", PARTITIONS);
    let gateway = Gateway::start(&kafka, &keyed("numbers"));
    let clients: Vec<Client> =
        (0..4).map(|n| Client::subscribed(gateway.addr(), BOTH[n % 2], "/numbers/*")).collect();
    let readers = clients.len();
    let progress = AtomicUsize::new(0);
    let sent = AtomicUsize::new(0);
    let writer = Writer::new(&kafka);
    std::thread::scope(|scope| {
        for client in clients {
            let progress = &progress;
            scope.spawn(move || read_numbers(client, total, progress));
        }
        scope.spawn(|| {
            for n in 0..per_partition {
                for p in 0..PARTITIONS {
                    let (key, value) = (format!("p{p}"), n.to_string());
                    writer.send_record("numbers", Some(p), Some(key.as_bytes()), Some(value.as_bytes()), &[]);
                    sent.fetch_add(1, Ordering::Relaxed);
                }
                std::thread::sleep(Duration::from_millis(3));
            }
            writer.flush();
        });
        for kill in 1..=kills {
            let part = total * kill / (kills + 1);
            eventually(Duration::from_mins(1), "the stream is on its way", || {
                sent.load(Ordering::Relaxed) >= part || progress.load(Ordering::Relaxed) >= readers * total
            });
            kafka.kill();
            std::thread::sleep(Duration::from_millis(700));
            kafka.launch();
        }
    });
}

#[test]
fn every_record_arrives_once_and_in_order_though_kafka_is_killed_in_the_middle() {
    killed_in_the_middle(1);
}

#[test]
#[ignore = "minutes: make soak"]
fn soak_every_record_arrives_though_kafka_is_killed_ten_times() {
    killed_in_the_middle(10);
}

/// With time-outs short enough for a test.
fn impatient(kafka: &Kafka) -> Gateway {
    Gateway::with(&Setup { kafka: kafka.bootstrap(), routes: &keyed("numbers"), settings: IMPATIENT })
}

#[test]
fn a_publish_whose_fate_nobody_knows_is_outcome_unknown() {
    let mut kafka = Kafka::start();
    kafka.create_topic("numbers", PARTITIONS);
    let gateway = impatient(&kafka);
    for transport in BOTH {
        let mut client = Client::open(gateway.addr(), transport);
        eventually(Duration::from_secs(20), "a publish is acknowledged", || {
            client.publish("/numbers/p0", &json!("before"))["successful"] == true
        });
        // Stopped, the broker's kernel still takes the bytes: the record has left, no answer will ever come.
        kafka.freeze();
        let id = client.send(&json!({ "channel": "/numbers/p0", "data": "lost?" })).unwrap();
        let sent = Instant::now();
        std::thread::sleep(Duration::from_millis(500));
        kafka.kill();
        let reply = client.reply(&id, Duration::from_secs(10)).expect("the publish is answered");
        assert_eq!(reply["successful"], false, "{reply}");
        assert!(reply["error"].as_str().unwrap().contains("outcome_unknown"), "{reply}");
        assert!(
            sent.elapsed() < Duration::from_secs(6),
            "within its time-out, not after {:?}",
            sent.elapsed()
        );

        // What never left is told from it.
        let reply = client.publish("/numbers/p0", &json!("never left"));
        assert_eq!(reply["successful"], false, "{reply}");
        assert!(reply["error"].as_str().unwrap().contains("not_written"), "{reply}");
        kafka.launch();
    }
    let values: Vec<String> = read_all(&kafka, "numbers").iter().map(|s| s.value_text().to_owned()).collect();
    assert!(!values.contains(&r#""never left""#.to_owned()), "{values:?}");
    assert!(values.len() >= 2, "{values:?}");
}

#[test]
fn sessions_outlive_kafka_and_errors_come_within_their_time_out() {
    let mut kafka = Kafka::start();
    kafka.create_topic("numbers", PARTITIONS);
    let gateway = impatient(&kafka);
    let mut clients: Vec<Client> =
        BOTH.iter().map(|t| Client::subscribed(gateway.addr(), *t, "/numbers/p1")).collect();
    kafka.kill();
    for client in &mut clients {
        let asked = Instant::now();
        let reply = client.subscribe("/numbers/p2");
        assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
        assert_eq!(reply["successful"], false, "{reply}");
        assert!(reply["error"].as_str().unwrap().starts_with("504:/numbers/p2:kafka_unavailable"), "{reply}");
        assert_eq!(reply.get("advice"), None, "{reply}");
        assert!(gateway.ready(), "a broker's absence does not take the gateway out of service");
    }
    kafka.launch();
    for client in &mut clients {
        eventually(Duration::from_secs(20), "subscribing works again", || {
            client.subscribe("/numbers/p2")["successful"] == true
        });
    }
    Writer::new(&kafka).put("numbers", "p2", "1");
    for client in &mut clients {
        assert_eq!(client.expect_event(), ("/numbers/p2".to_owned(), json!(1)));
    }
}

#[test]
fn the_gateway_starts_without_kafka_and_works_when_it_comes() {
    let mut kafka = Kafka::absent();
    let gateway = impatient(&kafka);
    assert!(gateway.ready_after() < Duration::from_secs(2), "{:?}", gateway.ready_after());
    let mut client = Client::open(gateway.addr(), Transport::LongPolling);
    let asked = Instant::now();
    let reply = client.subscribe("/numbers/*");
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    assert_eq!(reply["successful"], false, "{reply}");
    assert!(reply["error"].as_str().unwrap().starts_with("504:/numbers/*:kafka_unavailable"), "{reply}");
    let asked = Instant::now();
    let reply = client.publish("/numbers/p0", &json!(1));
    assert!(asked.elapsed() < Duration::from_secs(6), "{:?}", asked.elapsed());
    assert_eq!(reply["successful"], false, "{reply}");
    assert!(reply["error"].as_str().unwrap().contains("not_written"), "{reply}");

    kafka.launch();
    kafka.create_topic("numbers", PARTITIONS);
    eventually(Duration::from_secs(20), "subscribing works once Kafka is there", || {
        client.subscribe("/numbers/*")["successful"] == true
    });
    eventually(Duration::from_secs(20), "publishing works once Kafka is there", || {
        client.publish("/numbers/p0", &json!(2))["successful"] == true
    });
    assert_eq!(client.expect_event(), ("/numbers/p0".to_owned(), json!(2)));
}

/// Gateways that lose the same Kafka: what a client of Kafka makes of it is a matter of microseconds.
const GATEWAYS: usize = 8;

#[test]
fn kafka_may_stand_still_and_go_on() {
    let kafka = Kafka::start();
    kafka.create_topic("numbers", PARTITIONS);
    let gateways: Vec<Gateway> = (0..GATEWAYS).map(|_| impatient(&kafka)).collect();
    let mut subscribers: Vec<Client> = gateways
        .iter()
        .enumerate()
        .map(|(n, gateway)| Client::subscribed(gateway.addr(), BOTH[n % 2], "/numbers/*"))
        .collect();
    let mut publishers: Vec<Client> =
        gateways.iter().map(|gateway| Client::open(gateway.addr(), Transport::WebSocket)).collect();
    for round in 0..3 {
        // Longer than the broker's session with its controller: for a moment the cluster names no broker at all.
        kafka.freeze();
        std::thread::sleep(Duration::from_secs(4));
        kafka.thaw();
        for (n, publisher) in publishers.iter_mut().enumerate() {
            eventually(Duration::from_secs(20), "a publish is acknowledged", || {
                publisher.publish("/numbers/p1", &json!([round, n]))["successful"] == true
            });
            for subscriber in &mut subscribers {
                assert_eq!(subscriber.expect_event(), ("/numbers/p1".to_owned(), json!([round, n])));
            }
        }
    }
}

#[test]
fn a_cluster_that_says_it_has_no_brokers_is_outlived() {
    let mut kafka = Kafka::start();
    kafka.create_topic("numbers", PARTITIONS);
    let mut gateway = impatient(&kafka);
    let mut client = Client::subscribed(gateway.addr(), Transport::WebSocket, "/numbers/*");
    kafka.unregister();
    std::thread::sleep(Duration::from_secs(4));
    assert!(gateway.running(), "the gateway lives");
    kafka.kill();
    kafka.launch();
    Writer::new(&kafka).put("numbers", "p0", "1");
    assert_eq!(client.expect_event(), ("/numbers/p0".to_owned(), json!(1)));
}
