//! Pages of other origins.

use serde_json::json;

use crate::support::http::Http;
use crate::support::ws::Ws;
use crate::wire::{gateway, good};

const PAGE: &str = "https://app.example.com";
const HANDSHAKE: &[u8] =
    br#"[{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["cross-origin-long-polling"],"id":"1"}]"#;

/// W23: a preflight is answered on every path, for whatever headers the page wants to send.
#[test]
fn preflights_are_answered_on_every_path() {
    let gateway = gateway(&format!("origins: [\"{PAGE}\"]"));
    for path in [
        "/cometd",
        "/cometd/",
        "/cometd/handshake",
        "/cometd/connect",
        "/cometd/disconnect",
        "/cometd/58.0/connect",
    ] {
        for asked in ["content-type", "content-type,x-requested-with", "pragma", "authorization, x-anything"]
        {
            let response = Http::connect(gateway.addr())
                .ask(
                    "OPTIONS",
                    path,
                    &[
                        ("Origin", PAGE),
                        ("Access-Control-Request-Method", "POST"),
                        ("Access-Control-Request-Headers", asked),
                        ("Access-Control-Request-Private-Network", "true"),
                    ],
                )
                .unwrap();
            assert_eq!(response.status / 100, 2);
            for (name, value) in [
                ("access-control-allow-origin", PAGE),
                ("access-control-allow-credentials", "true"),
                ("access-control-allow-headers", asked),
                ("access-control-allow-methods", "GET, POST, OPTIONS"),
                ("access-control-max-age", "86400"),
                ("access-control-allow-private-network", "true"),
                ("vary", "origin"),
            ] {
                assert_eq!(response.header(name), Some(value), "{path} {name}");
            }
        }
    }
    let refused = Http::connect(gateway.addr())
        .ask("OPTIONS", "/cometd", &[("Origin", "https://evil.example")])
        .unwrap();
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (403, None));
}

/// R47, W13, W23: Faye's cross-origin-long-polling is a form as plain text, which needs no preflight, and is answered to the page.
#[test]
fn faye_polls_across_origins() {
    let gateway = gateway(&format!("origins: [\"{PAGE}\"]"));
    let mut http = Http::connect(gateway.addr());
    let headers = [("Origin", PAGE), ("Content-Type", "text/plain;charset=UTF-8"), ("Pragma", "no-cache")];
    let mut post = |message: &serde_json::Value| {
        let body = format!("message={}", crate::support::http::encoded(&message.to_string()));
        let response = http.post_with("/cometd", &headers, body.as_bytes()).unwrap();
        assert_eq!(response.header("access-control-allow-origin"), Some(PAGE));
        assert_eq!(response.header("access-control-allow-credentials"), Some("true"));
        good(&response)
    };
    let reply = post(&serde_json::from_slice(HANDSHAKE).unwrap());
    assert!(
        reply[0]["supportedConnectionTypes"]
            .as_array()
            .unwrap()
            .contains(&json!("cross-origin-long-polling"))
    );
    let id = &reply[0]["clientId"];
    let connect = json!([
        { "channel": "/meta/connect", "clientId": id, "connectionType": "cross-origin-long-polling", "id": "2", "advice": { "timeout": 0 } },
        { "channel": "/meta/subscribe", "clientId": id, "subscription": "/chat/1", "id": "3" },
        { "channel": "/chat/1", "clientId": id, "data": "é", "id": "4" },
    ]);
    let replies = post(&connect);
    let successes = replies.as_array().unwrap().iter().filter(|reply| reply["successful"] == true);
    assert_eq!(successes.count(), 3);
}

/// R71, W23: an origin that is not allowed is refused on every transport, and told nothing; the same origin always passes.
#[test]
fn other_origins_are_refused_on_every_transport() {
    let gateway = gateway(&format!("origins: [\"{PAGE}\", \"https://*.example.org\"]"));
    let own = format!("http://{}", gateway.addr());
    for (origin, allowed) in [
        (PAGE, true),
        ("https://a.example.org", true),
        (&*own, true),
        ("https://evil.example", false),
        ("http://app.example.com", false),
        ("null", false),
    ] {
        let header = ("Origin", origin);
        let ask = |path: &str, headers: &[(&str, &str)]| {
            let headers = [headers, &[header]].concat();
            let mut http = Http::connect(gateway.addr());
            http.send("GET", path, &headers).unwrap();
            http.head(std::time::Instant::now() + std::time::Duration::from_secs(5)).unwrap().status
        };
        let status = if allowed { 200 } else { 403 };
        let post = Http::connect(gateway.addr()).post_with("/cometd", &[header], HANDSHAKE).unwrap();
        assert_eq!(post.status, status, "{origin}");
        assert_eq!(ask("/cometd?message=[]", &[]), status, "{origin}");
        assert_eq!(ask("/cometd/id", &[("Accept", "text/event-stream")]), status, "{origin}");
        assert_eq!(Ws::try_connect(gateway.addr(), "/cometd", &[header]).is_ok(), allowed, "{origin}");
    }
}

/// The policy file of Flash exists if there are origins, and says the same; Bayeux answers are status 200.
#[test]
fn flash_has_its_policy() {
    let with = gateway(&format!("origins: [\"{PAGE}\", \"http://*.example.org\"]"));
    let response = Http::connect(with.addr()).get("/crossdomain.xml").unwrap();
    assert_eq!((response.status, response.header("content-type")), (200, Some("text/x-cross-domain-policy")));
    let text = response.text();
    assert!(text.contains("<allow-access-from domain=\"app.example.com\" secure=\"true\"/>"), "{text}");
    assert!(text.contains("<allow-access-from domain=\"*.example.org\" secure=\"false\"/>"), "{text}");
    let without = gateway("");
    assert_eq!(Http::connect(without.addr()).get("/crossdomain.xml").unwrap().status, 404);
    // An error of the protocol is a Bayeux answer, too.
    let connect = br#"[{"channel":"/meta/connect","clientId":"gone","connectionType":"long-polling"}]"#;
    let reply = good(&Http::connect(without.addr()).post("/cometd", connect).unwrap());
    assert_eq!(reply[0]["successful"], false);
}
