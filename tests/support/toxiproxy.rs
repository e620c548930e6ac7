//! A proxy between clients and brokers that can be slow, narrow, silent or rude: Toxiproxy, by its HTTP API.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use super::http::Http;
use super::kafka::free_port;
use super::process::{self, Process};
use super::{cache, eventually};

/// A running proxy of several ports.
pub struct Toxiproxy {
    _process: Process,
    api: SocketAddr,
    ports: usize,
}

/// What is wrong with the network.
#[derive(Clone, Copy, Debug)]
pub enum Toxic {
    /// So much later in each direction.
    Latency(Duration),
    /// KiB a second from the broker.
    Bandwidth(u32),
    /// Nothing gets through, and the connections stay. What was sent meanwhile is gone for ever.
    Silence,
    /// Connections are reset.
    Reset,
}

// === impl Toxiproxy ===

impl Toxiproxy {
    /// Starts one that leads each of the first ports to the second, on this machine.
    pub fn start(ports: &[(u16, u16)]) -> Self {
        let binary = cache().join("bin/toxiproxy-server");
        assert!(binary.exists(), "Toxiproxy is missing: run `scripts/need toxiproxy`");
        let api = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut command = process::command(binary);
        command.args(["-host", "127.0.0.1", "-port", &api.port().to_string()]).env("LOG_LEVEL", "error");
        let proxy = Self { _process: Process::start("toxiproxy", command), api, ports: ports.len() };
        eventually(Duration::from_secs(20), "the proxy answers", || Http::try_connect(api).is_ok());
        for (n, (from, to)) in ports.iter().enumerate() {
            proxy.post("/proxies", &json!({
                "name": format!("p{n}"), "listen": format!("127.0.0.1:{from}"), "upstream": format!("127.0.0.1:{to}"), "enabled": true,
            }));
        }
        proxy
    }

    /// Spoils the way to the broker of the given index.
    pub fn spoil(&self, index: usize, toxic: Toxic) {
        let (kind, attributes, both) = match toxic {
            Toxic::Latency(latency) => ("latency", json!({ "latency": latency.as_millis() }), true),
            Toxic::Bandwidth(rate) => ("bandwidth", json!({ "rate": rate }), false),
            Toxic::Silence => ("timeout", json!({ "timeout": 0 }), true),
            Toxic::Reset => ("reset_peer", json!({ "timeout": 0 }), false),
        };
        let streams: &[&str] = if both { &["downstream", "upstream"] } else { &["downstream"] };
        for stream in streams {
            let toxic = json!({ "type": kind, "stream": stream, "attributes": attributes });
            self.post(&format!("/proxies/p{index}/toxics"), &toxic);
        }
    }

    /// Spoils the way to all brokers.
    pub fn spoil_all(&self, toxic: Toxic) {
        (0..self.ports).for_each(|index| self.spoil(index, toxic));
    }

    /// All is well again.
    pub fn heal(&self) {
        self.post("/reset", &Value::Null);
    }

    fn post(&self, path: &str, body: &Value) {
        let response = Http::connect(self.api).post(path, body.to_string().as_bytes());
        let response = response.expect("the proxy answers");
        assert_eq!(response.status / 100, 2, "{path} {body}: {}", response.text());
    }
}
