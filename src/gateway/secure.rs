//! TLS handshakes, on a thread of their own: shards have to do with connections that are agreed on, and never with the arithmetic, so
//! that a thousand clients that come back at once delay nobody's events.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::inbox::{Inbox, Note};
use crate::net::{Acceptor, Place};
use crate::telemetry::{Every, NodeMetrics};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Where connections go to have their handshake. When all of these are gone, so is the thread, with the handshakes under way.
#[derive(Clone)]
pub(super) struct Handshakes(mpsc::UnboundedSender<Arrival>);

/// A connection that was accepted, and the shard that gets it.
struct Arrival {
    stream: TcpStream,
    place: Option<Place>,
    peer: SocketAddr,
    inbox: Inbox,
}

/// What the thread's tasks share.
struct Shared {
    acceptor: Acceptor,
    patience: Duration,
    metrics: Arc<NodeMetrics>,
}

/// Starts the thread. A handshake may take `patience`.
///
/// # Errors
/// If the system has no thread, or no signals.
pub(super) fn start(
    acceptor: Acceptor,
    patience: Duration,
    metrics: Arc<NodeMetrics>,
) -> anyhow::Result<(Handshakes, thread::JoinHandle<()>)> {
    let shared = Arc::new(Shared { acceptor, patience, metrics });
    let (sender, arrivals) = mpsc::unbounded_channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Before anybody can know that the gateway runs: until then a SIGHUP ends it.
    let hangup = {
        let _within = runtime.enter();
        signal(SignalKind::hangup())?
    };
    let run = move || runtime.block_on(shared.run(arrivals, hangup));
    let thread = thread::Builder::new().name("tls".to_owned()).spawn(run).context("cannot start a thread")?;
    Ok((Handshakes(sender), thread))
}

// === impl Handshakes ===

impl Handshakes {
    /// Shakes hands, then gives the connection to the shard of `inbox`. It takes its place all the while.
    pub(super) fn shake(&self, stream: TcpStream, place: Option<Place>, peer: SocketAddr, inbox: &Inbox) {
        drop(self.0.send(Arrival { stream, place, peer, inbox: inbox.clone() }));
    }
}

// === impl Shared ===

impl Shared {
    async fn run(self: Arc<Self>, mut arrivals: mpsc::UnboundedReceiver<Arrival>, hangup: Signal) {
        tokio::spawn(self.clone().watch(hangup));
        while let Some(arrival) = arrivals.recv().await {
            tokio::spawn(self.clone().shake(arrival));
        }
    }

    async fn shake(self: Arc<Self>, arrival: Arrival) {
        let Arrival { stream, place, peer, inbox } = arrival;
        match self.acceptor.accept(stream, self.patience).await {
            Ok(stream) => {
                self.metrics.tls_accepted.inc();
                inbox.note(Note::Connection(stream.at(place), peer));
            }
            Err(error) if error.kind() == ErrorKind::TimedOut => self.metrics.tls_timeout.inc(),
            Err(error) => {
                static FAILED: Every = Every::new(Duration::from_secs(10));
                self.metrics.tls_failed.inc();
                if let Some(suppressed) = FAILED.due(Instant::now()) {
                    tracing::info!(peer = %peer.ip(), %error, suppressed, "no TLS with a client");
                }
            }
        }
    }

    /// Takes over what the files hold when they change, and when SIGHUP asks for it.
    async fn watch(self: Arc<Self>, mut hangup: Signal) {
        let mut look = tokio::time::interval(LOOK);
        loop {
            let now = tokio::select! {
                _ = look.tick() => false,
                Some(()) = hangup.recv() => true,
            };
            let shared = self.clone();
            // A file may be far away.
            let Ok(reloaded) = tokio::task::spawn_blocking(move || shared.acceptor.reload(now)).await else {
                continue;
            };
            match reloaded {
                None => {}
                Some(Ok(())) => {
                    self.metrics.tls_reloaded.inc();
                    tracing::info!("the files of tls are read again; new connections see them");
                }
                Some(Err(error)) => {
                    self.metrics.tls_refused.inc();
                    let hint = error.hint.as_deref().unwrap_or_default();
                    tracing::error!(%error, hint, "the files of tls cannot be used; those read before are kept");
                }
            }
        }
    }
}
