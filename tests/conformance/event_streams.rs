//! Event streams, as Faye's clients use them.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::bayeux::{Client, Transport};
use crate::support::eventually;
use crate::support::gateway::Gateway;
use crate::support::http::{Http, Response};
use crate::wire::{gateway, good, handshake};

const STREAM: (&str, &str) = ("Accept", "text/event-stream");

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

fn post(http: &mut Http, messages: &Value) -> Value {
    good(&http.post("/cometd", messages.to_string().as_bytes()).unwrap())
}

fn connect(id: &str) -> Value {
    json!([{ "channel": "/meta/connect", "clientId": id, "connectionType": "eventsource", "id": "c" }])
}

/// Opens the stream of a session, on a connection of its own.
fn open(gateway: &Gateway, id: &str, headers: &[(&str, &str)]) -> (Response, Http) {
    let mut stream = Http::connect(gateway.addr());
    let headers = [headers, &[STREAM]].concat();
    stream.send("GET", &format!("/cometd/{id}"), &headers).unwrap();
    let head = stream.head(soon()).unwrap();
    if head.status == 200 {
        assert_eq!(head.header("content-type"), Some("text/event-stream;charset=utf-8"));
        assert!(stream.block(soon()).unwrap().starts_with("retry: "));
    }
    (head, stream)
}

/// A session that is subscribed to a channel, and the connection that it posts on.
fn subscribed(gateway: &Gateway, channel: &str) -> (String, Http) {
    let mut http = Http::connect(gateway.addr());
    let (id, _) = handshake(&mut http);
    let subscribe =
        json!([{ "channel": "/meta/subscribe", "clientId": id, "subscription": channel, "id": "s" }]);
    assert_eq!(post(&mut http, &subscribe)[0]["successful"], true);
    (id, http)
}

/// The messages of the next block, which is one line.
fn data(stream: &mut Http) -> Value {
    let block = stream.block(soon()).unwrap();
    let line = block.strip_prefix("data: ").unwrap_or_else(|| panic!("{block}"));
    assert!(!line.contains(['\n', '\r']));
    serde_json::from_str(line).unwrap()
}

/// R7, R32, R54: a stream brings the events; connects are answered at once, bring none, and advise to come again after a while.
#[test]
fn a_session_with_an_event_stream() {
    let gateway = gateway("bayeux: { timeout: 20s }");
    let (id, mut http) = subscribed(&gateway, "/chat/*");
    let (_, mut stream) = open(&gateway, &id, &[]);
    for _ in 0..2 {
        let asked = Instant::now();
        let advice = json!({ "reconnect": "retry", "interval": 20_000, "timeout": 0 });
        assert_eq!(
            post(&mut http, &connect(&id)),
            json!([{ "channel": "/meta/connect", "id": "c", "successful": true, "advice": advice }])
        );
        assert!(asked.elapsed() < Duration::from_secs(1));
    }
    let mut writer = Client::open(gateway.addr(), Transport::WebSocket);
    for n in 0..100 {
        assert_eq!(writer.publish("/chat/1", &json!({ "n": n, "text": "é\n" }))["successful"], true);
        assert_eq!(data(&mut stream), json!([{ "channel": "/chat/1", "data": { "n": n, "text": "é\n" } }]));
    }
    // Its own publish, too; the reply goes where the request came from.
    let publish = json!([{ "channel": "/chat/2", "clientId": id, "data": 1, "id": "p" }]);
    assert_eq!(post(&mut http, &publish), json!([{ "channel": "/chat/2", "id": "p", "successful": true }]));
    assert_eq!(data(&mut stream)[0]["channel"], "/chat/2");
    let disconnect = json!([{ "channel": "/meta/disconnect", "clientId": id, "id": "d" }]);
    assert_eq!(post(&mut http, &disconnect)[0]["successful"], true);
    assert!(stream.closed(soon()), "the stream of a session that left is closed");
}

