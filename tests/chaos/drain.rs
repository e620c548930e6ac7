//! SIGTERM: nothing that was promised is lost, nobody is left hanging.

use std::collections::{HashSet, VecDeque};
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::bayeux::{BOTH, Client, Transport};
use crate::support::eventually;
use crate::support::gateway::{Gateway, Setup, keyed};
use crate::support::http::Http;
use crate::support::kafka::Kafka;
use crate::support::records::read_all;
use crate::support::ws::Ws;

/// Publishes numbers until the gateway ends the session; returns what was acknowledged.
fn publish_until_the_end(
    mut client: Client,
    name: &str,
    acknowledged: &AtomicUsize,
    give_up: &AtomicBool,
) -> Vec<String> {
    // Long-polling sends one after another, as real clients do; a WebSocket has many under way.
    let window = if client.transport == Transport::WebSocket { 50 } else { 1 };
    let channel = format!("/load/{name}");
    let mut pending: VecDeque<(String, String)> = VecDeque::new();
    let mut good = Vec::new();
    for n in 0.. {
        let value = format!("{name}-{n}");
        // A socket that does not take it any more is the end, but answers may still be in it.
        let sent = client.send(&json!({ "channel": channel, "data": value }));
        let ended = match sent {
            Ok(id) => {
                pending.push_back((id, value));
                false
            }
            Err(_) => true,
        };
        while pending.len() >= window || (ended && !pending.is_empty()) {
            let (id, value) = pending.pop_front().unwrap();
            match client.reply(&id, Duration::from_secs(10)) {
                Ok(reply) if reply["successful"] == true => {
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                    good.push(value);
                }
                Ok(_) => {}
                Err(error) => {
                    assert_ne!(
                        error.kind(),
                        ErrorKind::TimedOut,
                        "{name}: a publish is neither answered nor the socket closed"
                    );
                    return good;
                }
            }
        }
        if ended || give_up.load(Ordering::Relaxed) {
            return good;
        }
    }
    unreachable!()
}

#[test]
fn every_acknowledged_publish_is_in_kafka_after_sigterm_under_load() {
    let kafka = Kafka::start();
    kafka.create_topic("load", 4);
    let mut gateway =
        Gateway::with(&Setup { kafka: kafka.bootstrap(), routes: &keyed("load"), settings: "drain: 5s" });
    let acknowledged = AtomicUsize::new(0);
    let give_up = AtomicBool::new(false);
    let good: Vec<String> = std::thread::scope(|scope| {
        let publishers: Vec<_> = (0..8)
            .map(|n| {
                let client = Client::open(gateway.addr(), BOTH[n % 2]);
                let (acknowledged, give_up) = (&acknowledged, &give_up);
                scope.spawn(move || publish_until_the_end(client, &format!("c{n}"), acknowledged, give_up))
            })
            .collect();
        eventually(Duration::from_secs(30), "publishes are acknowledged", || {
            acknowledged.load(Ordering::Relaxed) > 2000
        });
        gateway.terminate();
        let asked = Instant::now();
        let status = gateway.wait(Duration::from_secs(8));
        assert_eq!(status.code(), Some(0), "after {:?}", asked.elapsed());
        println!("drained under load within {:?}", asked.elapsed());
        give_up.store(true, Ordering::Relaxed);
        publishers.into_iter().flat_map(|publisher| publisher.join().unwrap()).collect()
    });
    let kept: HashSet<String> = read_all(&kafka, "load").iter().map(|s| s.value_text().to_owned()).collect();
    let missing: Vec<&String> = good.iter().filter(|value| !kept.contains(&format!("{value:?}"))).collect();
    println!("{} publishes acknowledged, {} records in Kafka", good.len(), kept.len());
    assert!(missing.is_empty(), "acknowledged but not in Kafka: {missing:?}");
}

/// B91: nothing is held until its time is over.
#[test]
fn a_drain_answers_held_connects_and_closes_sockets_with_1001() {
    let kafka = Kafka::shared();
    let mut gateway =
        Gateway::with(&Setup { kafka: kafka.bootstrap(), routes: &keyed("load"), settings: "drain: 5s" });
    let mut poll = Client::open(gateway.addr(), Transport::LongPolling);
    let mut socket = Ws::connect(gateway.addr(), "/cometd");
    socket
        .send_text(
            r#"[{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["websocket"],"id":"1"}]"#,
        )
        .unwrap();
    socket.receive(Instant::now() + Duration::from_secs(5)).unwrap();
    let mut kept_alive = Http::connect(gateway.addr());
    assert_eq!(kept_alive.post("/cometd", b"[]").unwrap().status / 100, 2);

    gateway.terminate();
    let asked = Instant::now();
    // The reply that the client holds is answered with an advice to come again, not cut off.
    let reply = poll.connect_reply(Duration::from_secs(6)).expect("the held connect is answered");
    assert_eq!(reply["successful"], true, "{reply}");
    assert_eq!(reply["advice"]["reconnect"], "retry", "{reply}");
    let close = socket.closed(Instant::now() + Duration::from_secs(6)).expect("the WebSocket is closed");
    assert_eq!(close.and_then(|frame| frame.close_code()), Some(1001));
    assert_eq!(gateway.wait(Duration::from_secs(8)).code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(6), "{:?}", asked.elapsed());
    assert!(Http::try_connect(gateway.addr()).is_err(), "nothing listens any more");
}

#[test]
fn a_drain_with_kafka_frozen_still_ends_in_time() {
    let kafka = Kafka::start();
    kafka.create_topic("load", 1);
    let mut gateway = Gateway::with(&Setup {
        kafka: kafka.bootstrap(),
        routes: &keyed("load"),
        settings: "drain: 3s\npublish: { timeout: 2s }",
    });
    let mut client = Client::open(gateway.addr(), Transport::WebSocket);
    assert_eq!(client.publish("/load/k", &json!(1))["successful"], true);
    kafka.freeze();
    let id = client.send(&json!({ "channel": "/load/k", "data": 2 })).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    gateway.terminate();
    let asked = Instant::now();
    // Either its answer comes before the socket is closed, or none does: never a success.
    if let Ok(reply) = client.reply(&id, Duration::from_secs(6)) {
        assert_eq!(reply["successful"], false, "{reply}");
    }
    assert_eq!(gateway.wait(Duration::from_secs(6)).code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    kafka.thaw();
}
