//! Handshakes as fast as they go, without ever a connect.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::bayeux::{BOTH, Client};
use crate::support::eventually;
use crate::support::http::Http;
use crate::witnesses::{Bounds, Scene};

const HANDSHAKE: &[u8] = br#"[{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["long-polling"],"id":"1"}]"#;

#[test]
fn a_flood_of_handshakes_holds_no_more_sessions_than_are_allowed() {
    const CONNECTIONS: usize = 8;
    const TIME: Duration = Duration::from_secs(5);
    const MOST: usize = 20_000;
    let scene = Scene::new("bayeux: { max_interval: 5s }");
    let (made, sessions) = scene.watch("a flood of handshakes", Bounds::memory(48 << 20), |scene| {
        let (made, end) = (AtomicUsize::new(0), Instant::now() + TIME);
        std::thread::scope(|scope| {
            for _ in 0..CONNECTIONS {
                scope.spawn(|| {
                    let mut http = Http::connect(scene.gateway.addr());
                    while Instant::now() < end {
                        let response = http.post("/cometd", HANDSHAKE).unwrap();
                        assert_eq!(response.status, 200);
                        made.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            // Whoever means it gets in all the while.
            while Instant::now() < end {
                for transport in BOTH {
                    assert_eq!(
                        Client::open(scene.gateway.addr(), transport).disconnect()["successful"],
                        true
                    );
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        (made.into_inner(), scene.count("halley_sessions", &[]))
    });
    let ended = Instant::now();
    eventually(Duration::from_secs(10), "the sessions are gone after their interval", || {
        scene.count("halley_sessions", &[]) == 0
    });
    let took = ended.elapsed();
    assert!(sessions <= MOST + 2, "{sessions} sessions");
    assert!(made > 2 * MOST, "{made} handshakes are no flood");
    println!("    {made} handshakes, {sessions} sessions then, gone {:.1} s later", took.as_secs_f64());
}
