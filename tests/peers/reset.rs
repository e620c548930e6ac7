//! Clients that vanish in the middle of what is written to them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use socket2::SockRef;

use crate::support::bayeux::{BOTH, Client};
use crate::support::eventually;
use crate::support::records::Writer;
use crate::witnesses::{Bounds, Scene};

#[test]
fn resets_in_the_middle_of_a_delivery_cost_a_session_each_and_no_more() {
    const THREADS: usize = 4;
    const TIME: Duration = Duration::from_secs(5);
    // A queue that holds what comes until it is known from where a subscription begins.
    let scene = Scene::new("bayeux: { max_interval: 3s }\nqueue: { bytes: 4MiB }");
    let resets =
        scene.watch("connections reset in the middle of a delivery", Bounds::memory(64 << 20), |scene| {
            let resets = AtomicUsize::new(0);
            let end = Instant::now() + TIME;
            std::thread::scope(|scope| {
                for thread in 0..THREADS {
                    let resets = &resets;
                    scope.spawn(move || {
                        for n in thread.. {
                            if Instant::now() > end {
                                return;
                            }
                            reset(scene, n);
                            resets.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
                let writer = Writer::new(scene.kafka);
                let value = format!("{:?}", "x".repeat(250_000));
                // Until the last of them has got a part of one.
                while Instant::now() < end + Duration::from_millis(500) {
                    writer.send(&scene.topic, Some(b"big"), Some(value.as_bytes()));
                    std::thread::sleep(Duration::from_millis(30));
                }
            });
            resets.into_inner()
        });
    eventually(Duration::from_secs(10), "their sockets and sessions are gone", || {
        ["halley_connections", "halley_websockets", "halley_sessions"]
            .iter()
            .all(|it| scene.count(it, &[]) == 0)
    });
    assert!(resets > 50, "{resets} resets are no storm");
    println!("    {resets} connections, a delivery of 250 kB each");
}

/// Subscribes, waits for the beginning of a delivery and closes the socket with a reset.
fn reset(scene: &Scene, n: usize) {
    let mut client = Client::open(scene.gateway.addr(), BOTH[n % 2]);
    // Much less than a delivery.
    SockRef::from(&*client.stream()).set_recv_buffer_size(8192).unwrap();
    let reply = client.request(&json!({ "channel": "/meta/subscribe", "subscription": "/harm/big" }));
    assert_eq!(reply["successful"], true, "{reply}");
    let stream = client.stream();
    let _ = stream.peek(&mut [0; 1]);
    SockRef::from(&*stream).set_linger(Some(Duration::ZERO)).unwrap();
}
