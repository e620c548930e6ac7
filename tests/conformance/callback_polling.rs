//! Callback-polling, as pages do it that can only load scripts.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::bayeux::{Client, Transport};
use crate::support::http::{Http, Response, encoded};
use crate::wire::gateway;

/// The path of a call: messages, then the function.
fn path(messages: &Value, jsonp: &str) -> String {
    format!("/cometd/?message={}&jsonp={jsonp}", encoded(&messages.to_string()))
}

/// What a script calls its function with.
fn called(response: &Response, name: &str) -> Value {
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.header("content-type"), Some("text/javascript;charset=utf-8"));
    let json = response.text().strip_prefix(&format!("/**/{name}(")).and_then(|it| it.strip_suffix(");"));
    serde_json::from_str(json.unwrap_or_else(|| panic!("{}", response.text()))).unwrap()
}

fn handshake() -> Value {
    json!([{ "channel": "/meta/handshake", "version": "1.0", "supportedConnectionTypes": ["callback-polling"], "id": "1" }])
}

fn connect(id: &str) -> Value {
    json!([{ "channel": "/meta/connect", "clientId": id, "connectionType": "callback-polling", "id": "c" }])
}

/// A session that has connected once.
fn session(http: &mut Http) -> String {
    let reply = called(&http.get(&path(&handshake(), "cb")).unwrap(), "cb");
    let id = reply[0]["clientId"].as_str().unwrap().to_owned();
    called(&http.get(&path(&connect(&id), "cb")).unwrap(), "cb");
    id
}

