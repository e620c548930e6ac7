//! Whose a session is, how long it lives, and where its events go.

use std::net::Shutdown;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::bayeux::{BOTH, Client, Transport};
use crate::support::gateway::{Gateway, keyed};
use crate::support::http::{Http, PATIENCE};
use crate::support::kafka::Kafka;
use crate::support::records::Writer;
use crate::support::ws::{TEXT, Ws};
use crate::support::{eventually, unique};

const ROUTES: &str = r#"
routes:
  - { name: chat, channel: "/chat/{room}", local: true, publish: }
"#;

/// No Kafka: local routes do without. Sessions live for a second.
fn gateway(settings: &str) -> Gateway {
    Gateway::local(ROUTES, settings)
}

const SHORT: &str = "bayeux: { timeout: 1s, max_interval: 1s }";

fn handshake() -> Value {
    json!({ "channel": "/meta/handshake", "version": "1.0", "supportedConnectionTypes": ["long-polling"], "id": "h" })
}

fn connect(id: &str) -> Value {
    json!({ "channel": "/meta/connect", "clientId": id, "connectionType": "long-polling", "id": "c", "advice": { "timeout": 0 } })
}

fn subscribe(id: &str, channel: &str) -> Value {
    json!({ "channel": "/meta/subscribe", "clientId": id, "subscription": channel, "id": "s" })
}

fn publish(id: &str, channel: &str, data: i64) -> Value {
    json!({ "channel": channel, "clientId": id, "data": data, "id": format!("p{data}") })
}

/// Posts messages and takes their replies.
fn post(http: &mut Http, headers: &[(&str, &str)], messages: &[Value]) -> Vec<Value> {
    let response = http.post_with("/cometd", headers, json!(messages).to_string().as_bytes()).unwrap();
    assert_eq!(response.status, 200);
    serde_json::from_slice(&response.body).unwrap()
}

fn client_id(reply: &Value) -> String {
    reply["clientId"].as_str().expect("a clientId").to_owned()
}

/// Handshakes and connects, with this cookie.
fn session(http: &mut Http, headers: &[(&str, &str)]) -> String {
    let id = client_id(&post(http, headers, &[handshake()])[0]);
    assert_eq!(post(http, headers, &[connect(&id)])[0]["successful"], true);
    id
}

fn frame(ws: &mut Ws) -> Vec<Value> {
    let frame = ws.receive(Instant::now() + PATIENCE).unwrap();
    assert_eq!(frame.opcode, TEXT);
    serde_json::from_slice(&frame.payload).unwrap()
}

fn send(ws: &mut Ws, messages: &[Value]) {
    ws.send_text(&json!(messages).to_string()).unwrap();
}

/// A socket with a session that is handshaken.
fn socket(gateway: &Gateway, headers: &[(&str, &str)]) -> (Ws, String) {
    let mut ws = Ws::try_connect(gateway.addr(), "/cometd", headers).unwrap();
    send(&mut ws, &[handshake()]);
    let id = client_id(&frame(&mut ws)[0]);
    (ws, id)
}

/// B2, B9: another handshake of the same browser, also on the same connection, makes another session; the first one lives, and its events
/// come with its own connects only.
#[test]
fn a_browser_may_have_several_sessions() {
    let gateway = gateway("");
    let mut http = Http::connect(gateway.addr());
    let cookie = [("Cookie", "BAYEUX_BROWSER=mine")];
    let first = session(&mut http, &cookie);
    assert_eq!(post(&mut http, &cookie, &[subscribe(&first, "/chat/a")])[0]["successful"], true);
    assert_eq!(post(&mut http, &cookie, &[publish(&first, "/chat/a", 1)])[0]["successful"], true);
    let replies = post(&mut http, &cookie, &[handshake()]);
    assert_eq!(replies.len(), 1, "a handshake's reply is alone: {replies:?}");
    let second = client_id(&replies[0]);
    assert_ne!(first, second);
    assert_eq!(post(&mut http, &cookie, &[connect(&second)]).len(), 1);
    let messages = post(&mut http, &cookie, &[connect(&first)]);
    assert_eq!(messages[0], json!({ "channel": "/chat/a", "data": 1 }));
    assert_eq!(messages[1]["successful"], true);
    // On a socket the handshake takes the socket over.
    let (mut ws, first) = socket(&gateway, &[]);
    send(&mut ws, &[handshake()]);
    let second = client_id(&frame(&mut ws)[0]);
    assert_ne!(first, second);
    send(&mut ws, &[connect(&second)]);
    assert_eq!(frame(&mut ws)[0]["successful"], true);
    assert_eq!(post(&mut http, &[], &[connect(&first)])[0]["successful"], true);
}

