//! `halley tail` and `halley publish` against a gateway with TLS.

use std::process::Output;

use serde_json::json;

use crate::rig::{CA, STRANGER, Secure};
use crate::support::bayeux::{Client, Transport};
use crate::support::gateway::halley;
use crate::support::process::{self, Process};
use crate::support::{eventually, gateway::binary};

use std::time::Duration;

fn run(secure: &Secure, args: &[&str]) -> Output {
    halley(secure.papers.dir(), args)
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Both transports, by `https` and `wss`; the authority named by `--ca`.
#[test]
fn tail_and_publish_speak_tls() {
    let secure = Secure::start("");
    let bridge = secure.bridge();
    let mut reader = Client::subscribed(bridge.addr(), Transport::WebSocket, "/chat/*");
    for (n, (scheme, transport)) in
        [("https", "websocket"), ("wss", "long-polling"), ("https", "long-polling")].into_iter().enumerate()
    {
        let url = format!("{scheme}://localhost:{}/cometd", secure.addr().port());
        let server = ["--url", &url, "--ca", CA, "--transport", transport];
        let mut command = process::command(binary());
        command.current_dir(secure.papers.dir()).args(["tail", "-n", "1"]).args(server).arg("/chat/told");
        let mut tail = Process::start("tail", command);
        eventually(Duration::from_secs(10), "it has subscribed", || {
            tail.log().contains("subscribed to /chat/told")
        });

        let data = format!(r#"{{"n":{n},"text":"é"}}"#);
        let output = run(&secure, &[&["publish"], &server[..], &["/chat/told", &data]].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(reader.expect_event(), ("/chat/told".to_owned(), json!({ "n": n, "text": "é" })));
        assert!(tail.wait(Duration::from_secs(10)).success());
        assert!(
            tail.log().contains(&format!(r#"{{"channel":"/chat/told","data":{data}}}"#)),
            "{}",
            tail.log()
        );
    }
}

/// A server that cannot be trusted is not spoken to, and what to do is said; a header that is none is refused without being shown.
#[test]
fn what_cannot_be_trusted_is_told() {
    let secure = Secure::start("");
    let url = format!("https://localhost:{}/cometd", secure.addr().port());
    for (args, expected) in [
        (&["--ca", STRANGER][..], "(--ca FILE names another authority to trust)"),
        (&["--ca", "none.pem"], "none.pem: cannot read it"),
        (&["--ca", "gateway.key"], "gateway.key: there is no certificate in it"),
    ] {
        let output = run(&secure, &[&["publish", "--url", &url], args, &["/chat/a", "1"]].concat());
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains(expected), "{}", text(&output.stderr));
    }
    let address = format!("https://127.0.0.2:{}/cometd", secure.addr().port());
    let output = run(&secure, &["publish", "--url", &address, "--ca", CA, "/chat/a", "1"]);
    assert_eq!(output.status.code(), Some(1), "the certificate is for another name");
}

/// `--header` is sent by both transports, with the upgrade too, and shows nowhere.
#[test]
fn headers_are_sent_and_not_shown() {
    let secure = Secure::start("log: { level: trace }\norigins: [\"https://secret.example\"]");
    let url = format!("https://localhost:{}/cometd", secure.addr().port());
    let publish = |transport, origin: &str| {
        let header = format!("Origin: {origin}");
        let server = ["--url", &url, "--ca", CA, "--transport", transport];
        let headers = ["--header", &header, "--header", "Authorization: Bearer hush-7f3a"];
        run(&secure, &[&["publish"], &server[..], &headers[..], &["/chat/a", "1"]].concat())
    };
    for transport in ["websocket", "long-polling"] {
        // That the gateway looks at the origin shows that it came.
        assert!(publish(transport, "https://secret.example").status.success());
        let refused = publish(transport, "https://other.example");
        assert_eq!(refused.status.code(), Some(1));
        assert!(!text(&refused.stderr).contains("hush"), "{}", text(&refused.stderr));
    }
    assert!(!secure.gateway.log().contains("hush"), "a token is in the log");
    let output = run(&secure, &["publish", "--header", "hush-7f3a", "/chat/a", "1"]);
    assert_eq!(output.status.code(), Some(2));
}
