//! Clients in Node: npm `cometd` of every line that is in use, npm `faye`, and `jsforce`, which has a Faye client in it.

use super::client::Client;
use super::scenario;
use crate::support::driver::Driver;

fn cometd(package: &'static str, transport: &'static str, extension: &'static str) -> Client {
    let start =
        move |url: &str, transport: &str| Driver::node("cometd.mjs", &[package, url, transport, extension]);
    Client::new("CometD JavaScript, npm `cometd`, in Node", transport, start).extended(extension)
}

fn faye(package: &'static str, name: &'static str, transport: &'static str) -> Client {
    let start = move |url: &str, transport: &str| Driver::node("faye_client.mjs", &[package, url, transport]);
    Client::new(name, transport, start)
}

/// R9, B32: CometD of every line that is in use, Faye and jsforce.
#[test]
fn clients_in_node() {
    const FAYE: &str = "Faye, npm `faye`, in Node";
    const JSFORCE: &str = "jsforce streaming, npm `jsforce`, in Node";
    scenario::run(
        "node",
        vec![
            cometd("cometd", "websocket", ""),
            cometd("cometd", "websocket", "ack"),
            cometd("cometd", "long-polling", ""),
            cometd("cometd", "long-polling", "ack"),
            cometd("cometd7", "websocket", "ack"),
            cometd("cometd7", "long-polling", "ack"),
            cometd("cometd5", "websocket", "ack"),
            cometd("cometd5", "long-polling", "ack"),
            cometd("cometd3", "long-polling", "ack"),
            faye("faye", FAYE, "websocket"),
            faye("faye", FAYE, "long-polling"),
            faye("jsforce", JSFORCE, "websocket"),
        ],
    );
}
