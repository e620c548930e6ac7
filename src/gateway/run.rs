//! Start and end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use tokio::sync::oneshot;
use tokio::task::{JoinSet, LocalSet};

use super::door::Door;
use super::inbox::{Inbox, Note, inbox};
use super::load::Loaded;
use super::replies::Replies;
use super::secure;
use super::shard::{self, Parts};
use crate::config::{self, Settings};
use crate::feed::{self, Feed, ShardInbox};
use crate::kafka::{self, Catalog, Writer};
use crate::publish::{self, Bounds};
use crate::service::{self, Outstanding};
use crate::telemetry::Metrics;
use crate::{admin, hub, net, transport};

/// Makes, on a shard's thread, what answers requests that are not Bayeux.
pub type MakeFallback = Arc<dyn Fn(&transport::Settings) -> transport::Fallback + Send + Sync>;

/// How long a partition is read after its last listener, beyond the time in which that one may come back.
const LINGER: Duration = Duration::from_secs(10);
/// How often Kafka is asked for new topics and partitions while there is demand.
const DISCOVERY: Duration = Duration::from_secs(5);
/// How often the state of Kafka is looked at for readiness and metrics.
const KAFKA_STATE: Duration = Duration::from_millis(500);
/// The longest pause that clients are given when the gateway goes down.
const SPREAD: Duration = Duration::from_secs(5);

/// A gateway that listens and serves.
pub struct Gateway {
    inboxes: Arc<[Inbox]>,
    threads: Vec<thread::JoinHandle<()>>,
    feed: Feed,
    writer: Writer,
    state: Arc<admin::State>,
    catalog: Catalog,
    /// What accepts connections, and what answers operators, on the runtime that the gateway was started on.
    accepting: JoinSet<()>,
    _admin: JoinSet<()>,
    addresses: Vec<SocketAddr>,
    admin: SocketAddr,
    drain: Duration,
}