/// R63: what comes while there is no stream comes with the next one, or with a connect.
#[test]
fn events_wait_for_a_stream() {
    let gateway = gateway("");
    let (id, mut http) = subscribed(&gateway, "/chat/1");
    post(&mut http, &connect(&id));
    let mut writer = Client::open(gateway.addr(), Transport::WebSocket);
    for n in 0..4 {
        assert_eq!(writer.publish("/chat/1", &json!(n))["successful"], true);
        if n == 1 {
            let events = post(&mut http, &connect(&id));
            let numbers: Vec<&Value> =
                events.as_array().unwrap().iter().filter_map(|it| it.get("data")).collect();
            assert_eq!(numbers, [0, 1]);
        }
    }
    let (_, mut stream) = open(&gateway, &id, &[]);
    assert_eq!((&data(&mut stream)[0]["data"], &data(&mut stream)[0]["data"]), (&json!(2), &json!(3)));
}

/// R63, B26: what a broken stream had not written yet comes with the next one.
#[test]
fn a_broken_stream_gives_back_what_it_has_not_written() {
    const EVENTS: u64 = 100;
    let gateway = gateway("queue: { bytes: 16MiB }");
    let (id, _http) = subscribed(&gateway, "/chat/1");
    let (_, stream) = open(&gateway, &id, &[]);
    let mut writer = Client::open(gateway.addr(), Transport::WebSocket);
    let text = "x".repeat(100_000);
    for n in 0..EVENTS {
        assert_eq!(writer.publish("/chat/1", &json!({ "n": n, "text": text }))["successful"], true);
    }
    drop(stream);
    let (_, mut stream) = open(&gateway, &id, &[]);
    let mut next = data(&mut stream)[0]["data"]["n"].as_u64().unwrap();
    println!("the kernel had taken {next} of {EVENTS} events");
    while next < EVENTS - 1 {
        next += 1;
        assert_eq!(data(&mut stream)[0]["data"]["n"], next);
    }
}

/// W9: the transport of the latest connect has the events; a stream that is left, or replaced, ends.
#[test]
fn a_session_moves_to_a_stream_and_away() {
    let gateway = gateway("");
    let mut client = Client::subscribed(gateway.addr(), Transport::WebSocket, "/chat/1");
    let (_, mut first) = open(&gateway, &client.id, &[]);
    let mut writer = Client::open(gateway.addr(), Transport::WebSocket);
    writer.publish("/chat/1", &json!(1));
    assert_eq!(data(&mut first)[0]["data"], 1);
    let (_, mut second) = open(&gateway, &client.id, &[]);
    assert!(first.closed(soon()));
    writer.publish("/chat/1", &json!(2));
    assert_eq!(data(&mut second)[0]["data"], 2);
    let mut http = Http::connect(gateway.addr());
    let connect = json!([{ "channel": "/meta/connect", "clientId": client.id, "connectionType": "long-polling", "advice": { "timeout": 0 } }]);
    post(&mut http, &connect);
    assert!(second.closed(soon()));
    writer.publish("/chat/1", &json!(3));
    assert_eq!(post(&mut http, &connect)[0]["data"], 3);
    client.expect_silence(Duration::from_millis(50));
}

/// B27, B28: a stream whose session is gone tells its client to shake hands again, and ends.
#[test]
fn a_stream_without_a_session_says_so() {
    let gateway = gateway("bayeux: { max_interval: 1s }");
    let gone = json!([{ "channel": "/meta/connect", "successful": false, "error": "402::session_unknown",
        "advice": { "reconnect": "handshake", "interval": 0 } }]);
    let (_, mut stream) = open(&gateway, "000nobody", &[]);
    assert_eq!(data(&mut stream), gone);
    assert!(stream.closed(soon()));
    // One that expires while its stream is open, since no connect comes.
    let (id, _http) = subscribed(&gateway, "/chat/1");
    let (_, mut stream) = open(&gateway, &id, &[]);
    loop {
        let block = stream.block(soon()).unwrap();
        if block != ":" {
            assert_eq!(serde_json::from_str::<Value>(block.strip_prefix("data: ").unwrap()).unwrap(), gone);
            break;
        }
    }
    assert!(stream.closed(soon()));
}

