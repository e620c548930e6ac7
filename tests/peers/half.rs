//! Clients that begin something and leave it there.

use std::time::{Duration, Instant};

use crate::support::eventually;
use crate::support::http::Http;
use crate::support::ws::{TEXT, Ws, frame};
use crate::witnesses::{Bounds, Scene};

#[test]
fn half_of_a_request_or_a_message_is_waited_for_in_vain_only_so_long() {
    const HEADS: usize = 333;
    const BODIES: usize = 333;
    const FRAMES: usize = 334;
    const TIMEOUT: Duration = Duration::from_secs(3);
    let scene = Scene::new("limits: { header_timeout: 3s, body_timeout: 3s }");
    let took = scene.watch("1,000 halves of requests and messages", Bounds::memory(32 << 20), |scene| {
        let addr = scene.gateway.addr();
        let timeouts = || scene.count("halley_requests_refused_total", &["timeout"]);
        let half = |text: &str| {
            let mut http = Http::connect(addr);
            http.send_raw(text.as_bytes()).unwrap();
            http
        };
        let heads: Vec<Http> =
            (0..HEADS).map(|_| half("POST /cometd HTTP/1.1\r\nHost: h\r\nContent-")).collect();
        let bodies: Vec<Http> = (0..BODIES)
            .map(|_| half("POST /cometd HTTP/1.1\r\nHost: h\r\nContent-Length: 900000\r\n\r\n[{\"channel\":"))
            .collect();
        let mut frames: Vec<Ws> = (0..FRAMES).map(|_| Ws::connect(addr, "/cometd")).collect();
        for ws in &mut frames {
            ws.send_raw(&frame(TEXT, &vec![b' '; 60_000], true)[..100]).unwrap();
        }
        let sent = Instant::now();
        let until = sent + TIMEOUT + Duration::from_secs(2);
        for mut http in bodies {
            assert_eq!(http.response(until).expect("half a body is answered").status, 408);
        }
        for mut http in heads {
            assert!(http.closed(until), "half a head is cut off");
        }
        for mut ws in frames {
            let close = ws.closed(until).expect("half a message is cut off").expect("and told why");
            assert_eq!(close.close_code(), Some(1008));
            assert!(close.close_reason().contains("limits.body_timeout"), "{}", close.close_reason());
        }
        let took = sent.elapsed();
        eventually(Duration::from_secs(1), "each is counted", || timeouts() == HEADS + BODIES + FRAMES);
        took
    });
    println!("    the last one was closed {:.1} s after it was sent", took.as_secs_f64());
}
