//! The wire rules that clients depend on, on a gateway without any Kafka: nothing here needs a record.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::bayeux::{BOTH, Client, Transport};
use crate::support::gateway::{Gateway, LOCAL};
use crate::support::http::{Http, Response};
use crate::support::ws::Ws;

pub fn gateway(settings: &str) -> Gateway {
    Gateway::local(LOCAL, settings)
}

pub fn handshake(http: &mut Http) -> (String, Value) {
    let body = br#"[{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["long-polling"],"id":"1"}]"#;
    let reply = http.post("/cometd/handshake", body).unwrap().json()[0].clone();
    (reply["clientId"].as_str().expect("a clientId").to_owned(), reply)
}

pub fn good(response: &Response) -> Value {
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), Some("application/json;charset=UTF-8"));
    let json = response.json();
    assert!(!json.as_array().expect("always an array").is_empty(), "never an empty array");
    json
}

/// R63: whoever subscribes gets it, by whatever transport it was published.
#[test]
fn events_of_a_local_route_go_from_browser_to_browser() {
    let gateway = gateway("");
    for (reader, writer) in [(BOTH[0], BOTH[1]), (BOTH[1], BOTH[0])] {
        let mut reader = Client::subscribed(gateway.addr(), reader, "/chat/*");
        let mut writer = Client::subscribed(gateway.addr(), writer, "/chat/other");
        assert_eq!(writer.publish("/chat/room", &json!({ "text": "é" }))["successful"], true);
        assert_eq!(reader.expect_event(), ("/chat/room".to_owned(), json!({ "text": "é" })));
        writer.expect_silence(Duration::from_millis(200));
        reader.disconnect();
    }
}

/// R18, R31, R49, R52, W2, W7: version, types, clientId, advice.
#[test]
fn a_handshake_reply_has_all_that_clients_need() {
    let gateway = gateway("");
    let mut http = Http::connect(gateway.addr());
    let (id, reply) = handshake(&mut http);
    assert!(id.len() >= 20 && id.chars().all(|c| c.is_ascii_alphanumeric()), "{id}");
    assert_eq!(reply["successful"], true);
    assert_eq!(reply["version"], "1.0");
    assert_eq!(reply["id"], "1");
    let types = reply["supportedConnectionTypes"].as_array().unwrap();
    assert!(types.contains(&json!("websocket")) && types.contains(&json!("long-polling")), "{reply}");
    assert_eq!(reply["advice"]["reconnect"], "retry");
    assert_eq!(reply["advice"]["interval"], 0);
    assert_eq!(reply["advice"]["timeout"], 30_000);
    let (other, _) = handshake(&mut http);
    assert_ne!(id, other);
}

/// R3, R41, W2, W4, W8, W16, B15, B16: with complete advice, and the id as it came.
#[test]
fn the_first_connect_returns_at_once_and_the_second_is_held() {
    let gateway = gateway("bayeux: { timeout: 2s }");
    let mut http = Http::connect(gateway.addr());
    let (id, _) = handshake(&mut http);
    let connect =
        json!([{ "channel": "/meta/connect", "clientId": id, "connectionType": "long-polling", "id": 7 }])
            .to_string();
    let asked = Instant::now();
    let reply = good(&http.post("/cometd/connect", connect.as_bytes()).unwrap());
    assert!(asked.elapsed() < Duration::from_millis(500));
    assert_eq!(reply[0]["id"], 7, "an id comes back as it came");
    assert_eq!(reply[0]["advice"], json!({ "reconnect": "retry", "interval": 0, "timeout": 2000 }));
    let asked = Instant::now();
    let reply = good(&http.post("/cometd/connect", connect.as_bytes()).unwrap());
    let held = asked.elapsed();
    assert!(held > Duration::from_millis(1500) && held <= Duration::from_millis(2100), "{held:?}");
    assert_eq!(
        reply,
        json!([{ "channel": "/meta/connect", "id": 7, "successful": true, "advice": reply[0]["advice"] }])
    );
}

