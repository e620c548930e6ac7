//! Which transports there are, and what becomes of those that are off.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::http::Http;
use crate::support::ws::Ws;
use crate::wire::{gateway, good};

fn handshake(types: &Value) -> Value {
    json!([{ "channel": "/meta/handshake", "version": "1.0", "supportedConnectionTypes": types, "id": "1" }])
}

/// R32, R49, R50, W7: what is on is listed, the best first, whatever the client lists.
#[test]
fn transports_are_listed_in_order() {
    let all = ["websocket", "eventsource", "long-polling", "cross-origin-long-polling", "callback-polling"];
    for (setting, expected) in [
        ("all", &all[..]),
        ("[callback-polling, long-polling]", &["long-polling", "callback-polling"]),
        ("[long-polling, all]", &all),
        ("long-polling", &["long-polling"]),
    ] {
        let gateway = gateway(&format!("bayeux: {{ transports: {setting} }}"));
        let asked =
            handshake(&json!(["callback-polling", "flash", "long-polling", "in-process"])).to_string();
        let reply = good(&Http::connect(gateway.addr()).post("/cometd", asked.as_bytes()).unwrap());
        assert_eq!(
            (&reply[0]["successful"], &reply[0]["supportedConnectionTypes"]),
            (&json!(true), &json!(expected))
        );
    }
}

/// R50, R51: with no transport in common a handshake fails for good.
#[test]
fn without_a_common_transport_a_handshake_fails() {
    let gateway = gateway("bayeux: { transports: [long-polling] }");
    for types in [json!(["websocket"]), json!(["flash", "iframe"]), json!([]), json!("x")] {
        let asked = handshake(&types).to_string();
        let reply = good(&Http::connect(gateway.addr()).post("/cometd", asked.as_bytes()).unwrap());
        assert_eq!(reply[0]["successful"], false, "{types}");
        assert_eq!(reply[0]["error"], "301::connection_types_not_supported");
        assert_eq!(reply[0]["advice"], json!({ "reconnect": "none" }));
        assert_eq!(reply[0].get("clientId"), None);
    }
}

/// R50, B95: a transport that is off is refused with a text that names the setting.
#[test]
fn what_is_off_is_refused() {
    for (on, refused) in [
        ("websocket", &["long-polling", "callback-polling", "eventsource"][..]),
        ("long-polling", &["callback-polling", "eventsource"]),
        ("cross-origin-long-polling", &["callback-polling", "eventsource"]),
        ("callback-polling", &["long-polling", "eventsource"]),
        // It needs POST.
        ("eventsource", &["callback-polling"]),
    ] {
        let gateway = gateway(&format!("bayeux: {{ transports: {on} }}"));
        for transport in ["long-polling", "callback-polling", "eventsource"] {
            let mut http = Http::connect(gateway.addr());
            match transport {
                "long-polling" => http.send_post("/cometd", &[], b"[]").unwrap(),
                "callback-polling" => http.send("GET", "/cometd?message=[]", &[]).unwrap(),
                _ => http.send("GET", "/cometd/id", &[("Accept", "text/event-stream")]).unwrap(),
            }
            if refused.contains(&transport) {
                let response = http.response(Instant::now() + Duration::from_secs(5)).unwrap();
                let expected = format!("{transport} is switched off (bayeux.transports)\n");
                assert_eq!((response.status, response.text()), (403, &*expected), "{on}");
            } else {
                let head = http.head(Instant::now() + Duration::from_secs(5)).unwrap();
                assert_eq!(head.status, 200, "{on}: {transport}");
            }
        }
    }
}

/// R8, W9, B95: with WebSockets off an upgrade is accepted all the same, for clients that would ask again for ever; the handshake on it says what
/// there is, and its session goes on with that.
#[test]
fn a_client_on_a_websocket_falls_back_when_those_are_off() {
    let gateway = gateway("bayeux: { transports: [long-polling] }");
    let mut ws = Ws::connect(gateway.addr(), "/cometd");
    let until = Instant::now() + Duration::from_secs(5);
    ws.send_text(&handshake(&json!(["websocket", "long-polling"])).to_string()).unwrap();
    let reply: Value = serde_json::from_slice(&ws.receive(until).unwrap().payload).unwrap();
    assert_eq!(
        (&reply[0]["successful"], &reply[0]["supportedConnectionTypes"]),
        (&json!(true), &json!(["long-polling"]))
    );
    let id = &reply[0]["clientId"];
    // One that does not look is sent back to the handshake.
    let connect =
        json!([{ "channel": "/meta/connect", "clientId": id, "connectionType": "websocket", "id": "2" }]);
    ws.send_text(&connect.to_string()).unwrap();
    let refused: Value = serde_json::from_slice(&ws.receive(until).unwrap().payload).unwrap();
    assert_eq!(refused[0]["error"], "301::connection_types_not_supported");
    assert_eq!(refused[0]["advice"], json!({ "reconnect": "handshake", "interval": 0 }));
    let connect =
        json!([{ "channel": "/meta/connect", "clientId": id, "connectionType": "long-polling", "id": "3" }]);
    let reply = good(&Http::connect(gateway.addr()).post("/cometd", connect.to_string().as_bytes()).unwrap());
    assert_eq!(reply[0]["successful"], true);
}

/// R40: a connect names its transport; one that is off is refused, none or an unknown one is no matter.
#[test]
fn a_connect_by_a_transport_that_is_off_is_refused() {
    let gateway = gateway("bayeux: { transports: [long-polling] }");
    let mut http = Http::connect(gateway.addr());
    let asked = handshake(&json!(["long-polling"])).to_string();
    let id = good(&http.post("/cometd", asked.as_bytes()).unwrap())[0]["clientId"].clone();
    for (kind, successful) in [
        (json!("long-polling"), true),
        (json!("eventsource"), false),
        (json!("iframe"), true),
        (Value::Null, true),
    ] {
        let connect = json!([{ "channel": "/meta/connect", "clientId": id, "connectionType": kind, "advice": { "timeout": 0 } }]);
        let reply = good(&http.post("/cometd", connect.to_string().as_bytes()).unwrap());
        assert_eq!(reply[0]["successful"], successful, "{kind}");
    }
}