/// B11, B40, B41: a session is used by the browser that it belongs to: another's cookie is 402, also on the same connection, in the middle of a
/// batch, with another `Host` or `Origin`, and on a WebSocket; and its owner notices nothing.
#[test]
fn a_session_of_another_browser_cannot_be_used() {
    let gateway = gateway("origins: [\"https://app.example.com\"]");
    let (mine, other) = ([("Cookie", "BAYEUX_BROWSER=mine")], [("Cookie", "BAYEUX_BROWSER=other")]);
    let mut http = Http::connect(gateway.addr());
    let victim = session(&mut http, &mine);
    assert_eq!(post(&mut http, &mine, &[subscribe(&victim, "/chat/a")])[0]["successful"], true);
    let thief = session(&mut http, &other);
    let origin = [other[0], ("Origin", "https://app.example.com")];
    for headers in [&other[..], &origin] {
        let replies = post(
            &mut http,
            headers,
            &[
                publish(&thief, "/chat/b", 1),
                publish(&victim, "/chat/a", 2),
                subscribe(&victim, "/chat/b"),
                json!({ "channel": "/meta/disconnect", "clientId": victim, "id": "d" }),
                publish(&thief, "/chat/b", 3),
            ],
        );
        let errors: Vec<_> = replies.iter().map(|reply| reply["error"].as_str()).collect();
        let unknown = Some("402::session_unknown");
        assert_eq!(errors, [None, unknown, unknown, unknown, None]);
        assert_eq!(post(&mut http, headers, &[connect(&victim)])[0]["error"], "402::session_unknown");
    }
    let (mut ws, _) = socket(&gateway, &other);
    for message in [connect(&victim), publish(&victim, "/chat/a", 4)] {
        send(&mut ws, &[message]);
        assert_eq!(frame(&mut ws)[0]["error"], "402::session_unknown");
    }
    assert_eq!(post(&mut http, &mine, &[publish(&victim, "/chat/a", 5)])[0]["successful"], true);
    let messages = post(&mut http, &mine, &[connect(&victim)]);
    assert_eq!(
        messages[0],
        json!({ "channel": "/chat/a", "data": 5 }),
        "nothing else came through: {messages:?}"
    );
    assert_eq!(messages[1]["successful"], true);
}

/// B18: a pause that the client announces is added to its session's life.
#[test]
fn an_announced_pause_is_waited_for() {
    let gateway = gateway(SHORT);
    let mut http = Http::connect(gateway.addr());
    let id = session(&mut http, &[]);
    let mut pause = connect(&id);
    pause["advice"] = json!({ "timeout": 0, "interval": 2_500 });
    assert_eq!(post(&mut http, &[], &[pause])[0]["successful"], true);
    sleep(Duration::from_millis(2_500));
    assert_eq!(post(&mut http, &[], &[connect(&id)])[0]["successful"], true);
    // The pause was for that connect: the usual time is all that is left.
    sleep(Duration::from_millis(1_500));
    assert_eq!(post(&mut http, &[], &[connect(&id)])[0]["error"], "402::session_unknown");
}

/// B28: a connect that comes just as its session expires is answered one way or the other, and never with `none`.
#[test]
fn a_connect_beside_its_expiry_is_answered() {
    let gateway = gateway(SHORT);
    let mut http = Http::connect(gateway.addr());
    let ids: Vec<_> = (0..40).map(|_| session(&mut http, &[])).collect();
    let (mut lived, mut expired) = (0, 0);
    let start = Instant::now();
    for (n, id) in (0_u32..).zip(ids) {
        // From 0.9 s to 1.1 s after.
        let due = start + Duration::from_millis(900) + n * Duration::from_millis(5);
        sleep(due.saturating_duration_since(Instant::now()));
        let reply = post(&mut http, &[], &[connect(&id)]).remove(0);
        if reply["successful"] == true {
            lived += 1;
            assert_eq!(reply["advice"]["reconnect"], "retry");
        } else {
            expired += 1;
            assert_eq!(reply["error"], "402::session_unknown");
            assert_eq!(reply["advice"]["reconnect"], "handshake");
        }
    }
    assert_eq!(lived + expired, 40);
    assert!(expired > 0, "some were late");
}

