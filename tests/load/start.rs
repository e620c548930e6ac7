//! What a gateway costs that nobody uses yet.

use std::time::Duration;

use crate::support::gateway::Gateway;
use crate::support::kafka::Kafka;

const ROUTES: &str = r#"
routes:
  - name: prices
    channel: "/prices/{symbol}"
    topic: prices
    key: "{symbol}"
  - name: orders
    channel: "/orders/{region}/{id}"
    topic: "orders.{region}"
    key: "{id}"
    publish:
"#;

#[test]
fn ready_within_a_second_and_25_megabytes() {
    const RUNS: usize = 5;
    let kafka = Kafka::steady();
    kafka.create_topic("prices", 3);
    kafka.create_topic("orders.eu", 3);
    let mut starts = Vec::new();
    let mut memory = Vec::new();
    for _ in 0..RUNS {
        let gateway = Gateway::start(&kafka, ROUTES);
        starts.push(gateway.ready_after());
        // Settled: metadata read, producer warm.
        std::thread::sleep(Duration::from_secs(2));
        memory.push(gateway.process().resident());
    }
    println!(
        "start to ready {starts:?}; resident {:?} kB",
        memory.iter().map(|bytes| bytes / 1024).collect::<Vec<_>>()
    );
    if cfg!(debug_assertions) {
        return;
    }
    assert!(starts.iter().all(|start| *start < Duration::from_secs(1)), "{starts:?}");
    assert!(memory.iter().all(|bytes| *bytes < 25_000_000), "{memory:?}");
}
