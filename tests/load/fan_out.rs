//! Many records to many subscribers of both transports: none lost, none twice, none out of order, every byte as it was.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crate::support::bayeux::{Client, Transport};
use crate::support::gateway::Gateway;
use crate::support::kafka::Kafka;
use crate::support::records::Writer;

/// Keys of the topic: record n has key n % KEYS and is number n / KEYS of its key.
const KEYS: usize = 100;

struct Load {
    records: usize,
    subscribers: usize,
    /// Records a second; below what two cores can do with Kafka, gateway and all clients on them.
    rate: usize,
}

/// Value of record `number` of `key`: the number, and a filler that both determine.
fn value(key: usize, number: usize, out: &mut Vec<u8>) {
    use std::io::Write;
    out.clear();
    write!(out, r#"{{"n":{number},"fill":"#).unwrap();
    out.push(b'"');
    let mut state = (key * 1_000_003 + number) as u64 | 1;
    for _ in 0..60 {
        // An xorshift: different for every record, cheap to make again.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.push(b'a' + u8::try_from(state % 26).unwrap());
    }
    out.extend_from_slice(br#""}"#);
}

/// Checks every delivery of one subscriber, to the last.
fn check(mut client: Client, who: usize, records: usize, deadline: Instant) {
    let mut next = [0_usize; KEYS];
    let mut expected = Vec::new();
    let mut count = 0;
    client
        .receive(deadline, |(channel, data)| {
            let key: usize = channel
                .strip_prefix(b"/load/k")
                .and_then(|key| std::str::from_utf8(key).ok()?.parse().ok())
                .unwrap_or_else(|| panic!("{who}: channel {}", String::from_utf8_lossy(channel)));
            value(key, next[key], &mut expected);
            assert!(
                data == expected,
                "{who}, key {key}, after {count} records: expected {}, got {}",
                String::from_utf8_lossy(&expected),
                String::from_utf8_lossy(data)
            );
            next[key] += 1;
            count += 1;
            if count == records { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap_or_else(|error| panic!("{who}: {error} after {count} of {records} records"));
    client.expect_silence(Duration::from_millis(500));
}

fn run(load: &Load) {
    let kafka = Kafka::steady();
    kafka.create_topic("load", 4);
    let routes =
        "routes:\n  - name: load\n    channel: \"/load/{key}\"\n    topic: load\n    key: \"{key}\"\n";
    let gateway = Gateway::start(&kafka, routes);
    let took = Duration::from_secs((load.records / load.rate) as u64);
    let deadline = Instant::now() + took + Duration::from_mins(1);
    let clients: Vec<Client> = (0..load.subscribers)
        .map(|n| {
            let transport = if n % 2 == 0 { Transport::WebSocket } else { Transport::LongPolling };
            Client::subscribed(gateway.addr(), transport, "/load/*")
        })
        .collect();
    println!("{} subscribers, resident {} kB", load.subscribers, gateway.process().resident() / 1024);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for (n, client) in clients.into_iter().enumerate() {
            let records = load.records;
            std::thread::Builder::new()
                .stack_size(256 * 1024)
                .spawn_scoped(scope, move || check(client, n, records, deadline))
                .unwrap();
        }
        let writer = Writer::new(&kafka);
        let mut bytes = Vec::new();
        for n in 0..load.records {
            let due = Duration::from_nanos(1_000_000_000 / load.rate as u64 * n as u64);
            if let Some(early) =
                due.checked_sub(started.elapsed()).filter(|early| *early > Duration::from_millis(2))
            {
                std::thread::sleep(early);
            }
            value(n % KEYS, n / KEYS, &mut bytes);
            writer.send("load", Some(format!("k{}", n % KEYS).as_bytes()), Some(&bytes));
            if n % (load.records / 10) == 0 {
                println!(
                    "{n} records written after {:?}, resident {} kB",
                    started.elapsed(),
                    gateway.process().resident() / 1024
                );
            }
        }
        writer.flush();
        println!("all records written after {:?}", started.elapsed());
    });
    let deliveries = load.records * load.subscribers;
    println!(
        "{deliveries} deliveries checked after {:?}, {} a second; resident {} kB",
        started.elapsed(),
        deliveries as u64 * 1000 / u64::try_from(started.elapsed().as_millis()).unwrap(),
        gateway.process().resident() / 1024
    );
}

#[test]
fn a_hundred_thousand_records_reach_two_hundred_subscribers() {
    run(&Load { records: 100_000, subscribers: 200, rate: 800 });
}

#[test]
#[ignore = "ten minutes: make soak"]
fn soak_a_million_records_reach_two_hundred_subscribers() {
    run(&Load { records: 1_000_000, subscribers: 200, rate: 1500 });
}