/// R43, R53, R59, R61, W11, B20, B42: one response with all replies.
#[test]
fn a_connect_in_a_batch_is_not_held_and_everything_is_answered_in_order() {
    let gateway = gateway("");
    let mut http = Http::connect(gateway.addr());
    let (id, _) = handshake(&mut http);
    let batch = json!([
        { "channel": "/meta/connect", "clientId": id, "connectionType": "long-polling", "id": "a" },
        { "channel": "/meta/subscribe", "clientId": id, "subscription": ["/chat/1", "/chat/2"], "id": "b" },
        { "channel": "/chat/1", "clientId": id, "data": 1, "id": "c" },
        { "channel": "/meta/subscribe", "clientId": id, "subscription": ["/chat/3", "/nope", "/chat/4"], "id": "d" },
        { "channel": "/meta/unsubscribe", "clientId": id, "subscription": "/chat/2", "id": "e" },
        { "channel": "/chat/1", "id": "f", "data": 1 },
    ]);
    let asked = Instant::now();
    let replies = good(&http.post("/cometd", batch.to_string().as_bytes()).unwrap());
    assert!(asked.elapsed() < Duration::from_secs(1));
    let replies: Vec<&Value> =
        replies.as_array().unwrap().iter().filter(|message| message.get("successful").is_some()).collect();
    let ids: Vec<&str> = replies.iter().map(|reply| reply["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["a", "b", "c", "d", "e", "f"]);
    let successes: Vec<bool> = replies.iter().map(|reply| reply["successful"].as_bool().unwrap()).collect();
    assert_eq!(successes, [true, true, true, false, true, false]);
    assert_eq!(replies[1]["subscription"], json!(["/chat/1", "/chat/2"]));
    assert_eq!(replies[3]["subscription"], json!(["/chat/3", "/nope", "/chat/4"]));
    assert_eq!(replies[3]["error"], "404:/nope:unknown_channel");
    assert_eq!(replies[5]["error"], "402::session_unknown");
}

/// R9, W3, W18: the connect says what to do, the others only what is wrong.
#[test]
fn an_unknown_session_is_402_with_advice_on_connect_only() {
    let gateway = gateway("");
    let mut http = Http::connect(gateway.addr());
    let reply = good(&http.post("/cometd", br#"[{"channel":"/meta/connect","clientId":"gone","connectionType":"long-polling","id":"1"},{"channel":"/meta/subscribe","clientId":"gone","subscription":"/chat/1","id":"2"},{"channel":"/meta/disconnect","clientId":"gone","id":"3"}]"#).unwrap());
    assert_eq!(reply[0]["error"], "402::session_unknown");
    assert_eq!(reply[0]["advice"]["reconnect"], "handshake");
    for n in [1, 2] {
        assert_eq!((&reply[n]["error"], reply[n].get("advice")), (&json!("402::session_unknown"), None));
    }
    assert_eq!(reply[1]["subscription"], "/chat/1");
}

/// R54, W10, W26, B21, B22: none is lost, none comes twice.
#[test]
fn a_second_connect_releases_the_first_and_gets_the_events() {
    let gateway = gateway("");
    let mut client = Client::subscribed(gateway.addr(), Transport::LongPolling, "/chat/1");
    std::thread::sleep(Duration::from_millis(100));
    let mut newer = Http::connect(gateway.addr());
    let connect = json!([{ "channel": "/meta/connect", "clientId": client.id, "connectionType": "long-polling", "id": "n" }]);
    newer.send_post("/cometd/connect", &[], connect.to_string().as_bytes()).unwrap();
    let first = client.raw_poll_response(Duration::from_secs(2)).expect("the first connect is released");
    assert!(first.status == 200 || first.status >= 400);
    assert!(!first.text().contains("/chat/1"));
    let mut writer = Client::open(gateway.addr(), Transport::WebSocket);
    assert_eq!(writer.publish("/chat/1", &json!(5))["successful"], true);
    let reply = good(&newer.response(Instant::now() + Duration::from_secs(2)).unwrap());
    assert_eq!(reply[0], json!({ "channel": "/chat/1", "data": 5 }));
    assert_eq!(reply[1]["id"], "n", "events before the connect reply");
}

/// R58, W22: by another connection, too.
#[test]
fn disconnect_answers_the_held_connect_first() {
    let gateway = gateway("");
    for transport in BOTH {
        let mut client = Client::open(gateway.addr(), transport);
        // On its way by another connection, the next connect must be held before the disconnect comes.
        std::thread::sleep(Duration::from_millis(200));
        let reply = client.disconnect();
        assert_eq!(reply["successful"], true, "{reply}");
        let connect = client.connect_reply(Duration::from_secs(2)).expect("the held connect is answered");
        assert_eq!((&connect["successful"], &connect["advice"]["reconnect"]), (&json!(true), &json!("none")));
    }
}

/// W9, W28, B92: handshake by HTTP, then a WebSocket, then polling again.
#[test]
fn a_session_moves_from_one_transport_to_another() {
    let gateway = gateway("");
    // Faye: handshake by HTTP, then the WebSocket with that clientId.
    let mut http = Http::connect(gateway.addr());
    let (id, _) = handshake(&mut http);
    let subscribe =
        json!([{ "channel": "/meta/subscribe", "clientId": id, "subscription": "/chat/m", "id": "2" }]);
    assert_eq!(good(&http.post("/cometd", subscribe.to_string().as_bytes()).unwrap())[0]["successful"], true);
    let until = Instant::now() + Duration::from_secs(5);
    let mut ws = Ws::connect(gateway.addr(), "/cometd/58.0");
    ws.send_text("[]").unwrap();
    let connect = json!([{ "channel": "/meta/connect", "clientId": id, "connectionType": "websocket", "id": "3", "advice": { "timeout": 0 } }]);
    ws.send_text(&connect.to_string()).unwrap();
    let mut frame = ws.receive(until).unwrap();
    if frame.payload == b"[]" {
        frame = ws.receive(until).unwrap();
    }
    assert!(String::from_utf8_lossy(&frame.payload).contains("/meta/connect"));
    let mut writer = Client::open(gateway.addr(), Transport::LongPolling);
    assert_eq!(writer.publish("/chat/m", &json!(1))["successful"], true);
    assert_eq!(ws.receive(until).unwrap().payload, br#"[{"channel":"/chat/m","data":1}]"#);
    // The socket breaks; the session goes on with polling.
    drop(ws);
    let connect = json!([{ "channel": "/meta/connect", "clientId": id, "connectionType": "long-polling", "id": "4", "advice": { "timeout": 0 } }]);
    assert_eq!(
        good(&http.post("/cometd/connect", connect.to_string().as_bytes()).unwrap())[0]["successful"],
        true
    );
}

/// R30, R66, R67, W5, W13, B59: JSON, form, text; with a length or in chunks.
#[test]
fn bodies_are_accepted_in_every_form_that_clients_send() {
    let gateway = gateway("");
    let message = r#"{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["long-polling"],"id":"1"}"#;
    let form = "message=%5B%7B%22channel%22%3A%22%2Fmeta%2Fhandshake%22%2C%22version%22%3A%221.0%22%2C%22supportedConnectionTypes%22%3A%5B%22long-polling%22%5D%2C%22id%22%3A%221%22%7D%5D";
    let chunked = format!("{:x}\r\n{message}\r\n0\r\n\r\n", message.len());
    let length = |body: &str| format!("Content-Length: {}", body.len());
    for (path, headers, body) in [
        ("/cometd", vec!["Content-Type: application/json".to_owned(), length(message)], message),
        ("/cometd/", vec![length(message)], message),
        (
            "/cometd/handshake",
            vec!["Content-Type: text/plain;charset=UTF-8".to_owned(), length(message)],
            message,
        ),
        (
            "/cometd/58.0/handshake",
            vec!["Content-Type: application/x-www-form-urlencoded".to_owned(), length(form)],
            form,
        ),
        ("/cometd", vec!["Content-Type: text/plain;charset=UTF-8".to_owned(), length(form)], form),
        ("/cometd", vec!["Cookie:".to_owned(), "Transfer-Encoding: chunked".to_owned()], &chunked),
        ("/cometd", vec!["Authorization: Bearer x".to_owned(), length(message)], message),
    ] {
        let mut http = Http::connect(gateway.addr());
        let request = format!("POST {path} HTTP/1.1\r\nHost: h\r\n{}\r\n\r\n{body}", headers.join("\r\n"));
        http.send_raw(request.as_bytes()).unwrap();
        let reply = good(&http.response(Instant::now() + Duration::from_secs(5)).unwrap());
        assert_eq!(reply[0]["successful"], true, "{request}");
    }
    // Expect: 100-continue is answered before the body is sent.
    let mut http = Http::connect(gateway.addr());
    let head =
        format!("POST /cometd HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n{}\r\n\r\n", length(message));
    http.send_raw(head.as_bytes()).unwrap();
    assert_eq!(http.response(Instant::now() + Duration::from_secs(5)).unwrap().status, 100);
    http.send_raw(message.as_bytes()).unwrap();
    assert_eq!(good(&http.response(Instant::now() + Duration::from_secs(5)).unwrap())[0]["successful"], true);
}

/// R70, W9, B14, B38, B39: one that is not the session's own is refused, none at all is not.
#[test]
fn the_browser_cookie_is_given_adopted_and_held_against_others() {
    let gateway = gateway("");
    let body =
        br#"[{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["long-polling"]}]"#;
    let mut http = Http::connect(gateway.addr());
    let response = http.post("/cometd", body).unwrap();
    let cookie = response.header("set-cookie").expect("a cookie is set").to_owned();
    assert!(
        cookie.starts_with("BAYEUX_BROWSER=") && cookie.contains("HttpOnly") && cookie.contains("Path=/"),
        "{cookie}"
    );
    let adopted = http.post_with("/cometd", &[("Cookie", "BAYEUX_BROWSER=mine123")], body).unwrap();
    assert_eq!(adopted.header("set-cookie"), None);
    let id = good(&adopted)[0]["clientId"].as_str().unwrap().to_owned();
    let connect =
        json!([{ "channel": "/meta/connect", "clientId": id, "connectionType": "long-polling", "advice": { "timeout": 0 } }]).to_string();
    for (cookie, successful) in
        [("BAYEUX_BROWSER=mine123", true), ("BAYEUX_BROWSER=another", false), ("", true)]
    {
        let reply = good(&http.post_with("/cometd", &[("Cookie", cookie)], connect.as_bytes()).unwrap());
        assert_eq!(reply[0]["successful"], successful, "{cookie}: {reply}");
        if !successful {
            assert_eq!(reply[0]["error"], "402::session_unknown");
        }
    }
}

/// W23: also of WebSockets and on every path.
#[test]
fn origins_are_checked_on_every_transport() {
    let gateway = gateway(r#"origins: ["https://app.example.com", "https://*.example.org"]"#);
    let body =
        br#"[{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["long-polling"]}]"#;
    let own = format!("http://{}", gateway.addr());
    for (origin, allowed) in [
        ("https://app.example.com", true),
        ("https://a.example.org", true),
        (own.as_str(), true),
        ("https://evil.example.com", false),
        ("https://app.example.com.evil.net", false),
        ("null", false),
    ] {
        let mut http = Http::connect(gateway.addr());
        let response = http.post_with("/cometd", &[("Origin", origin)], body).unwrap();
        assert_eq!(response.status == 200, allowed, "{origin}: {}", response.status);
        if allowed && origin != own {
            assert_eq!(response.header("access-control-allow-origin"), Some(origin));
            assert_eq!(response.header("access-control-allow-credentials"), Some("true"));
        }
        assert_eq!(
            Ws::try_connect(gateway.addr(), "/cometd", &[("Origin", origin)]).is_ok(),
            allowed,
            "{origin}"
        );
    }
    for path in ["/cometd", "/cometd/", "/cometd/handshake", "/cometd/58.0/connect"] {
        let mut http = Http::connect(gateway.addr());
        let request = format!(
            "OPTIONS {path} HTTP/1.1\r\nHost: h\r\nOrigin: https://app.example.com\r\nAccess-Control-Request-Method: POST\r\n\
             Access-Control-Request-Headers: content-type,x-requested-with\r\n\r\n"
        );
        http.send_raw(request.as_bytes()).unwrap();
        let response = http.response(Instant::now() + Duration::from_secs(5)).unwrap();
        assert_eq!(response.status / 100, 2, "{path}");
        assert_eq!(response.header("access-control-allow-origin"), Some("https://app.example.com"));
        let headers =
            response.header("access-control-allow-headers").unwrap_or_default().to_ascii_lowercase();
        assert!(headers.contains("content-type") && headers.contains("x-requested-with"), "{headers}");
    }
}

/// R56, B3: unless it connects.
#[test]
fn a_session_that_stays_away_expires() {
    let gateway = gateway("bayeux: { max_interval: 1s }");
    let mut http = Http::connect(gateway.addr());
    let (id, _) = handshake(&mut http);
    std::thread::sleep(Duration::from_millis(2500));
    let connect =
        json!([{ "channel": "/meta/connect", "clientId": id, "connectionType": "long-polling", "id": "1" }]);
    let reply = good(&http.post("/cometd", connect.to_string().as_bytes()).unwrap());
    assert_eq!(reply[0]["error"], "402::session_unknown");
    // One that connects stays.
    let mut client = Client::subscribed(gateway.addr(), Transport::WebSocket, "/chat/1");
    client.expect_silence(Duration::from_millis(2500));
    assert_eq!(client.publish("/chat/1", &json!(1))["successful"], true);
    assert_eq!(client.expect_event().1, json!(1));
}
