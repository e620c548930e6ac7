//! Two thousand topics behind one template.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::numbers::{QUIET, take};
use crate::support::bayeux::{BOTH, Client};
use crate::support::eventually;
use crate::support::gateway::Gateway;
use crate::support::kafka::Kafka;
use crate::support::records::Writer;

const TOPICS: usize = 2000;
/// How many topics are created by one request.
const AT_ONCE: usize = 250;

/// Processor time of a process so far, in seconds.
fn cpu(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process is there");
    let after_name = stat.rsplit(')').next().expect("a name in brackets");
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks: f64 = fields[11..13].iter().map(|ticks| ticks.parse::<f64>().expect("a number")).sum();
    ticks / 100.0
}

fn create_all(kafka: &Kafka) {
    let admin: AdminClient<DefaultClientContext> = kafka.config().create().expect("an admin client");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let names: Vec<String> = (0..TOPICS).map(|n| format!("many.t{n:04}")).collect();
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_mins(1)));
    for names in names.chunks(AT_ONCE) {
        let topics: Vec<_> =
            names.iter().map(|name| NewTopic::new(name, 1, TopicReplication::Fixed(1))).collect();
        let results = runtime.block_on(admin.create_topics(&topics, &options)).expect("Kafka creates topics");
        for result in results {
            result.expect("the topic is created");
        }
    }
    let probe: BaseConsumer = kafka.config().create().expect("a client");
    eventually(Duration::from_mins(1), "all topics have leaders", || {
        probe.fetch_metadata(None, Duration::from_secs(5)).is_ok_and(|metadata| {
            let led = metadata.topics().iter().filter(|t| t.partitions().iter().all(|p| p.leader() >= 0));
            led.filter(|topic| topic.name().starts_with("many.")).count() == TOPICS
        })
    });
}

#[test]
fn two_thousand_topics_behind_one_template_are_read_and_one_more() {
    let begun = Instant::now();
    let kafka = Kafka::start();
    create_all(&kafka);
    println!("{TOPICS} topics were created within {:.1?}", begun.elapsed());
    let gateway = Gateway::start(
        &kafka,
        "routes: [{ name: many, channel: '/many/{t}/{key}', topic: 'many.{t}', key: '{key}' }]",
    );
    let mut clients = Vec::new();
    let mut used = cpu(gateway.process().pid());
    for transport in BOTH {
        let asked = Instant::now();
        clients.push(Client::subscribed(gateway.addr(), transport, "/many/**"));
        let now = cpu(gateway.process().pid());
        println!(
            "{transport:?} subscribed within {:.0?}, {:.2} s of processor time",
            asked.elapsed(),
            now - used
        );
        used = now;
    }
    let writer = Writer::new(&kafka);
    for round in 0..2 {
        let sent = Instant::now();
        for n in 0..TOPICS {
            writer.send(&format!("many.t{n:04}"), Some(b"k"), Some(round.to_string().as_bytes()));
        }
        writer.flush();
        let written = sent.elapsed();
        for client in &mut clients {
            let taken = take(client, TOPICS);
            let channels: HashSet<String> = (0..TOPICS).map(|n| format!("/many/t{n:04}/k")).collect();
            assert_eq!(taken.keys().cloned().collect::<HashSet<_>>(), channels, "one of each topic");
            assert!(taken.values().all(|numbers| *numbers == [round]), "each once");
        }
        let now = cpu(gateway.process().pid());
        println!(
            "a record in each topic was written within {written:.1?}, read within {:.1?}, {:.2} s of processor time",
            sent.elapsed(),
            now - used
        );
        used = now;
    }
    println!("{} MB resident", gateway.process().resident() / 1_000_000);
    kafka.create_topic("many.new", 1);
    writer.put("many.new", "k", "7");
    let created = Instant::now();
    for client in &mut clients {
        assert_eq!(client.expect_event(), ("/many/new/k".to_owned(), serde_json::json!(7)));
    }
    println!("a new topic was found within {:.1?}", created.elapsed());
    for client in &mut clients {
        client.expect_silence(QUIET);
    }
    let (idle, before) = (Instant::now(), cpu(gateway.process().pid()));
    for client in &mut clients {
        client.expect_silence(Duration::from_secs(5));
    }
    let share = (cpu(gateway.process().pid()) - before) / idle.elapsed().as_secs_f64();
    println!("idle, it takes {:.1} % of a core", share * 100.0);
}
