//! Real clients over TLS and HTTP/2.

use serde_json::{Value, json};

use crate::rig::{CA, Papers, Secure};
use crate::support::driver::{Driver, clients};
use crate::support::gateway::Gateway;
use crate::support::process;

/// npm `cometd` in Node, over `https` and `wss`.
#[test]
fn cometd_in_node() {
    let secure = Secure::start("");
    let ca = secure.papers.path(CA);
    let url = format!("https://localhost:{}/cometd", secure.addr().port());
    for transport in ["websocket", "long-polling"] {
        let mut command = process::command("node");
        command.args(["cometd.mjs", "cometd", &url, transport]).current_dir(clients());
        command.env("NODE_EXTRA_CA_CERTS", &ca);
        let mut node = Driver::start(command);
        assert_eq!(node.expect("handshake", |_| true)["successful"], true);
        node.tell(&json!({ "do": "subscribe", "channel": "/chat/*" }));
        assert_eq!(node.expect("subscribe", |_| true)["successful"], true);
        let data = json!({ "text": "Grüße 世界 🚀" });
        node.tell(&json!({ "do": "publish", "channel": "/chat/room", "data": data }));
        assert_eq!(node.expect("publish", |_| true)["successful"], true);
        assert_eq!(node.expect("message", |_| true)["data"], data);
        node.tell(&json!({ "do": "disconnect" }));
        assert_eq!(node.expect("disconnect", |_| true)["successful"], true);
    }
}

/// Node's HTTP/2 client: twenty polls held on one connection, and a WebSocket's stream.
#[test]
fn http2_in_node() {
    let secure = Secure::start("shards: 2");
    let url = format!("https://localhost:{}", secure.addr().port());
    let mut node = Driver::node("http2.mjs", &[&url, secure.papers.path(CA).to_str().unwrap()]);
    let polls = node.expect("polls", |_| true);
    assert_eq!(polls["published"], true);
    let expected: Vec<Value> = (0..20).map(|n| json!([n])).collect();
    assert_eq!(polls["heard"], Value::from(expected));
    assert_eq!(node.expect("settings", |_| true)["connect"], true);
    assert_eq!(node.expect("stream", |_| true)["status"], 200);
    assert_eq!(secure.gateway.metric("halley_connections_accepted_total", &[]), 1.0);
}

/// The demo in Chromium: page, polls, and WebSocket alike over HTTP/2.
#[test]
fn the_demo_in_a_browser() {
    let papers = Papers::new();
    let (cert, key) = (papers.path("gateway.pem"), papers.path("gateway.key"));
    let tls = [format!("tls.cert={}", cert.display()), format!("tls.key={}", key.display())];
    let gateway = Gateway::demo_with(&tls);
    for transport in ["websocket", "long-polling"] {
        let url = format!("https://localhost:{}/?transport={transport}", gateway.addr().port());
        let mut page = Driver::node("page.mjs", &[&url, "--ignore-certificate-errors"]);
        for selector in [
            "#status[data-state=connected]",
            &format!("#transport[data-transport={transport}]"),
            "[data-symbol=ACME] .price",
        ] {
            page.tell(&json!({ "do": "wait", "selector": selector }));
            page.expect("found", |found| found["selector"] == selector);
        }
        page.never("console", |message| message["type"] == "error");
    }
    assert!(gateway.metric("halley_http2_connections_total", &[]) >= 2.0);
    assert_eq!(gateway.metric("halley_websocket_upgrades_total", &[]), 1.0);
    // An upgrade of HTTP/1.1 would have been answered 101.
    assert_eq!(gateway.metric("halley_http_requests_total", &["1xx"]), 0.0);
}
