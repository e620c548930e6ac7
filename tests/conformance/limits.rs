//! Every limit: who goes beyond it is told which it was, it is counted, and those who keep to it notice nothing.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::support::bayeux::{BOTH, Client, Transport};
use crate::support::eventually;
use crate::support::gateway::Gateway;
use crate::support::http::Http;
use crate::support::ws::{self, Ws};

const ROUTES: &str = r#"
routes:
  - { name: chat, channel: "/chat/{room**}", local: true, publish: {} }
  - { name: log, channel: /log, topic: log, publish: {} }
"#;

const HANDSHAKE: &[u8] = br#"[{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["long-polling","websocket"],"id":"1"}]"#;

/// A gateway without Kafka.
fn gateway(settings: &str) -> Gateway {
    Gateway::local(ROUTES, settings)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

/// A connection from another address of this machine.
fn from_elsewhere(addr: SocketAddr, host: [u8; 4]) -> Http {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::from(host), 0)).into()).unwrap();
    socket.connect(&addr.into()).unwrap();
    Http::over(TcpStream::from(socket)).unwrap()
}

/// The reply to a handshake by HTTP.
fn handshake(http: &mut Http) -> Value {
    http.post("/cometd/handshake", HANDSHAKE).unwrap().json()[0].clone()
}

/// Metrics are a little behind the answers.
fn counts(gateway: &Gateway, name: &str, label: &str, count: f64) {
    let labels: &[&str] = if label.is_empty() { &[] } else { &[label] };
    eventually(Duration::from_secs(5), "it is counted", || gateway.metric(name, labels) >= count);
    assert!((gateway.metric(name, labels) - count).abs() < 0.5, "{name} {label}: not more than {count}");
}

fn limited(gateway: &Gateway, limit: &str, count: f64) {
    counts(gateway, "halley_limited_total", &format!("limit=\"{limit}\""), count);
}

/// W19: past `limits.sessions_per_address` a handshake is refused for now, whatever shard it lands on; other addresses are not concerned.
#[test]
fn sessions_of_an_address_are_bounded_over_all_shards() {
    let gateway = gateway("shards: 4\nlimits: { sessions_per_address: 3 }\nbayeux: { max_interval: 2s }");
    let mut clients: Vec<_> =
        [BOTH[0], BOTH[1], BOTH[0]].map(|transport| Client::open(gateway.addr(), transport)).into();
    for _ in 0..5 {
        let refused = handshake(&mut Http::connect(gateway.addr()));
        let expected = json!({ "channel": "/meta/handshake", "id": "1", "successful": false, "error": "503::too_many_sessions" });
        assert_eq!(refused, expected, "without advice: clients try again by themselves");
    }
    let mut ws = Ws::connect(gateway.addr(), "/cometd");
    ws.send_raw(&ws::frame(ws::TEXT, HANDSHAKE, true)).unwrap();
    let frame = ws.receive(soon()).unwrap();
    assert!(String::from_utf8_lossy(&frame.payload).contains("503::too_many_sessions"), "{frame:?}");
    limited(&gateway, "sessions_per_address", 6.0);
    counts(&gateway, "halley_handshakes_total", "refused", 6.0);
    assert_eq!(handshake(&mut from_elsewhere(gateway.addr(), [127, 0, 0, 2]))["successful"], true);
    // Who goes makes room, and so does who is gone.
    assert_eq!(clients.pop().unwrap().disconnect()["successful"], true);
    let mut http = Http::connect(gateway.addr());
    assert_eq!(handshake(&mut http)["successful"], true);
    assert_eq!(handshake(&mut http)["successful"], false);
    eventually(Duration::from_secs(10), "a session that never connected has expired", || {
        handshake(&mut Http::connect(gateway.addr()))["successful"] == true
    });
}

