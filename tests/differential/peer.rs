//! The three servers, with the same time-outs.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::driver::Driver;
use crate::support::gateway::{Gateway, LOCAL};
use crate::support::{cache, process};

/// How long each of them holds a connect.
pub const TIMEOUT: Duration = Duration::from_secs(3);
/// How long a session lives without a connect.
const MAX_INTERVAL: Duration = Duration::from_secs(8);

/// A server that runs.
pub struct Peer {
    pub at: Place,
    _server: Server,
}

/// Where a server is.
#[derive(Clone, Copy)]
pub struct Place {
    pub addr: SocketAddr,
    pub path: &'static str,
}

enum Server {
    Halley(#[expect(dead_code, reason = "lives as long as the peer")] Box<Gateway>),
    Cometd(Child),
    Faye(#[expect(dead_code, reason = "lives as long as the peer")] Driver),
}

// === impl Peer ===

impl Peer {
    pub fn halley() -> Self {
        let settings = format!(
            "bayeux: {{ timeout: {}s, max_interval: {}s }}",
            TIMEOUT.as_secs(),
            MAX_INTERVAL.as_secs()
        );
        let gateway = Gateway::local(LOCAL, &settings);
        let at = Place { addr: gateway.addr(), path: "/cometd" };
        Self { at, _server: Server::Halley(Box::new(gateway)) }
    }

    pub fn cometd() -> Self {
        let pom = include_str!("../../scripts/cometd/pom.xml");
        let version = pom.split_once("<cometd.version>").and_then(|(_, rest)| rest.split('<').next());
        let jars = cache().join(format!("cometd-server-{}/lib", version.expect("a version")));
        assert!(jars.exists(), "the CometD server is missing: run `scripts/need cometd`");
        let mut command = process::command("java");
        command.args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"]);
        command.arg(jars.join("*"));
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/CometdServer.java"));
        command.args([TIMEOUT, MAX_INTERVAL].map(|time| time.as_millis().to_string()));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = process::spawn(command);
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("it says its port");
        let port = line.trim().parse().unwrap_or_else(|_| panic!("not a port: {line}"));
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        Self { at: Place { addr, path: "/cometd" }, _server: Server::Cometd(child) }
    }

    pub fn faye() -> Self {
        let mut node = Driver::node("faye_server.mjs", &[&TIMEOUT.as_secs().to_string()]);
        let port = node.expect("listening", |_| true)["port"].as_u64().expect("a port");
        let addr = SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).expect("a port")));
        Self { at: Place { addr, path: "/faye" }, _server: Server::Faye(node) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Self::Cometd(child) = self {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// `advice.timeout` of all of them.
pub fn advised() -> Value {
    Value::from(u64::try_from(TIMEOUT.as_millis()).expect("a few seconds"))
}
