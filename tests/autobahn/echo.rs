//! A server that sends back what it gets: the gateway's connections, upgrades and WebSockets, with an echo where Bayeux is otherwise.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Instant;

use bytes::Bytes;
use halley::bayeux::Message;
use halley::hub::{self, Input, Outbox, Response, Shard, SocketKey};
use halley::stream::{compressed_text_frame, text_frame};
use halley::telemetry::ShardMetrics;
use halley::transport::websocket::frame;
use halley::transport::{Handover, Hub, Link, Peer, PostId, Server, Settings, files};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::{LocalSet, spawn_local};

/// The running server. Dropped, it ends.
pub struct Echo {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The shard is there for its outboxes.
struct Echoing {
    shard: RefCell<Shard>,
    links: RefCell<HashMap<SocketKey, (Rc<Link>, bool)>>,
}

// === impl Echo ===

impl Echo {
    pub fn start() -> Self {
        let (stop, stopped) = oneshot::channel();
        let (bound, address) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let serving = async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                bound.send(listener.local_addr().unwrap()).unwrap();
                tokio::select! {
                    () = serve(listener) => {}
                    _ = stopped => {}
                }
            };
            runtime.block_on(LocalSet::new().run_until(serving));
        });
        let address = address.recv().expect("the echo listens");
        Self { address, stop: Some(stop), thread: Some(thread) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().expect("it runs").join();
        assert!(ended.is_ok() || std::thread::panicking(), "the server does not panic");
    }
}

async fn serve(listener: TcpListener) {
    let mut settings = halley::config::Settings::default();
    settings.bayeux.path = vec!["/".to_owned()];
    settings.bayeux.websocket.compression = true;
    settings.bayeux.transports = vec![halley::bayeux::ConnectionType::WebSocket];
    settings.limits.body = 64 << 20;
    let transport = Settings::new(&settings).unwrap();
    let shard = Shard::new(
        hub::Settings {
            shard: 0,
            timeout: settings.bayeux.timeout,
            interval: settings.bayeux.interval,
            max_interval: settings.bayeux.max_interval,
            types: Vec::new(),
            clients_per_browser: None,
            multi_client_interval: settings.bayeux.multi_client_interval,
            max_unconnected: 1,
            max_subscriptions: 1,
            root_patterns: false,
            queue_bytes: settings.queue.bytes,
            publishes_per_session: 1,
            activity: None,
            publish_rate: None,
            addresses: None,
        },
        Box::new(|_| {}),
        Box::new(|| 0),
    );
    let hub = Rc::new(Echoing { shard: RefCell::new(shard), links: RefCell::default() });
    let nothing = files(&transport, |_| None);
    let (_drain, draining) = watch::channel(false);
    let server = Server::new(hub, transport, nothing, Arc::<ShardMetrics>::default(), draining);
    loop {
        let (stream, peer) = listener.accept().await.unwrap();
        let stream = stream.into_std().unwrap();
        stream.set_nodelay(true).unwrap();
        spawn_local(server.clone().serve(stream.into(), peer));
    }
}

// === impl Echoing ===

impl Hub for Echoing {
    fn intercept(&self, socket: SocketKey, message: &frame::Message) -> bool {
        let (payload, is_text) = match message {
            frame::Message::Text(payload) => (payload, true),
            frame::Message::Binary(payload) => (payload, false),
            _ => return false,
        };
        let (link, compressed) = self.links.borrow()[&socket].clone();
        let mut frame = match compressed_text_frame(payload) {
            Some(frame) if compressed => frame.to_vec(),
            None if compressed => stored(payload),
            _ => text_frame(payload).to_vec(),
        };
        if !is_text {
            // The opcode of binary messages is one more than that of texts.
            frame[0] += 1;
        }
        self.outbox(socket, &mut |outbox| {
            outbox.control(Bytes::copy_from_slice(&frame));
            link.flush(outbox);
        });
        true
    }

    fn open(&self, link: Rc<Link>, compressed: bool) -> SocketKey {
        let key = self.shard.borrow_mut().open_socket(compressed);
        self.links.borrow_mut().insert(key, (link, compressed));
        key
    }

    fn outbox(&self, socket: SocketKey, see: &mut dyn FnMut(&mut Outbox)) {
        if let Some(outbox) = self.shard.borrow_mut().outbox(socket) {
            see(outbox);
        }
    }

    fn closed(&self, socket: SocketKey) {
        self.links.borrow_mut().remove(&socket);
        self.shard.borrow_mut().handle(Input::SocketClosed(socket), Instant::now());
    }

    fn post(&self, _: Peer, _: Vec<Message>) -> (PostId, oneshot::Receiver<Response>) {
        unreachable!("an echo takes WebSockets only")
    }

    fn written(&self, _: PostId, _: bool) {
        unreachable!("an echo takes WebSockets only")
    }

    fn hurry(&self, _: PostId) {
        unreachable!("an echo takes WebSockets only")
    }

    fn open_stream(&self, _: Rc<Link>) -> SocketKey {
        unreachable!("an echo takes WebSockets only")
    }

    fn stream(&self, _: SocketKey, _: &Peer, _: &str) {
        unreachable!("an echo takes WebSockets only")
    }

    fn home(&self, _: &[Message]) -> Option<u16> {
        None
    }

    fn home_of(&self, _: &str) -> Option<u16> {
        None
    }

    fn hand_over(&self, _: u16, _: Handover) {
        unreachable!("there is one shard")
    }

    fn receive(&self, _: SocketKey, _: &Peer, _: Vec<Message>) {
        unreachable!("every message is intercepted")
    }
}

/// A compressed text message that is not compressed (RFC 7692 §7.2.3.2): the cases want compressed ones for an answer, whether that makes
/// them shorter or not.
fn stored(payload: &[u8]) -> Vec<u8> {
    let mut blocks = Vec::new();
    for part in payload.chunks(usize::from(u16::MAX)) {
        let length = u16::try_from(part.len()).expect("a part's length");
        blocks.push(0);
        blocks.extend(length.to_le_bytes());
        blocks.extend((!length).to_le_bytes());
        blocks.extend_from_slice(part);
    }
    blocks.push(0);
    let mut frame = text_frame(&blocks).to_vec();
    frame[0] |= 0x40;
    frame
}
