//! A shard with a thousand subscribed WebSockets, without the sockets.

use std::io::IoSlice;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use halley::bayeux::{self, Channel, ConnectionType, Limits};
use halley::hub::{Input, Output, Settings, Shard, SocketKey, Via};
use halley::stream::{Batch, Body, Positions, Record, Render, Source, Span, Topic};

use crate::operations::{Copied, raw, value};

/// Sessions.
pub const CLIENTS: u64 = 1000;

const LIMITS: Limits = Limits { batch: 1000, depth: 32, channel: 400 };

pub struct Population {
    shard: Shard,
    now: Instant,
    topic: Arc<Topic>,
    render: Arc<dyn Render>,
    value: Vec<u8>,
    offset: i64,
}

// === impl Population ===

impl Population {
    /// Client n is subscribed to the channel that `subscribed` says for n.
    pub fn new(subscribed: fn(u64) -> String) -> Self {
        let settings = Settings {
            shard: 0,
            timeout: Duration::from_secs(30),
            interval: Duration::ZERO,
            max_interval: Duration::from_mins(1),
            types: vec![ConnectionType::WebSocket],
            clients_per_browser: Some(1),
            multi_client_interval: Duration::from_secs(2),
            max_unconnected: usize::try_from(CLIENTS).unwrap(),
            max_subscriptions: 20,
            root_patterns: true,
            queue_bytes: 1 << 20,
            publishes_per_session: 4,
            activity: None,
            publish_rate: None,
            addresses: None,
        };
        let mut seed = 1_u64;
        let entropy = Box::new(move |bytes: &mut [u8]| {
            for byte in bytes {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                *byte = (seed >> 56) as u8;
            }
        });
        let mut population = Self {
            shard: Shard::new(settings, entropy, Box::new(|| 0)),
            now: Instant::now(),
            topic: Arc::new(Topic::new("prices".into(), 1)),
            render: Arc::new(Copied),
            value: value(),
            offset: 0,
        };
        for n in 0..CLIENTS {
            population.join(&subscribed(n));
        }
        population
    }

    fn join(&mut self, channel: &str) {
        let socket = self.shard.open_socket(false);
        let handshake =
            r#"{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["websocket"]}"#;
        let answer = self.request(socket, handshake);
        let answer = String::from_utf8_lossy(&answer);
        let id = answer.split(r#""clientId":""#).nth(1).unwrap().split('"').next().unwrap();
        self.request(
            socket,
            &format!(r#"{{"channel":"/meta/subscribe","clientId":"{id}","subscription":"{channel}"}}"#),
        );
        for _ in 0..2 {
            self.request(
                socket,
                &format!(r#"{{"channel":"/meta/connect","clientId":"{id}","connectionType":"websocket"}}"#),
            );
        }
    }

    /// Sends one message; what the socket was written.
    fn request(&mut self, socket: SocketKey, message: &str) -> Vec<u8> {
        let messages = bayeux::parse(&Bytes::copy_from_slice(message.as_bytes()), &LIMITS).unwrap();
        let peer = IpAddr::from(Ipv4Addr::LOCALHOST);
        let via = Via::Socket(socket);
        let request = Input::Request { via, browser: None, peer, multiplexed: false, messages };
        self.shard.handle(request, self.now);
        while let Some(output) = self.shard.poll_output() {
            if let Output::Subscribe(ticket, _) = output {
                self.shard.handle(Input::Subscribed(ticket, Ok(Positions::default())), self.now);
            }
        }
        let mut written = Vec::new();
        self.write(|slice| written.extend_from_slice(slice));
        self.shard.handle(Input::Flush, self.now);
        written
    }

    /// Takes a record in, and everything out that it leads to; how many frames that is.
    pub fn deliver(&mut self, channel: &str) -> u64 {
        self.offset += 1;
        let body = Arc::new(Body::copy(&raw("prices", b"ACME", &self.value), false));
        let source = Source { topic: Arc::clone(&self.topic), partition: 3, offset: self.offset };
        let channel = Channel::parse(channel).unwrap();
        let record = Arc::new(Record::new(channel, Some(source), body, Arc::clone(&self.render)));
        let (from, to) = (self.offset, self.offset + 1);
        let span = Span { topic: Arc::clone(&self.topic), partition: 3, from, to, records: vec![record] };
        let batch = Arc::new(Batch { size: 512, spans: vec![span] });
        self.shard.handle(Input::Batch(batch), self.now);
        let mut frames = 0;
        self.write(|_| frames += 1);
        self.shard.handle(Input::Flush, self.now);
        assert!(self.shard.poll_output().is_none());
        frames
    }

    fn write(&mut self, mut see: impl FnMut(&[u8])) {
        while let Some(socket) = self.shard.poll_flush() {
            let Some(outbox) = self.shard.outbox(socket) else { continue };
            let mut slices = [IoSlice::new(&[]); 16];
            let filled = outbox.fill(&mut slices);
            let slices = &slices[..filled];
            for slice in slices {
                see(slice);
            }
            let count = slices.iter().map(|slice| slice.len()).sum();
            outbox.wrote(count);
        }
    }
}
