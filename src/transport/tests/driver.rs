//! A shard with its driver, as small as tests of the transports need it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};
use tokio::task::{LocalSet, spawn_local};

use crate::bayeux::{Channel, Message};
use crate::hub::{self, HttpId, Input, Outbox, Output, Response, Shard, SocketKey, Via};
use crate::net;
use crate::stream::{Batch, Body, Positions, RawRecord, Record, Render, Span, Topic};
use crate::telemetry::ShardMetrics;
use crate::transport::hub::{Handover, Hub, Peer, PostId};

use crate::transport::{Link, Server, Settings, files};

/// Only notes what became of responses.
#[derive(Default)]
pub(in crate::transport) struct Recorder {
    pub(in crate::transport) written: RefCell<Vec<(HttpId, bool)>>,
}

/// A shard whose subscribes and publishes succeed at once.
pub(in crate::transport) struct Driver {
    shard: RefCell<Shard>,
    links: RefCell<HashMap<SocketKey, Rc<Link>>>,
    posts: RefCell<HashMap<HttpId, oneshot::Sender<Response>>>,
    next: Cell<HttpId>,
    offset: Cell<i64>,
    /// What was written whole, or not.
    pub(in crate::transport) written: RefCell<Vec<bool>>,
    /// Where sockets go on their first message, if anywhere.
    pub(in crate::transport) elsewhere: RefCell<Option<Rc<Server>>>,
}

/// A running server and its address.
pub(in crate::transport) struct Running {
    pub(in crate::transport) driver: Rc<Driver>,
    pub(in crate::transport) server: Rc<Server>,
    pub(in crate::transport) metrics: std::sync::Arc<ShardMetrics>,
    pub(in crate::transport) address: SocketAddr,
    pub(in crate::transport) drain: watch::Sender<bool>,
}

struct Copied;

/// Runs `test` on a thread like a shard's.
pub(in crate::transport) fn run<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(LocalSet::new().run_until(async {
        tokio::time::timeout(Duration::from_secs(20), test).await.expect("the test ends");
    }));
}

/// Starts a server with one shard; must be called inside [`run`].
pub(in crate::transport) fn start(settings: &crate::config::Settings) -> Running {
    let driver = Rc::new(Driver::new(settings));
    let settings = Settings::new(settings).unwrap();
    let (drain, draining) = watch::channel(false);
    let fallback = files(&settings, |path| (path == "/page").then(|| ("text/html", "<p>".into())));
    let metrics = std::sync::Arc::<ShardMetrics>::default();
    let server = Server::new(driver.clone(), settings, fallback, metrics.clone(), draining);
    let listener = net::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let serving = server.clone();
    spawn_local(net::accept(listener, move |stream: TcpStream, peer| {
        spawn_local(serving.clone().serve(stream.into(), peer));
    }));
    let ticking = driver.clone();
    spawn_local(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            ticking.handle(Input::Timeout);
        }
    });
    Running { driver, server, metrics, address, drain }
}

// === impl Driver ===

impl Driver {
    fn new(settings: &crate::config::Settings) -> Self {
        let shard = Shard::new(
            hub::Settings {
                shard: 0,
                timeout: settings.bayeux.timeout,
                interval: settings.bayeux.interval,
                max_interval: settings.bayeux.max_interval,
                types: settings.bayeux.transports.clone(),
                clients_per_browser: settings.bayeux.clients_per_browser,
                multi_client_interval: settings.bayeux.multi_client_interval,
                max_unconnected: settings.limits.unconnected,
                max_subscriptions: settings.limits.subscriptions,
                root_patterns: settings.limits.root_patterns,
                queue_bytes: settings.queue.bytes,
                publishes_per_session: settings.publish.in_flight_per_session,
                activity: None,
                publish_rate: settings.limits.publish_rate,
                addresses: None,
            },
            Box::new(|bytes| getrandom::fill(bytes).unwrap()),
            Box::new(|| 0),
        );
        Self {
            shard: RefCell::new(shard),
            links: RefCell::default(),
            posts: RefCell::default(),
            next: Cell::new(1),
            offset: Cell::new(0),
            written: RefCell::default(),
            elsewhere: RefCell::default(),
        }
    }

    /// Records on channels, their values JSON.
    pub(in crate::transport) fn records(&self, records: &[(&str, &str)]) {
        let topic = std::sync::Arc::new(Topic::new("t".into(), 1));
        let from = self.offset.get();
        let render: std::sync::Arc<dyn Render> = std::sync::Arc::new(Copied);
        let records: Vec<_> = records
            .iter()
            .zip(from..)
            .map(|((channel, value), offset)| {
                let raw = RawRecord {
                    topic: "t",
                    partition: 0,
                    offset,
                    timestamp: None,
                    key: None,
                    value: Some(value.as_bytes()),
                    headers: &[],
                };
                let source = crate::stream::Source { topic: topic.clone(), partition: 0, offset };
                let body = std::sync::Arc::new(Body::copy(&raw, false));
                let channel = Channel::parse(channel).unwrap();
                std::sync::Arc::new(Record::new(channel, Some(source), body, render.clone()))
            })
            .collect();
        let to = from + i64::try_from(records.len()).unwrap();
        self.offset.set(to);
        let span = Span { topic, partition: 0, from, to, records };
        self.handle(Input::Batch(std::sync::Arc::new(Batch { spans: vec![span], size: 0 })));
        self.handle(Input::Flush);
    }