/// Past `limits.publish_rate` a publish is refused as such, of that session alone, and the next second there is room again.
#[test]
fn publishes_of_a_session_are_bounded_in_time() {
    let gateway = gateway("limits: { publish_rate: 5/s }");
    for transport in BOTH {
        let mut hasty = Client::open(gateway.addr(), transport);
        let mut other = Client::open(gateway.addr(), transport);
        let begun = Instant::now();
        let replies: Vec<_> = (0..50).map(|n| hasty.publish("/chat/a", &json!(n))).collect();
        let good = replies.iter().filter(|reply| reply["successful"] == true).count();
        let most = 5 + usize::try_from(begun.elapsed().as_millis() / 200).unwrap() + 1;
        assert!((5..=most).contains(&good), "{good} of 50 in {:?}", begun.elapsed());
        let refused = replies.iter().find(|reply| reply["successful"] == false).unwrap();
        assert_eq!(refused["error"], "429:/chat/a:publish_rate");
        assert_eq!(refused.get("advice"), None);
        assert_eq!(other.publish("/chat/a", &json!(1))["successful"], true);
        eventually(Duration::from_secs(5), "there is room again", || {
            hasty.publish("/chat/a", &json!(1))["successful"] == true
        });
    }
    let counted = || gateway.metric("halley_limited_total", &["publish_rate"]);
    eventually(Duration::from_secs(5), "they are counted", || counted() > 50.0);
}

/// W19: past `limits.sockets` a connection is told 503 and closed, which clients take for a failure and come back from.
#[test]
fn open_connections_are_bounded() {
    let gateway = gateway("shards: 2\nlimits: { sockets: 5 }");
    let held = Client::open(gateway.addr(), Transport::LongPolling);
    let socket = Client::open(gateway.addr(), Transport::WebSocket);
    let mut idle: Vec<_> = (0..2).map(|_| Http::connect(gateway.addr())).collect();
    for http in &mut idle {
        assert_eq!(handshake(http)["successful"], true);
    }
    let mut refused = Http::connect(gateway.addr());
    let response = refused.response(soon()).expect("the refusal comes without being asked for");
    assert_eq!((response.status, response.header("connection")), (503, Some("close")));
    assert!(response.text().contains("limits.sockets"));
    assert!(refused.closed(soon()));
    let error = Ws::try_connect(gateway.addr(), "/cometd", &[]).err().expect("no room");
    assert_eq!(error.to_string(), "status 503");
    counts(&gateway, "halley_connections_refused_total", "", 2.0);
    // Operators have a door of their own; and who goes makes room, whoever it was.
    assert!(gateway.ready());
    drop(idle.pop());
    let room = || {
        Http::try_connect(gateway.addr())
            .is_ok_and(|mut http| http.post("/cometd", HANDSHAKE).is_ok_and(|r| r.status == 200))
    };
    eventually(Duration::from_secs(5), "there is room for one", room);
    drop(socket);
    drop(held);
    eventually(Duration::from_secs(5), "there is room for more", || {
        let clients = [(); 3].map(|()| Http::try_connect(gateway.addr()));
        clients.into_iter().all(|http| {
            http.is_ok_and(|mut http| http.post("/cometd", HANDSHAKE).is_ok_and(|r| r.status == 200))
        })
    });
}

/// W13: a head within `limits.header_bytes` is read, a longer one is answered 431.
#[test]
fn heads_are_bounded_in_bytes() {
    let gateway = gateway("limits: { header_bytes: 8KiB }");
    let head = |bytes: usize| {
        let mut http = Http::connect(gateway.addr());
        http.send_post("/cometd", &[("X-Long", &"x".repeat(bytes))], HANDSHAKE).unwrap();
        http.response(soon()).unwrap().status
    };
    assert_eq!((head(7000), head(9000)), (200, 431));
    eventually(Duration::from_secs(5), "it is counted", || {
        gateway.metric("halley_requests_refused_total", &["too_large"]) > 0.5
    });
}