/// R3, R32, R69, W12: a whole session by GETs, a connect held among them.
#[test]
fn a_session_by_callback_polling() {
    let gateway = gateway("");
    let mut http = Http::connect(gateway.addr());
    let response = http.get(&path(&handshake(), "_cometd_jsonp_0")).unwrap();
    let reply = called(&response, "_cometd_jsonp_0");
    assert_eq!(reply[0]["successful"], true);
    assert_eq!(reply[0]["supportedConnectionTypes"][4], "callback-polling");
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(response.header("content-disposition"), Some("attachment; filename=f.txt"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    let id = session(&mut http);
    let subscribe =
        json!([{ "channel": "/meta/subscribe", "clientId": id, "subscription": "/chat/*", "id": "s" }]);
    assert_eq!(called(&http.get(&path(&subscribe, "cb")).unwrap(), "cb")[0]["successful"], true);
    let mut poll = Http::connect(gateway.addr());
    poll.send("GET", &path(&connect(&id), "poll"), &[]).unwrap();
    assert!(poll.response(Instant::now() + Duration::from_millis(300)).is_err(), "the connect is held");
    let publish = json!([{ "channel": "/chat/1", "clientId": id, "data": { "text": "é" }, "id": "p" }]);
    let reply = called(&http.get(&path(&publish, "cb")).unwrap(), "cb");
    assert_eq!(
        reply,
        json!([{ "channel": "/chat/1", "id": "p", "successful": true }]),
        "events only with connects"
    );
    let events = called(&poll.response(Instant::now() + Duration::from_secs(2)).unwrap(), "poll");
    assert_eq!(events[0], json!({ "channel": "/chat/1", "data": { "text": "é" } }));
    assert_eq!(events[1]["id"], "c");
    let disconnect = json!([{ "channel": "/meta/disconnect", "clientId": id, "id": "d" }]);
    assert_eq!(called(&http.get(&path(&disconnect, "cb")).unwrap(), "cb")[0]["successful"], true);
}

/// R69, W12: a function is called by any name that libraries make up, in any order of the parameters, and nothing else is.
#[test]
fn functions_are_called_by_their_names_only() {
    let gateway = gateway("");
    let mut http = Http::connect(gateway.addr());
    let message = encoded(&handshake().to_string());
    let names =
        ["jQuery3800642_1795", "dojo_request_script_callbacks.dojo_request_script0", "__jsonp1__", "$._a"];
    for name in names {
        let response = http.get(&format!("/cometd?jsonp={name}&message={message}&_=1")).unwrap();
        assert_eq!(called(&response, name)[0]["successful"], true);
    }
    let response = http.get(&format!("/cometd?message={message}")).unwrap();
    assert_eq!(called(&response, "jsonpcallback")[0]["successful"], true);
    for name in ["alert(1)", "%3Cscript%3E", "a%20b", "a..b", "", "a;b", &"x".repeat(129)] {
        let response = http.get(&format!("/cometd?message={message}&jsonp={name}")).unwrap();
        assert_eq!(
            (response.status, response.header("content-type")),
            (400, Some("text/plain;charset=UTF-8"))
        );
        assert!(!response.text().contains("alert") && !response.text().contains('<'));
    }
}

/// R69: several messages in a GET make one batch, answered in order.
#[test]
fn several_messages_of_a_get_are_one_batch() {
    let gateway = gateway("");
    let mut http = Http::connect(gateway.addr());
    let id = session(&mut http);
    let subscribe =
        json!({ "channel": "/meta/subscribe", "clientId": id, "subscription": "/chat/1", "id": "s" });
    let publish = |n: u32| json!({ "channel": "/chat/1", "clientId": id, "data": n, "id": n.to_string() });
    let query = format!(
        "message={}&jsonp=cb&message={}",
        encoded(&subscribe.to_string()),
        encoded(&json!([publish(1), publish(2)]).to_string())
    );
    let replies = called(&http.get(&format!("/cometd?{query}")).unwrap(), "cb");
    let ids: Vec<&str> = replies.as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["s", "1", "2"]);
    let events = called(&http.get(&path(&connect(&id), "cb")).unwrap(), "cb");
    assert_eq!((&events[0]["data"], &events[1]["data"]), (&json!(1), &json!(2)));
}

/// B93: several GETs are in flight at a time, as scripts are loaded.
#[test]
fn several_gets_are_in_flight() {
    let gateway = gateway("");
    let mut http = Http::connect(gateway.addr());
    let id = session(&mut http);
    let mut poll = Http::connect(gateway.addr());
    poll.send("GET", &path(&connect(&id), "poll"), &[]).unwrap();
    let mut others: Vec<Http> = (0..8).map(|_| Http::connect(gateway.addr())).collect();
    for (n, other) in others.iter_mut().enumerate() {
        let subscribe = json!([{ "channel": "/meta/subscribe", "clientId": id, "subscription": format!("/chat/{n}"), "id": n }]);
        other.send("GET", &path(&subscribe, &format!("f{n}")), &[]).unwrap();
    }
    for (n, other) in others.iter_mut().enumerate().rev() {
        let reply =
            called(&other.response(Instant::now() + Duration::from_secs(2)).unwrap(), &format!("f{n}"));
        assert_eq!((&reply[0]["id"], &reply[0]["successful"]), (&json!(n), &json!(true)));
    }
    assert!(poll.response(Instant::now() + Duration::from_millis(100)).is_err(), "the connect is still held");
}

/// W12: characters that end a line in scripts of old browsers are escaped, and arrive as they were.
#[test]
fn a_script_holds_any_text() {
    let gateway = gateway("");
    let mut http = Http::connect(gateway.addr());
    let id = session(&mut http);
    let subscribe =
        json!([{ "channel": "/meta/subscribe", "clientId": id, "subscription": "/chat/1", "id": "s" }]);
    http.get(&path(&subscribe, "cb")).unwrap();
    let text = "a\u{2028}b\u{2029}</script>日本 \u{1f600}\u{2027}";
    let mut writer = Client::open(gateway.addr(), Transport::WebSocket);
    assert_eq!(writer.publish("/chat/1", &json!(text))["successful"], true);
    let response = http.get(&path(&connect(&id), "cb")).unwrap();
    assert!(!response.text().contains(['\u{2028}', '\u{2029}']));
    assert_eq!(called(&response, "cb")[0]["data"], text);
}

/// R71: pages of other sites learn nothing by a script, although browsers name no origin in it.
#[test]
fn scripts_of_other_sites_are_refused() {
    let gateway = gateway(r#"origins: ["https://app.example.com"]"#);
    let own = format!("http://{}/page.html", gateway.addr());
    let browser = ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64)");
    let path = path(&handshake(), "cb");
    for (headers, status) in [
        (&[browser, ("Referer", "https://app.example.com/a")][..], 200),
        (&[browser, ("Referer", &own)], 200),
        (&[browser, ("Sec-Fetch-Site", "same-origin")], 200),
        (&[browser, ("Referer", "https://evil.example/")], 403),
        (&[browser, ("Sec-Fetch-Site", "cross-site")], 403),
        (&[browser], 403),
        (&[browser, ("Origin", "https://evil.example")], 403),
        (&[("User-Agent", "curl/8.0")], 200),
        (&[], 200),
    ] {
        let response = Http::connect(gateway.addr()).ask("GET", &path, headers).unwrap();
        assert_eq!(response.status, status, "{headers:?}");
    }
}
