//! A shard's thread: drives the hub, the publishes and the sockets of its clients.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hashbrown::HashMap;
use tokio::sync::{Notify, oneshot, watch};

use super::inbox::{Arrivals, Inbox, Note};
use super::local;
use crate::bayeux::{Body, Channel, Error, Message, Pattern};
use crate::feed::{Feed, SubscribeError};
use crate::hub::{
    self, HttpId, Input, Output, PublishTicket, Response, SocketKey, Stats, SubscribeTicket, Via,
};
use crate::kafka::{Catalog, Outcome, Write, Writer};
use crate::publish::{Bounds, Effect, Extras, Pipeline};
use crate::route::RouteTable;
use crate::service::{self, Asked, Outstanding, Requests};
use crate::stream::Batch;
use crate::telemetry::{NodeMetrics, ShardMetrics};
use crate::transport::{self, Handover, Hub, Link, Peer, PostId, Server};

/// How long records may gather before what they touched is written.
const GATHER: Duration = Duration::from_millis(2);
/// Bytes of records that may gather: a session's queue must hold them without its client being slow.
const GATHER_BYTES: usize = 256 * 1024;

/// How often what waits for clients is added up.
const LOOK: Duration = Duration::from_secs(1);

pub(super) type Session = hub::SessionKey;

/// What a shard is made of.
pub(super) struct Parts {
    pub(super) hub: hub::Settings,
    pub(super) transport: transport::Settings,
    pub(super) fallback: Box<dyn Fn() -> transport::Fallback + Send>,
    pub(super) inboxes: Arc<[Inbox]>,
    pub(super) arrivals: Arrivals,
    pub(super) routes: Arc<RouteTable>,
    pub(super) bounds: Arc<Bounds>,
    pub(super) outstanding: Arc<Outstanding>,
    pub(super) request_bounds: service::Bounds,
    pub(super) feed: Feed,
    pub(super) writer: Writer,
    pub(super) catalog: Catalog,
    pub(super) metrics: Arc<ShardMetrics>,
    pub(super) node_metrics: Arc<NodeMetrics>,
}

/// The shard, as its thread's tasks share it.
pub(super) struct Driver {
    pub(super) number: u16,
    pub(super) hub: RefCell<hub::Shard>,
    pipeline: RefCell<Pipeline<Session, PublishTicket>>,
    pub(super) requests: RefCell<Requests<Session, PublishTicket>>,
    links: RefCell<HashMap<SocketKey, Rc<Link>>>,
    posts: RefCell<HashMap<HttpId, oneshot::Sender<Response>>>,
    next_post: Cell<HttpId>,
    connections: Cell<usize>,
    inboxes: Arc<[Inbox]>,
    pub(super) feed: Feed,
    writer: Writer,
    catalog: Catalog,
    metrics: Arc<ShardMetrics>,
    pub(super) node_metrics: Arc<NodeMetrics>,
    /// Tells the loop that the next timer is another than the one it waits for, or that the last client went.
    changed: Notify,
    /// The time that the loop waits for.
    armed: Cell<Option<Instant>>,
    draining: watch::Sender<bool>,
}

/// Runs a shard until it is drained.
pub(super) async fn run(parts: Parts) {
    let number = parts.hub.shard;
    let (draining, drain) = watch::channel(false);
    let requests = Requests::new(
        parts.routes.clone(),
        parts.outstanding,
        number,
        parts.request_bounds,
        Box::new(random),
    );
    let driver = Rc::new(Driver {
        number,
        hub: RefCell::new(hub::Shard::new(parts.hub, Box::new(random), Box::new(wall_clock))),
        pipeline: RefCell::new(Pipeline::new(parts.routes, parts.bounds, number)),
        requests: RefCell::new(requests),
        links: RefCell::default(),
        posts: RefCell::default(),
        next_post: Cell::new(u64::from(number) << 48),
        connections: Cell::new(0),
        inboxes: parts.inboxes,
        feed: parts.feed,
        writer: parts.writer,
        catalog: parts.catalog,
        metrics: parts.metrics,
        node_metrics: parts.node_metrics,
        changed: Notify::new(),
        armed: Cell::new(None),
        draining,
    });
    let hub: Rc<dyn Hub> = driver.clone();
    let server = Server::new(hub, parts.transport, (parts.fallback)(), driver.metrics.clone(), drain);
    driver.drive(&server, parts.arrivals).await;
}