/// W14: between two requests a connection may be idle for `limits.header_timeout`, while a connect is held for as long as it takes, and a
/// WebSocket without a session for ever.
#[test]
fn idle_connections_end_and_those_that_wait_do_not() {
    let gateway = gateway("limits: { header_timeout: 1s }\nbayeux: { timeout: 4s }");
    let mut used = Http::connect(gateway.addr());
    assert_eq!(handshake(&mut used)["successful"], true);
    let mut never = Http::connect(gateway.addr());
    let mut silent = Ws::connect(gateway.addr(), "/cometd");
    let mut held = Client::open(gateway.addr(), Transport::LongPolling);
    let begun = Instant::now();
    assert!(used.closed(soon()) && never.closed(soon()));
    assert!((800..3000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    assert_eq!(held.connect_reply(Duration::from_secs(8)).unwrap()["successful"], true);
    assert!(begun.elapsed() > Duration::from_secs(3), "held past the time-out of heads");
    silent.send_raw(&ws::frame(ws::TEXT, b"[]", true)).unwrap();
    assert_eq!(silent.receive(soon()).unwrap().payload, b"[]");
    assert!(
        gateway.metric("halley_requests_refused_total", &["timeout"]) < 0.5,
        "an idle connection did no wrong"
    );
}

/// R59: past `limits.subscriptions` a subscribe is refused; of an array those before stay; what is subscribed may be subscribed again.
#[test]
fn subscriptions_of_a_session_are_bounded() {
    let gateway = gateway("limits: { subscriptions: 3, root_patterns: false }");
    for transport in BOTH {
        let mut client = Client::open(gateway.addr(), transport);
        assert_eq!(client.subscribe("/chat/a")["successful"], true);
        let many = json!({ "channel": "/meta/subscribe", "subscription": ["/chat/b", "/chat/c", "/chat/d"] });
        assert_eq!(client.request(&many)["error"], "403:/chat/d:too_many_subscriptions");
        assert_eq!(client.subscribe("/chat/c")["successful"], true, "it is there already");
        assert_eq!(client.subscribe("/chat/e")["error"], "403:/chat/e:too_many_subscriptions");
        assert_eq!(client.unsubscribe("/chat/a")["successful"], true);
        assert_eq!(client.subscribe("/chat/e")["successful"], true);
        assert_eq!(client.subscribe("/**")["error"], "403:/**:root_patterns_are_off");
        assert_eq!(client.publish("/chat/b", &json!(1))["successful"], true);
        assert_eq!(client.expect_event(), ("/chat/b".to_owned(), json!(1)));
    }
    limited(&gateway, "subscriptions", 4.0);
}

/// `limits.batch`, `limits.depth` and `limits.body` bound a request as a whole, `limits.channel` a message in it; on a WebSocket the
/// connection goes on where the framing is sound.
#[test]
fn what_a_request_holds_is_bounded_on_both_transports() {
    let gateway = gateway("limits: { body: 8KiB, batch: 3, depth: 8, channel: 20 }");
    let many = json!(vec![json!({ "channel": "/meta/connect" }); 4]).to_string();
    let deep = format!(r#"[{{"channel":"/chat/a","data":{}1{}}}]"#, "[".repeat(7), "]".repeat(7));
    let large = format!(r#"[{{"channel":"/chat/a","data":"{}"}}]"#, "x".repeat(9000));
    let mut ws = Ws::connect(gateway.addr(), "/cometd");
    for (text, why, status) in
        [(&many, "too many messages", 400), (&deep, "nested too deeply", 400), (&large, "limits.body", 413)]
    {
        let response = Http::connect(gateway.addr()).post("/cometd", text.as_bytes()).unwrap();
        assert_eq!(response.status, status, "{}", response.text());
        assert!(response.text().contains(why), "{}", response.text());
        ws.send_text(text).unwrap();
        let frame = ws.receive(soon()).unwrap();
        if status == 413 {
            assert_eq!((frame.opcode, frame.close_code()), (ws::CLOSE, Some(1009)));
        } else {
            let replies: Value = serde_json::from_slice(&frame.payload).unwrap();
            assert_eq!(replies[0]["successful"], false);
            assert!(replies[0]["error"].as_str().unwrap().contains(why), "{replies}");
        }
    }
    for transport in BOTH {
        let mut client = Client::open(gateway.addr(), transport);
        let long = "/chat/0123456789abcde";
        assert_eq!(client.publish(long, &json!(1))["error"], "405::channel_invalid");
        assert_eq!(client.subscribe(long)["error"], "403::subscription_invalid");
        let within = &long[..20];
        assert_eq!(client.subscribe(within)["successful"], true);
        assert_eq!(client.publish(within, &json!([[[[[1]]]]]))["successful"], true);
    }
}

/// Publishes that Kafka has not acknowledged are bounded: of a session, and of the node.
#[test]
fn publishes_under_way_are_bounded() {
    let gateway = gateway("publish: { timeout: 2s, in_flight_per_session: 2, in_flight: 3 }");
    let publish =
        |client: &mut Client, n: u64| client.send(&json!({ "channel": "/log", "data": n })).unwrap();
    let mut one = Client::open(gateway.addr(), Transport::WebSocket);
    let mut other = Client::open(gateway.addr(), Transport::WebSocket);
    let ids: Vec<_> = (0..3).map(|n| publish(&mut one, n)).collect();
    let busy = json!("503:/log:busy");
    assert_eq!(one.reply(&ids[2], Duration::from_secs(1)).unwrap()["error"], busy);
    let also: Vec<_> = (0..2).map(|n| publish(&mut other, n)).collect();
    assert_eq!(other.reply(&also[1], Duration::from_secs(1)).unwrap()["error"], busy);
    limited(&gateway, "in_flight_per_session", 1.0);
    limited(&gateway, "in_flight", 1.0);
    assert!(
        (gateway.metric("halley_publishes_total", &["refused"]) - 1.0).abs() < 0.5,
        "by the node's bound"
    );
    // The others fail in their time, and make room.
    let failed = one.reply(&ids[0], Duration::from_secs(12)).unwrap();
    assert!(failed["error"].as_str().unwrap().starts_with("504:/log:not_written"), "{failed}");
}

/// W20, W2, W3: clients that loop on a 402, or on `advice.timeout: 0`, are slowed down, and nothing in our advice makes Faye loop on
/// handshakes.
#[test]
fn hot_loops_are_slowed_down() {
    const TIME: Duration = Duration::from_secs(3);
    // A burst, and two answers a second then.
    const MOST: usize = 8 * 4 + 8;
    let gateway = gateway("");
    let mut http = Http::connect(gateway.addr());
    let mut times = |message: &Value| {
        let body = json!([message]).to_string();
        let end = Instant::now() + TIME;
        let mut count = 0;
        while Instant::now() < end {
            let replies = http.post("/cometd/connect", body.as_bytes()).unwrap().json();
            assert_eq!(replies[0]["channel"], "/meta/connect", "{replies}");
            assert!(replies[0]["advice"]["reconnect"].is_string(), "{replies}");
            count += 1;
        }
        count
    };
    let gone =
        times(&json!({ "channel": "/meta/connect", "clientId": "gone", "connectionType": "long-polling" }));
    assert!(gone <= MOST, "{gone} answers to a client that loops on 402");
    let hello = handshake(&mut Http::connect(gateway.addr()));
    assert_eq!(hello["advice"]["reconnect"], "retry", "{hello}");
    let eager = times(&json!({ "channel": "/meta/connect", "clientId": hello["clientId"],
        "connectionType": "websocket", "advice": { "timeout": 0 } }));
    assert!(eager <= MOST, "{eager} answers to a client that never wants to wait");
    // What is refused of an unknown session besides a connect says nothing of what to do: a handshake begins with a connect.
    let mut http = Http::connect(gateway.addr());
    for message in [
        json!({ "channel": "/chat/a", "clientId": "gone", "data": 1 }),
        json!({ "channel": "/meta/subscribe", "clientId": "gone", "subscription": "/chat/a" }),
    ] {
        let replies = http.post("/cometd", json!([message]).to_string().as_bytes()).unwrap().json();
        assert_eq!((&replies[0]["error"], replies[0].get("advice")), (&json!("402::session_unknown"), None));
    }
    // Whoever behaves is not slowed down meanwhile.
    let begun = Instant::now();
    for transport in BOTH {
        let mut client = Client::subscribed(gateway.addr(), transport, "/chat/a");
        for n in 0..20 {
            assert_eq!(client.publish("/chat/a", &json!(n))["successful"], true);
            assert_eq!(client.expect_event().1, json!(n));
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}