/// B29, B45: what comes behind a disconnect in a request finds no session; a connect before it is answered, not held.
#[test]
fn a_disconnect_beside_a_connect() {
    let gateway = gateway("");
    let mut http = Http::connect(gateway.addr());
    let bye = |id: &str| json!({ "channel": "/meta/disconnect", "clientId": id, "id": "d" });
    let id = session(&mut http, &[]);
    let replies = post(&mut http, &[], &[bye(&id), connect(&id), subscribe(&id, "/chat/a")]);
    let errors: Vec<_> = replies.iter().map(|reply| reply["error"].as_str()).collect();
    assert_eq!(errors, [None, Some("402::session_unknown"), Some("402::session_unknown")]);
    assert_eq!(replies[1]["advice"]["reconnect"], "handshake");
    let id = session(&mut http, &[]);
    let mut held = connect(&id);
    held["advice"] = Value::Null;
    let replies = post(&mut http, &[], &[held, bye(&id)]);
    assert_eq!((&replies[0]["successful"], &replies[1]["successful"]), (&json!(true), &json!(true)));
}

/// B31, R56: other messages than connects prolong a session, but not for ever.
#[test]
fn publishes_alone_keep_no_session() {
    let gateway = gateway(SHORT);
    let mut http = Http::connect(gateway.addr());
    let id = session(&mut http, &[]);
    let start = Instant::now();
    let lived = loop {
        let reply = post(&mut http, &[], &[publish(&id, "/chat/a", 1)]).remove(0);
        if reply["successful"] != true {
            assert_eq!(reply["error"], "402::session_unknown");
            break start.elapsed();
        }
        assert!(start.elapsed() < PATIENCE);
        sleep(Duration::from_millis(200));
    };
    assert!((Duration::from_millis(2_500)..Duration::from_secs(6)).contains(&lived), "{lived:?}");
}

/// B4, B68: sessions whose sockets broke off expire, however far they had come, and leave nothing: no subscription, nothing that waits.
#[test]
fn a_socket_that_breaks_off_leaves_nothing() {
    let gateway = gateway(SHORT);
    let gone = |mut ws: Ws| ws.stream().shutdown(Shutdown::Both).unwrap();
    let (ws, _) = socket(&gateway, &[]);
    gone(ws);
    let (mut ws, id) = socket(&gateway, &[]);
    send(&mut ws, &[subscribe(&id, "/chat/a")]);
    assert_eq!(frame(&mut ws)[0]["successful"], true);
    gone(ws);
    let (mut ws, id) = socket(&gateway, &[]);
    send(&mut ws, &[subscribe(&id, "/chat/a"), connect(&id)]);
    assert_eq!(frame(&mut ws).len(), 2);
    let mut held = connect(&id);
    held["advice"] = Value::Null;
    send(&mut ws, &[held]);
    gone(ws);
    assert!(gateway.metric("halley_sessions", &[]) > 0.0);
    eventually(PATIENCE, "all sessions expire", || gateway.metric("halley_sessions", &[]) == 0.0);
    let count = |name: &str| gateway.metric(name, &[]).to_string();
    assert_eq!(count("halley_sessions_expired_total"), "3");
    assert_eq!(count("halley_subscriptions"), "0");
    // Nobody is there to get it.
    let mut client = Client::open(gateway.addr(), Transport::LongPolling);
    assert_eq!(client.publish("/chat/a", &json!(1))["successful"], true);
    assert_eq!(count("halley_deliveries_total"), "0");
    eventually(PATIENCE, "nothing waits", || gateway.metric("halley_queue_bytes", &[]) == 0.0);
}

