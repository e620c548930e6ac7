//! Requests that are sent before the answer to the one before.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::bayeux::{Client, Transport};
use crate::support::http::Http;
use crate::wire::{gateway, good, handshake};

fn connect(id: &str) -> String {
    json!([{ "channel": "/meta/connect", "clientId": id, "connectionType": "long-polling", "id": "c" }])
        .to_string()
}

fn subscribe(id: &str, n: u32) -> String {
    json!([{ "channel": "/meta/subscribe", "clientId": id, "subscription": format!("/chat/{n}"), "id": n }])
        .to_string()
}

/// A connection with a session that has connected once.
fn session(gateway: &crate::support::gateway::Gateway) -> (Http, String) {
    let mut http = Http::connect(gateway.addr());
    let (id, _) = handshake(&mut http);
    good(&http.post("/cometd", connect(&id).as_bytes()).unwrap());
    (http, id)
}

fn next(http: &mut Http) -> Value {
    good(&http.response(Instant::now() + Duration::from_secs(5)).unwrap())
}

/// R5: a second request is never queued behind a held connect: that is answered at once, whether it has been held for long or not.
#[test]
fn a_request_behind_a_held_connect_is_answered() {
    let gateway = gateway("");
    let (mut http, id) = session(&gateway);
    for held in [50, 1500] {
        http.send_post("/cometd", &[], connect(&id).as_bytes()).unwrap();
        assert!(http.response(Instant::now() + Duration::from_millis(held)).is_err(), "the connect is held");
        let sent = Instant::now();
        for n in 1..=3 {
            http.send_post("/cometd", &[], subscribe(&id, n).as_bytes()).unwrap();
        }
        let reply = next(&mut http);
        assert_eq!((&reply[0]["id"], &reply[0]["successful"]), (&json!("c"), &json!(true)));
        for n in 1..=3 {
            assert_eq!(next(&mut http)[0]["id"], n);
        }
        assert!(sent.elapsed() < Duration::from_millis(500), "{:?}", sent.elapsed());
    }
    // Nothing is lost by it.
    http.send_post("/cometd", &[], connect(&id).as_bytes()).unwrap();
    let mut writer = Client::open(gateway.addr(), Transport::WebSocket);
    writer.publish("/chat/1", &json!(1));
    assert_eq!(next(&mut http)[0]["data"], 1);
}

/// R5: in the same packet as the connect, too, within a second or so.
#[test]
fn a_request_that_comes_with_a_connect_is_answered() {
    let gateway = gateway("");
    let (mut http, id) = session(&gateway);
    let post = |body: &str| {
        format!("POST /cometd HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    let sent = Instant::now();
    http.send_raw(format!("{}{}", post(&connect(&id)), post(&subscribe(&id, 1))).as_bytes()).unwrap();
    assert_eq!(next(&mut http)[0]["id"], "c");
    assert_eq!(next(&mut http)[0]["id"], 1);
    assert!(sent.elapsed() < Duration::from_secs(2), "{:?}", sent.elapsed());
}

/// R5, W20: a client that sends connect upon connect ahead is answered, and paced.
#[test]
fn connects_sent_ahead_are_paced() {
    let gateway = gateway("");
    let (mut http, id) = session(&gateway);
    let sent = Instant::now();
    for _ in 0..12 {
        http.send_post("/cometd", &[], connect(&id).as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
    for _ in 0..11 {
        assert_eq!(next(&mut http)[0]["successful"], true);
    }
    assert!(sent.elapsed() > Duration::from_secs(1), "{:?}", sent.elapsed());
}

/// R5: more requests ahead of an answer than `limits.pipelined` end the connection; the session lives on.
#[test]
fn too_many_requests_ahead_end_the_connection() {
    let gateway = gateway("limits: { pipelined: 2 }");
    let (mut http, id) = session(&gateway);
    let other = Client::subscribed(gateway.addr(), Transport::LongPolling, "/chat/1");
    http.send_post("/cometd", &[], connect(&id).as_bytes()).unwrap();
    assert!(http.response(Instant::now() + Duration::from_millis(1500)).is_err(), "the connect is held");
    let post = "POST /cometd HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n[]";
    http.send_raw(post.repeat(5).as_bytes()).unwrap();
    assert!(http.closed(Instant::now() + Duration::from_secs(5)));
    assert!(gateway.metric("halley_requests_refused_total", &["reason=\"pipelined\""]) > 0.5);
    let mut http = Http::connect(gateway.addr());
    assert_eq!(good(&http.post("/cometd", subscribe(&id, 1).as_bytes()).unwrap())[0]["successful"], true);
    drop(other);
}