impl Driver {
    async fn drive(self: &Rc<Self>, server: &Rc<Server>, mut arrivals: Arrivals) {
        let mut drained: Option<oneshot::Sender<()>> = None;
        let mut look = tokio::time::interval(LOOK);
        loop {
            let timeout = self.next_timeout();
            self.armed.set(timeout);
            let timer = async {
                match timeout {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                note = arrivals.notes.recv() => match note {
                    Some(Note::Drain(spread, done)) => {
                        drained = Some(done);
                        self.draining.send_replace(true);
                        self.tell(Input::Drain(spread));
                    }
                    Some(note) => self.take(server, note),
                    None => return,
                },
                batch = arrivals.batches.recv() => match batch {
                    Some(batch) => self.gather(batch, &mut arrivals),
                    None => return,
                },
                () = timer => self.timeout(),
                _ = look.tick() => self.metrics.queue_bytes.set(self.hub.borrow().queue_bytes() as u64),
                () = self.changed.notified() => {}
            }
            if drained.is_some() && self.is_done() {
                drained.take().map(|done| done.send(()));
            }
        }
    }

    /// Whether nobody waits for anything, and every client is gone.
    fn is_done(&self) -> bool {
        self.connections.get() == 0 && self.links.borrow().is_empty() && self.hub.borrow().is_idle()
    }

    /// Takes records as long as there are more, for a short while, so that each touched session is written to once.
    fn gather(&self, first: Arc<Batch>, arrivals: &mut Arrivals) {
        arrivals.working.store(true, Ordering::Relaxed);
        let since = Instant::now();
        let mut size = first.size;
        self.hub.borrow_mut().handle(Input::Batch(first), since);
        while size < GATHER_BYTES && since.elapsed() < GATHER {
            let Ok(batch) = arrivals.batches.try_recv() else { break };
            size += batch.size;
            self.hub.borrow_mut().handle(Input::Batch(batch), since);
        }
        self.act();
        arrivals.working.store(false, Ordering::Relaxed);
    }

    fn take(self: &Rc<Self>, server: &Rc<Server>, note: Note) {
        match note {
            Note::Connection(stream, peer) => {
                self.count_connections(1);
                self.metrics.connections_accepted.inc();
                let (driver, server) = (self.clone(), server.clone());
                tokio::task::spawn_local(async move {
                    server.serve(stream, peer).await;
                    driver.count_connections(-1);
                    driver.changed.notify_one();
                });
            }
            Note::Socket(handover) => server.clone().adopt(handover),
            Note::Post { http, peer, messages, answer } => self.request(http, peer, messages, answer),
            Note::Written(http, whole) => {
                self.tell(if whole { Input::Taken(http) } else { Input::Lost(http) });
            }
            Note::Hurry(http) => self.tell(Input::Hurry(http)),
            Note::Subscribed(ticket, result) => self.tell(Input::Subscribed(ticket, result)),
            Note::Found(topic, count) => {
                let partitions = |topic: &str| self.catalog.partitions(topic);
                self.pipeline.borrow_mut().found(&topic, &count, partitions);
                self.act();
            }
            Note::Reported(report) => {
                self.count(&report.outcome);
                let partitions = |topic: &str| self.catalog.partitions(topic);
                self.pipeline.borrow_mut().reported(report.token, &report.outcome, partitions);
                self.act();
            }
            Note::Reads(topic, result) => self.reads(&topic, &result),
            Note::Replied(id, reply) => self.replied(id, reply),
            Note::Local(batch) => self.tell(Input::Batch(batch)),
            // Handled by the loop, which alone ends.
            Note::Drain(..) => {}
        }
    }

    fn count_connections(&self, change: isize) {
        let count = self.connections.get().saturating_add_signed(change);
        self.connections.set(count);
        self.metrics.connections.set(count as u64);
    }

    fn request(&self, http: HttpId, peer: Peer, messages: Vec<Message>, answer: oneshot::Sender<Response>) {
        self.posts.borrow_mut().insert(http, answer);
        let Peer { address, browser, multiplexed, .. } = peer;
        self.tell(Input::Request { via: Via::Http(http), browser, peer: address, multiplexed, messages });
    }

    pub(super) fn tell(&self, input: Input) {
        self.hub.borrow_mut().handle(input, Instant::now());
        self.act();
    }

    /// Does what the hub and the publishes ask for, until they ask for nothing more.
    pub(super) fn act(&self) {
        self.flush();
        self.hub.borrow_mut().handle(Input::Flush, Instant::now());
        loop {
            // A statement of its own: the borrow must end before the output is acted on.
            let output = self.hub.borrow_mut().poll_output();
            if let Some(output) = output {
                self.output(output);
                continue;
            }
            let effect = self.pipeline.borrow_mut().poll();
            if let Some(effect) = effect {
                self.effect(effect);
                continue;
            }
            let effect = self.requests.borrow_mut().poll();
            match effect {
                Some(effect) => self.request_effect(effect),
                None => break,
            }
        }
        self.flush();
        self.show(self.hub.borrow().stats());
        if self.next_timeout() != self.armed.get() || *self.draining.borrow() {
            self.changed.notify_one();
        }
    }

    pub(super) fn flush(&self) {
        let mut hub = self.hub.borrow_mut();
        let links = self.links.borrow();
        while let Some(key) = hub.poll_flush() {
            if let (Some(link), Some(outbox)) = (links.get(&key), hub.outbox(key)) {
                link.flush(outbox);
            }
        }
    }

    fn output(&self, output: Output) {
        match output {
            Output::Respond(http, response) => {
                let post = self.posts.borrow_mut().remove(&http);
                if post.is_none_or(|post| post.send(response).is_err()) {
                    self.hub.borrow_mut().handle(Input::Lost(http), Instant::now());
                }
            }
            Output::Subscribe(ticket, pattern) => self.subscribe(ticket, pattern),
            Output::Unsubscribe(pattern) => self.feed.unsubscribe(usize::from(self.number), pattern),
            Output::Publish { ticket, session, channel, id, data, binary } if channel.is_service() => {
                let asked = Asked { session, ticket, channel, id, data, binary };
                self.requests.borrow_mut().submit(Instant::now(), asked);
            }
            Output::Publish { ticket, session, channel, id: _, data, binary } => {
                self.publish(session, ticket, channel, data, Extras { binary, headers: Vec::new() });
            }
            Output::Ended(session) => self.requests.borrow_mut().ended(Instant::now(), session),
            Output::Close { socket, code, reason, grace } => {
                if let Some(link) = self.links.borrow().get(&socket) {
                    link.close(code, reason, grace);
                }
            }
        }
    }

    pub(super) fn publish(
        &self,
        session: Session,
        ticket: PublishTicket,
        channel: Channel,
        data: Bytes,
        extras: Extras,
    ) {
        let partitions = |topic: &str| self.catalog.partitions(topic);
        self.pipeline.borrow_mut().submit(session, ticket, channel, data, extras, partitions);
    }

    fn subscribe(&self, ticket: SubscribeTicket, pattern: Pattern) {
        let inbox = self.inbox(self.number).cloned();
        let name = pattern.clone();
        let reply = move |result: Result<crate::feed::Start, SubscribeError>| {
            let result = result.map(|start| start.positions).map_err(|error| match error {
                SubscribeError::UnknownChannel => Error::unknown_channel(name.as_str()),
                SubscribeError::Denied => Error::about(403, name.as_str(), "denied_by_kafka"),
                SubscribeError::Kafka(reason) => {
                    Error::about(504, name.as_str(), format!("kafka_unavailable, {reason}"))
                }
                SubscribeError::TimedOut => {
                    Error::about(504, name.as_str(), "kafka_unavailable, no answer in time")
                }
            });
            if let Some(inbox) = inbox {
                inbox.note(Note::Subscribed(ticket, result));
            }
        };
        self.feed.subscribe(usize::from(self.number), pattern, Box::new(reply));
    }

    fn effect(&self, effect: Effect<PublishTicket>) {
        match effect {
            Effect::Send(token, outgoing) => {
                let headers: Vec<(&str, Option<&[u8]>)> = outgoing
                    .headers
                    .iter()
                    .map(|(name, value)| (name.as_str(), Some(value.as_slice())))
                    .collect();
                let sent = self.writer.send(&Write {
                    topic: &outgoing.topic,
                    partition: outgoing.partition,
                    key: outgoing.key.as_deref(),
                    value: outgoing.value.as_deref(),
                    headers: &headers,
                    token,
                });
                if let Err(error) = sent {
                    self.metrics.publishes_refused.inc();
                    let partitions = |topic: &str| self.catalog.partitions(topic);
                    self.pipeline.borrow_mut().refused(token, &error, partitions);
                }
            }
            Effect::Find(topic) => {
                let (catalog, inbox) = (self.catalog.clone(), self.inbox(self.number).cloned());
                tokio::task::spawn_local(async move {
                    let count = catalog.lookup(&topic).await;
                    if let Some(inbox) = inbox {
                        inbox.note(Note::Found(topic, count));
                    }
                });
            }
            Effect::Local { channel, data, binary, route } => {
                let batch = Arc::new(local::event(channel, &data, binary.as_deref(), &route));
                for inbox in &*self.inboxes {
                    inbox.note(Note::Local(batch.clone()));
                }
            }
            Effect::Done(ticket, result) => {
                self.requests.borrow_mut().published(Instant::now(), ticket, &result);
                self.done(ticket, result);
            }
            Effect::Refused(ticket, error) => {
                let result = Err(error.clone());
                self.requests.borrow_mut().published(Instant::now(), ticket, &result);
                self.refuse(ticket, error);
            }
        }
    }

    /// Tells the publisher what became of its publish.
    pub(super) fn done(&self, ticket: PublishTicket, result: Result<(), Error>) {
        self.hub.borrow_mut().handle(Input::Published(ticket, result), Instant::now());
    }

    /// Tells the publisher why there is no record.
    pub(super) fn refuse(&self, ticket: PublishTicket, error: Error) {
        // Kafka was out of reach before anything was sent.
        let unwritten = error.code() == 504;
        let cell =
            if unwritten { &self.metrics.publishes_not_written } else { &self.metrics.publishes_refused };
        cell.inc();
        self.metrics.limited_in_flight.add(u64::from(error.is_busy()));
        self.done(ticket, Err(error));
    }

    fn count(&self, outcome: &Outcome) {
        match outcome {
            Outcome::Written { .. } => self.metrics.publishes_written.inc(),
            Outcome::NotWritten { .. } => self.metrics.publishes_not_written.inc(),
            Outcome::Unknown { .. } => self.metrics.publishes_outcome_unknown.inc(),
            Outcome::TooLarge | Outcome::Denied => self.metrics.publishes_refused.inc(),
        }
    }

    fn show(&self, stats: Stats) {
        let metrics = &self.metrics;
        metrics.websockets.set(stats.sockets as u64);
        metrics.event_streams.set(stats.streams as u64);
        metrics.sessions.set(stats.sessions as u64);
        metrics.subscriptions.set(stats.subscriptions as u64);
        metrics.handshakes_accepted.set(stats.handshakes);
        metrics.handshakes_refused.set(stats.handshakes_refused);
        metrics.sessions_expired.set(stats.expired);
        metrics.sessions_inactive.set(stats.inactive);
        metrics.slow_consumer_disconnects.set(stats.slow_consumers);
        metrics.deliveries.set(stats.deliveries);
        metrics.delivered_bytes.set(stats.delivered_bytes);
        metrics.messages_refused.set(stats.refused);
        metrics.publish_twins.set(stats.twins);
        metrics.limited_sessions_per_address.set(stats.limited.sessions_per_address);
        metrics.limited_subscriptions.set(stats.limited.subscriptions);
        metrics.limited_publish_rate.set(stats.limited.publish_rate);
        metrics.limited_in_flight_per_session.set(stats.limited.in_flight_per_session);
        let requests = self.requests.borrow().stats();
        metrics.service_requests_outstanding.set(requests.outstanding as u64);
        metrics.service_replied.set(requests.replies);
        metrics.service_bad_replies.set(requests.bad_replies);
        metrics.service_timeouts.set(requests.timeouts);
    }

    pub(super) fn inbox(&self, shard: u16) -> Option<&Inbox> {
        self.inboxes.get(usize::from(shard))
    }
}

/// ms since 1970.
fn wall_clock() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Fills `bytes` with what nobody can guess.
pub(super) fn random(bytes: &mut [u8]) {
    // Without randomness clientIds could be guessed; there is no going on.
    getrandom::fill(bytes).unwrap_or_else(|_| std::process::abort());
}

/// The shard that the sessions of these messages live on, if they have one.
fn home_of(messages: &[Message], shards: usize) -> Option<u16> {
    if messages.iter().any(|message| matches!(message.body, Body::Handshake { .. })) {
        return None;
    }
    shard_in(messages.first()?.client_id.as_ref()?, shards)
}

/// The shard that made a clientId or a browser's cookie.
fn shard_in(id: &str, shards: usize) -> Option<u16> {
    hub::shard_of(id).filter(|shard| usize::from(*shard) < shards)
}

/// The shard for the sessions of a browser, so that one shard knows all of its polls: the one that made the cookie, or any, but
/// always the same.
fn shard_of_browser(browser: &str, shards: usize) -> u16 {
    shard_in(browser, shards).unwrap_or_else(|| {
        let sum = browser.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        u16::try_from(sum % shards).unwrap_or_default()
    })
}

impl Hub for Driver {
    fn post(&self, peer: Peer, messages: Vec<Message>) -> (PostId, oneshot::Receiver<Response>) {
        let http = self.next_post.get();
        self.next_post.set(http + 1);
        let (answer, answered) = oneshot::channel();
        let shards = self.inboxes.len();
        let shard = home_of(&messages, shards)
            .or_else(|| Some(shard_of_browser(peer.browser.as_deref()?, shards)))
            .unwrap_or(self.number);
        match self.inbox(shard) {
            Some(inbox) if shard != self.number => inbox.note(Note::Post { http, peer, messages, answer }),
            _ => self.request(http, peer, messages, answer),
        }
        (PostId { shard, http }, answered)
    }