/// B64: a publish on a WebSocket is answered, and its event pushed, while the connect stays held.
#[test]
fn a_publish_does_not_answer_the_held_connect() {
    let gateway = gateway("bayeux: { timeout: 2s }");
    let (mut ws, id) = socket(&gateway, &[]);
    send(&mut ws, &[subscribe(&id, "/chat/a"), connect(&id)]);
    assert_eq!(frame(&mut ws).len(), 2);
    let mut held = connect(&id);
    (held["advice"], held["id"]) = (Value::Null, json!("held"));
    let asked = Instant::now();
    send(&mut ws, &[held]);
    send(&mut ws, &[publish(&id, "/chat/a", 1)]);
    let mut channels: Vec<_> = (0..2).map(|_| frame(&mut ws).remove(0)["channel"].clone()).collect();
    channels.sort_by_key(Value::to_string);
    assert_eq!(channels, ["/chat/a", "/chat/a"], "the event, and the reply");
    let reply = frame(&mut ws).remove(0);
    assert_eq!(reply["id"], "held");
    assert!(asked.elapsed() > Duration::from_millis(1_500), "it was held: {:?}", asked.elapsed());
}

/// B66: the events of a session go to the WebSocket of its latest connect, at once, and none is lost on the way.
#[test]
fn another_socket_takes_the_events() {
    let kafka = Kafka::shared();
    let topic = unique("sockets");
    kafka.create_topic(&topic, 1);
    let gateway = Gateway::start(kafka, &keyed(&topic));
    let writer = Writer::new(kafka);
    let (mut first, id) = socket(&gateway, &[]);
    send(&mut first, &[subscribe(&id, &format!("/{topic}/k")), connect(&id)]);
    assert_eq!(frame(&mut first).len(), 2);
    let mut expected = 0;
    let mut before = first;
    for _ in 0..4 {
        let mut now = Ws::connect(gateway.addr(), "/cometd");
        send(&mut now, &[connect(&id)]);
        assert_eq!(frame(&mut now)[0]["successful"], true);
        for _ in 0..3 {
            writer.send(&topic, Some(b"k"), Some(expected.to_string().as_bytes()));
            expected += 1;
        }
        writer.flush();
        for n in expected - 3..expected {
            assert_eq!(frame(&mut now), [json!({ "channel": format!("/{topic}/k"), "data": n })]);
        }
        assert!(
            before.receive(Instant::now() + Duration::from_millis(100)).is_err(),
            "the old one is left alone"
        );
        before = now;
    }
}

/// B73: clients that break off in the middle of publishing and receiving hold up nobody.
#[test]
fn aborted_publishers_block_nobody() {
    let gateway = gateway("");
    for transport in BOTH {
        let mut reader = Client::subscribed(gateway.addr(), transport, "/chat/b");
        for n in 0..30 {
            let (mut ws, id) = socket(&gateway, &[]);
            send(&mut ws, &[subscribe(&id, "/chat/a"), connect(&id)]);
            for data in 0..20 {
                send(&mut ws, &[publish(&id, "/chat/a", data)]);
            }
            ws.stream().shutdown(Shutdown::Both).unwrap();
            let mut writer = Client::open(gateway.addr(), transport);
            assert_eq!(writer.publish("/chat/b", &json!(n))["successful"], true);
            assert_eq!(reader.expect_event().1, json!(n));
        }
    }
}

/// W20: who asks again at once and again, with a session or without, is answered more and more slowly; others are not.
#[test]
fn hot_loops_are_slowed_down() {
    let gateway = gateway("");
    let mut http = Http::connect(gateway.addr());
    let id = session(&mut http, &[]);
    for (id, successful) in [(id.as_str(), true), ("gone", false)] {
        let start = Instant::now();
        for _ in 0..12 {
            assert_eq!(post(&mut http, &[], &[connect(id)])[0]["successful"], successful);
        }
        let took = start.elapsed();
        assert!(took > Duration::from_millis(900), "{took:?}");
        // Whoever means it is not held up.
        let start = Instant::now();
        let mut other = Http::connect(gateway.addr());
        session(&mut other, &[]);
        assert!(start.elapsed() < Duration::from_millis(450), "{:?}", start.elapsed());
    }
}