/// B40, R71: another browser's cookie opens nothing, nor does a page of another origin; an allowed page may read.
#[test]
fn a_stream_is_opened_by_its_own_browser_and_by_allowed_pages() {
    let gateway = gateway(r#"origins: ["https://app.example.com"]"#);
    let mut http = Http::connect(gateway.addr());
    let body =
        br#"[{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["eventsource"]}]"#;
    let reply = good(&http.post_with("/cometd", &[("Cookie", "BAYEUX_BROWSER=mine")], body).unwrap());
    let id = reply[0]["clientId"].as_str().unwrap();
    let (_, mut stream) = open(&gateway, id, &[("Cookie", "BAYEUX_BROWSER=other")]);
    assert_eq!(data(&mut stream)[0]["error"], "402::session_unknown");
    let page = ("Origin", "https://app.example.com");
    let (head, mut stream) = open(&gateway, id, &[("Cookie", "BAYEUX_BROWSER=mine"), page]);
    assert_eq!(head.header("access-control-allow-origin"), Some("https://app.example.com"));
    assert_eq!(head.header("access-control-allow-credentials"), Some("true"));
    let until = Instant::now() + Duration::from_millis(100);
    assert_eq!(stream.block(until).unwrap_err().kind(), ErrorKind::TimedOut, "it stays open");
    assert_eq!(open(&gateway, id, &[("Origin", "https://evil.example")]).0.status, 403);
}

/// R7: comments come on a silent stream after as long as a connect would be held.
#[test]
fn a_silent_stream_shows_that_it_lives() {
    let gateway = gateway("bayeux: { timeout: 1s }");
    let (id, _http) = subscribed(&gateway, "/chat/1");
    let (_, mut stream) = open(&gateway, &id, &[]);
    for _ in 0..2 {
        assert_eq!(stream.block(soon()).unwrap(), ":");
    }
}

/// B26, B61: a client that does not read its stream is ended when its queue is full, and hears of it; others get all.
#[test]
fn a_client_that_does_not_read_is_bounded() {
    let gateway = gateway("queue: { bytes: 256KiB }");
    let (id, mut http) = subscribed(&gateway, "/chat/1");
    let (_, stream) = open(&gateway, &id, &[]);
    let (other, _) = subscribed(&gateway, "/chat/1");
    let (_, mut reads) = open(&gateway, &other, &[]);
    let mut writer = Client::open(gateway.addr(), Transport::WebSocket);
    let large = "x".repeat(100_000);
    let slow = || gateway.metric("halley_slow_consumer_disconnects_total", &[]);
    let mut published = 0;
    while slow() < 0.5 {
        assert!(published < 500, "50 MB do not fit between two sockets");
        assert_eq!(writer.publish("/chat/1", &json!({ "n": published, "text": large }))["successful"], true);
        assert_eq!(data(&mut reads)[0]["data"]["n"], published);
        published += 1;
    }
    let reply = post(&mut http, &connect(&id));
    assert_eq!(reply[0]["error"], "402:slow_consumer:session_unknown");
    drop(stream);
    eventually(Duration::from_secs(10), "its stream is closed", || {
        gateway.metric("halley_event_streams", &[]) < 1.5
    });
}

/// R54: whichever shard a connection lands on, the stream is that of its session.
#[test]
fn streams_find_their_sessions_on_other_shards() {
    let gateway = gateway("shards: 3");
    let sessions: Vec<(String, Http)> = (0..6).map(|n| subscribed(&gateway, &format!("/chat/{n}"))).collect();
    let mut streams: Vec<Http> = sessions.iter().map(|(id, _)| open(&gateway, id, &[]).1).collect();
    // Another one in between, so that no stream lands where its session is by the order of connections.
    let mut writer = Client::open(gateway.addr(), Transport::WebSocket);
    streams.extend(sessions.iter().map(|(id, _)| open(&gateway, id, &[]).1));
    for (n, stream) in streams.iter_mut().skip(sessions.len()).enumerate() {
        assert_eq!(writer.publish(&format!("/chat/{n}"), &json!(n))["successful"], true);
        assert_eq!(data(stream), json!([{ "channel": format!("/chat/{n}"), "data": n }]));
    }
}

/// B91: a gateway that goes down ends its streams.
#[test]
fn streams_end_when_the_gateway_goes_down() {
    let mut gateway = gateway("drain: 5s");
    let (id, http) = subscribed(&gateway, "/chat/1");
    let (_, mut stream) = open(&gateway, &id, &[]);
    drop(http);
    gateway.terminate();
    assert!(stream.closed(soon()));
    drop(stream);
    assert!(gateway.wait(Duration::from_secs(10)).success());
}
