//! Clients that subscribe and then read nothing.

use std::time::Duration;

use crate::support::bayeux::{BOTH, Client};
use crate::support::eventually;
use crate::support::records::Writer;
use crate::witnesses::{Bounds, Scene};

#[test]
fn clients_that_never_read_end_as_slow_ones() {
    const EACH: usize = 200;
    const KEYS: usize = 40;
    const QUEUE: u64 = 256 * 1024;
    const ALL: usize = 2 * EACH;
    // Ten clients share the records of a key.
    let scene = Scene::new("queue: { bytes: 256KiB }");
    let mut records = 0;
    let deaf = scene.watch("400 clients that never read", Bounds::memory(ALL as u64 * QUEUE), |scene| {
        let deaf: Vec<Client> = (0..ALL)
            .map(|n| {
                Client::subscribed(scene.gateway.addr(), BOTH[n % 2], &format!("/harm/{}", n / 2 % KEYS))
            })
            .collect();
        let writer = Writer::new(scene.kafka);
        let value = format!("{:?}", "x".repeat(16_000));
        eventually(Duration::from_secs(20), "all of them are counted as slow", || {
            for key in 0..KEYS {
                writer.send(&scene.topic, Some(key.to_string().as_bytes()), Some(value.as_bytes()));
                records += 1;
            }
            // As fast as fat streams are; faster would measure Kafka.
            std::thread::sleep(Duration::from_millis(50));
            scene.count("halley_slow_consumer_disconnects_total", &[]) == ALL
        });
        deaf
    });
    eventually(Duration::from_secs(10), "their WebSockets are closed", || {
        scene.count("halley_websockets", &[]) == 0
    });
    drop(deaf);
    println!("    {records} records of 16 kB");
}