    fn written(&self, post: PostId, whole: bool) {
        if post.shard == self.number {
            self.tell(if whole { Input::Taken(post.http) } else { Input::Lost(post.http) });
        } else if let Some(inbox) = self.inbox(post.shard) {
            inbox.note(Note::Written(post.http, whole));
        }
    }

    fn hurry(&self, post: PostId) {
        if post.shard == self.number {
            self.tell(Input::Hurry(post.http));
        } else if let Some(inbox) = self.inbox(post.shard) {
            inbox.note(Note::Hurry(post.http));
        }
    }

    fn open(&self, link: Rc<Link>, compressed: bool) -> SocketKey {
        let key = self.hub.borrow_mut().open_socket(compressed);
        self.links.borrow_mut().insert(key, link);
        key
    }

    fn open_stream(&self, link: Rc<Link>) -> SocketKey {
        let key = self.hub.borrow_mut().open_stream();
        self.links.borrow_mut().insert(key, link);
        key
    }

    fn stream(&self, socket: SocketKey, peer: &Peer, client_id: &str) {
        let (client_id, browser) = (client_id.into(), peer.browser.clone());
        self.tell(Input::Stream { socket, client_id, browser });
    }

    fn home_of(&self, client_id: &str) -> Option<u16> {
        shard_in(client_id, self.inboxes.len()).filter(|shard| *shard != self.number)
    }

    fn home(&self, messages: &[Message]) -> Option<u16> {
        home_of(messages, self.inboxes.len()).filter(|shard| *shard != self.number)
    }

    fn hand_over(&self, shard: u16, socket: Handover) {
        if let Some(inbox) = self.inbox(shard) {
            inbox.note(Note::Socket(socket));
        }
    }

    fn receive(&self, socket: SocketKey, peer: &Peer, messages: Vec<Message>) {
        let Peer { address, browser, multiplexed, .. } = peer.clone();
        self.tell(Input::Request { via: Via::Socket(socket), browser, peer: address, multiplexed, messages });
    }

    fn outbox(&self, socket: SocketKey, see: &mut dyn FnMut(&mut hub::Outbox)) {
        if let Some(outbox) = self.hub.borrow_mut().outbox(socket) {
            see(outbox);
        }
    }

    fn closed(&self, socket: SocketKey) {
        self.links.borrow_mut().remove(&socket);
        self.tell(Input::SocketClosed(socket));
    }
}