    /// Bytes that no socket has taken yet.
    pub(in crate::transport) fn queued(&self) -> usize {
        self.shard.borrow().queue_bytes()
    }

    pub(in crate::transport) fn stats(&self) -> hub::Stats {
        self.shard.borrow().stats()
    }

    pub(in crate::transport) fn handle(&self, input: Input) {
        let shard = &mut *self.shard.borrow_mut();
        shard.handle(input, Instant::now());
        while let Some(output) = shard.poll_output() {
            let done = match output {
                Output::Respond(http, response) => {
                    let waiting = self.posts.borrow_mut().remove(&http).unwrap();
                    waiting.send(response).err().map(|_| Input::Lost(http))
                }
                Output::Subscribe(ticket, _) => Some(Input::Subscribed(ticket, Ok(Positions::default()))),
                Output::Unsubscribe(_) | Output::Ended(_) => None,
                Output::Publish { ticket, .. } => Some(Input::Published(ticket, Ok(()))),
                Output::Close { socket, code, reason, grace } => {
                    if let Some(link) = self.links.borrow().get(&socket) {
                        link.close(code, reason, grace);
                    }
                    None
                }
            };
            if let Some(done) = done {
                shard.handle(done, Instant::now());
            }
        }
        while let Some(key) = shard.poll_flush() {
            if let (Some(link), Some(outbox)) = (self.links.borrow().get(&key), shard.outbox(key)) {
                link.flush(outbox);
            }
        }
    }

    fn request(&self, via: Via, peer: Peer, messages: Vec<Message>) {
        let Peer { address, browser, multiplexed, .. } = peer;
        self.handle(Input::Request { via, browser, peer: address, multiplexed, messages });
    }
}

impl Hub for Driver {
    fn post(&self, peer: Peer, messages: Vec<Message>) -> (PostId, oneshot::Receiver<Response>) {
        let http = self.next.replace(self.next.get() + 1);
        let (sender, receiver) = oneshot::channel();
        self.posts.borrow_mut().insert(http, sender);
        self.request(Via::Http(http), peer, messages);
        (PostId { shard: 0, http }, receiver)
    }

    fn written(&self, post: PostId, whole: bool) {
        self.written.borrow_mut().push(whole);
        self.handle(if whole { Input::Taken(post.http) } else { Input::Lost(post.http) });
    }

    fn open(&self, link: Rc<Link>, compressed: bool) -> SocketKey {
        let key = self.shard.borrow_mut().open_socket(compressed);
        self.links.borrow_mut().insert(key, link);
        key
    }

    fn hurry(&self, post: PostId) {
        self.handle(Input::Hurry(post.http));
    }

    fn open_stream(&self, link: Rc<Link>) -> SocketKey {
        let key = self.shard.borrow_mut().open_stream();
        self.links.borrow_mut().insert(key, link);
        key
    }

    fn stream(&self, socket: SocketKey, peer: &Peer, client_id: &str) {
        let (client_id, browser) = (client_id.into(), peer.browser.clone());
        self.handle(Input::Stream { socket, client_id, browser });
    }

    fn home(&self, _: &[Message]) -> Option<u16> {
        self.elsewhere.borrow().is_some().then_some(1)
    }

    fn home_of(&self, _: &str) -> Option<u16> {
        self.elsewhere.borrow().is_some().then_some(1)
    }

    fn hand_over(&self, _: u16, connection: Handover) {
        self.elsewhere.borrow().clone().unwrap().adopt(connection);
    }

    fn receive(&self, socket: SocketKey, peer: &Peer, messages: Vec<Message>) {
        self.request(Via::Socket(socket), peer.clone(), messages);
    }

    fn outbox(&self, socket: SocketKey, see: &mut dyn FnMut(&mut Outbox)) {
        if let Some(outbox) = self.shard.borrow_mut().outbox(socket) {
            see(outbox);
        }
    }

    fn closed(&self, socket: SocketKey) {
        self.links.borrow_mut().remove(&socket);
        self.handle(Input::SocketClosed(socket));
    }
}

impl Hub for Recorder {
    fn post(&self, _: Peer, _: Vec<Message>) -> (PostId, oneshot::Receiver<Response>) {
        unreachable!()
    }

    fn written(&self, post: PostId, whole: bool) {
        self.written.borrow_mut().push((post.http, whole));
    }

    fn open(&self, _: Rc<Link>, _: bool) -> SocketKey {
        unreachable!()
    }

    fn hurry(&self, _: PostId) {
        unreachable!()
    }

    fn open_stream(&self, _: Rc<Link>) -> SocketKey {
        unreachable!()
    }

    fn stream(&self, _: SocketKey, _: &Peer, _: &str) {
        unreachable!()
    }

    fn home(&self, _: &[Message]) -> Option<u16> {
        unreachable!()
    }

    fn home_of(&self, _: &str) -> Option<u16> {
        unreachable!()
    }

    fn hand_over(&self, _: u16, _: Handover) {
        unreachable!()
    }

    fn receive(&self, _: SocketKey, _: &Peer, _: Vec<Message>) {
        unreachable!()
    }

    fn outbox(&self, _: SocketKey, _: &mut dyn FnMut(&mut Outbox)) {
        unreachable!()
    }

    fn closed(&self, _: SocketKey) {
        unreachable!()
    }
}

impl Render for Copied {
    fn data(&self, record: &RawRecord<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(record.value.unwrap_or(b"null"));
    }
}