impl Gateway {
    /// Builds everything and starts to serve. Must be called on a tokio runtime. Kafka need not be there.
    ///
    /// # Errors
    /// What the system refuses: an address in use, a thread.
    pub fn start(loaded: Loaded, fallback: &MakeFallback) -> anyhow::Result<Self> {
        let Loaded { settings, routes, warnings, kafka, tls } = loaded;
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        net::raise_open_files();
        let settings = &settings;
        let transport = transport::Settings::new(settings)?;
        let listeners = settings
            .listen
            .iter()
            .map(|address| {
                net::bind(*address).with_context(|| format!("cannot listen on {address} (listen)"))
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let admin_listener = net::bind(settings.admin)
            .with_context(|| format!("cannot listen on {} (admin)", settings.admin))?;
        let addresses =
            listeners.iter().map(std::net::TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
        let admin_address = admin_listener.local_addr()?;

        let metrics = Arc::new(Metrics::new());
        let state = Arc::new(admin::State::new(metrics.clone(), settings.ready.kafka));
        let routes = Arc::new(routes);
        state.set_routes_loaded();
        let (inboxes, arrivals): (Vec<_>, Vec<_>) = (0..settings.shard_count()).map(|_| inbox()).unzip();
        let inboxes: Arc<[Inbox]> = inboxes.into();
        let catalog = Catalog::start(&kafka)?;
        let writer = start_writer(&kafka, inboxes.clone())?;
        catalog.inform(writer.clone());
        let mut tag = [0; service::TAG];
        shard::random(&mut tag);
        let outstanding = Outstanding::new(tag, settings.publish.in_flight);
        let replies = Replies::new(&routes, outstanding.clone(), inboxes.clone(), metrics.node.clone());
        let feed = Feed::start(
            feed::Settings {
                timeout: settings.subscribe.timeout,
                linger: settings.bayeux.max_interval + LINGER,
                discovery: DISCOVERY,
            },
            &kafka,
            catalog.clone(),
            routes.clone(),
            inboxes.iter().map(|inbox| Arc::new(inbox.clone()) as Arc<dyn ShardInbox>).collect(),
            Arc::new(replies),
            metrics.node.clone(),
        )?;
        let bounds = Bounds::new(settings.publish.in_flight);
        let counted = settings.limits.sessions_per_address.map(hub::Addresses::new);
        let mut threads = Vec::new();
        for (number, arrivals) in (0..).zip(arrivals) {
            let (make, transport_settings) = (fallback.clone(), transport.clone());
            threads.push(start_shard(Parts {
                hub: hub_settings(settings, number, counted.clone()),
                transport: transport.clone(),
                fallback: Box::new(move || make(&transport_settings)),
                inboxes: inboxes.clone(),
                arrivals,
                routes: routes.clone(),
                bounds: bounds.clone(),
                outstanding: outstanding.clone(),
                request_bounds: request_bounds(settings),
                feed: feed.clone(),
                writer: writer.clone(),
                catalog: catalog.clone(),
                metrics: metrics.shard(),
                node_metrics: metrics.node.clone(),
            })?);
        }

        let mut accepting = JoinSet::new();
        let mut handshakes = None;
        if let Some(acceptor) = tls {
            let patience = settings.limits.header_timeout;
            let (started, thread) = secure::start(acceptor, patience, metrics.node.clone())?;
            threads.push(thread);
            handshakes = Some(started);
        }
        let door = Door::new(inboxes.clone(), handshakes, settings.limits.sockets, metrics.node.clone());
        let door = Arc::new(door);
        for listener in listeners {
            let door = door.clone();
            accepting.spawn(async move {
                if let Err(error) = net::accept(listener, |stream, peer| door.enter(stream, peer)).await {
                    tracing::error!(%error, "cannot accept connections");
                }
            });
        }
        state.set_listening();
        let mut tasks = JoinSet::new();
        let admin_listener = tokio::net::TcpListener::from_std(admin_listener)?;
        tasks.spawn(admin::serve(admin_listener, state.clone()));
        tasks.spawn(watch_kafka(catalog.clone(), metrics, state.clone()));
        for address in &addresses {
            tracing::info!(%address, path = %settings.bayeux.path.join(","), "listening");
        }
        tracing::info!(address = %admin_address, "listening for operators");
        Ok(Self {
            inboxes,
            threads,
            feed,
            writer,
            catalog,
            state,
            accepting,
            _admin: tasks,
            addresses,
            admin: admin_address,
            drain: settings.drain,
        })
    }

    /// Where clients connect.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where operators connect.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The producer, for who publishes besides clients.
    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// What is known of topics, for who publishes besides clients.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Lets everybody go and waits until it is done, at most the drain time: not ready, nothing accepted, held connects answered,
    /// sockets closed, publishes in flight awaited. `false` if time ran out.
    pub async fn drain(mut self) -> bool {
        let deadline = Instant::now() + self.drain;
        self.state.set_draining();
        tracing::info!(within = ?self.drain, "draining");
        let spread = SPREAD.min(self.drain / 4);
        let drained: Vec<_> = self
            .inboxes
            .iter()
            .map(|inbox| {
                let (done, drained) = oneshot::channel();
                inbox.note(Note::Drain(spread, done));
                drained
            })
            .collect();
        // Nothing new comes in: the listeners close with their tasks. Operators may still ask.
        self.accepting.abort_all();
        let all = async {
            for shard in drained {
                // A shard that is gone is drained.
                let _ = shard.await;
            }
        };
        let in_time = tokio::time::timeout_at(deadline.into(), all).await.is_ok();
        self.feed.stop();
        let writer = self.writer.clone();
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(100));
        let flushed = tokio::task::spawn_blocking(move || writer.flush(left)).await.unwrap_or(false);
        if in_time && flushed {
            tracing::info!("drained");
        } else {
            tracing::warn!(clients_gone = in_time, publishes_done = flushed, "the drain time is over");
        }
        in_time && flushed
    }

    /// Waits until a shard's thread ends, which it does only if it panicked.
    pub async fn failed(&self) {
        let mut timer = tokio::time::interval(Duration::from_secs(1));
        while !self.threads.iter().any(thread::JoinHandle::is_finished) {
            timer.tick().await;
        }
    }
}

fn start_writer(kafka: &kafka::Config, inboxes: Arc<[Inbox]>) -> Result<Writer, kafka::Error> {
    Writer::start(kafka, move |report| {
        let shard = publish::shard_of(report.token);
        if let Some(inbox) = inboxes.get(usize::from(shard)) {
            inbox.note(Note::Reported(report));
        }
    })
}

fn start_shard(parts: Parts) -> anyhow::Result<thread::JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let name = format!("shard-{}", parts.hub.shard);
    let run = move || LocalSet::new().block_on(&runtime, shard::run(parts));
    thread::Builder::new().name(name).spawn(run).map_err(|error| anyhow!("cannot start a thread: {error}"))
}

fn hub_settings(settings: &Settings, shard: u16, addresses: Option<Arc<hub::Addresses>>) -> hub::Settings {
    let bayeux = &settings.bayeux;
    hub::Settings {
        shard,
        timeout: bayeux.timeout,
        interval: bayeux.interval,
        max_interval: bayeux.max_interval,
        types: bayeux.transports.clone(),
        clients_per_browser: bayeux.clients_per_browser,
        multi_client_interval: bayeux.multi_client_interval,
        max_unconnected: settings.limits.unconnected.div_ceil(settings.shard_count()),
        max_subscriptions: settings.limits.subscriptions,
        root_patterns: settings.limits.root_patterns,
        queue_bytes: settings.queue.bytes,
        publishes_per_session: settings.publish.in_flight_per_session,
        activity: activity(&bayeux.activity),
        publish_rate: settings.limits.publish_rate,
        addresses,
    }
}

fn activity(settings: &config::Activity) -> Option<hub::Activity> {
    let mode = match settings.mode? {
        config::ActivityMode::Client => hub::ActivityMode::Client,
        config::ActivityMode::ClientServer => hub::ActivityMode::ClientServer,
    };
    Some(hub::Activity { mode, period: settings.period })
}

fn request_bounds(settings: &Settings) -> service::Bounds {
    service::Bounds {
        per_session: settings.publish.in_flight_per_session,
        // With the time that Kafka may take then, clients that give up after 10 s have their answer in most cases.
        patience: (settings.publish.timeout / 2).min(settings.subscribe.timeout),
        linger: settings.bayeux.max_interval,
    }
}

async fn watch_kafka(catalog: Catalog, metrics: Arc<Metrics>, state: Arc<admin::State>) {
    let mut timer = tokio::time::interval(KAFKA_STATE);
    loop {
        timer.tick().await;
        let up = catalog.is_up();
        state.set_kafka(up);
        metrics.node.kafka_up.set(u64::from(up));
    }
}
