//! Connections on their way in: to the shards in turn, by way of TLS where that is spoken; or away while too many are open.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

use super::inbox::{Inbox, Note};
use super::secure::Handshakes;
use crate::net::{self, Detached, Places};
use crate::telemetry::NodeMetrics;

/// Connections that are being told that there is no room; others are closed without a word.
const TOLD: usize = 64;

/// Where accepted connections of all listeners go.
pub(super) struct Door {
    inboxes: Arc<[Inbox]>,
    turn: AtomicUsize,
    /// Where TLS is spoken.
    handshakes: Option<Handshakes>,
    /// Places, where they are bounded.
    places: Option<Arc<Places>>,
    told: Arc<Semaphore>,
    metrics: Arc<NodeMetrics>,
}

impl Door {
    /// Leads to the shards behind `inboxes`, at most so many `sockets` at a time.
    pub(super) fn new(
        inboxes: Arc<[Inbox]>,
        handshakes: Option<Handshakes>,
        sockets: Option<usize>,
        metrics: Arc<NodeMetrics>,
    ) -> Self {
        let told = Arc::new(Semaphore::new(TOLD));
        Self {
            inboxes,
            turn: AtomicUsize::new(0),
            handshakes,
            places: sockets.map(Places::new),
            told,
            metrics,
        }
    }

    /// Takes an accepted connection. On a runtime.
    pub(super) fn enter(&self, stream: TcpStream, peer: SocketAddr) {
        let place = match self.places.as_ref().map(Places::take) {
            Some(None) => return self.turn_away(stream),
            Some(place) => place,
            None => None,
        };
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.inboxes.len();
        match (self.inboxes.get(turn), &self.handshakes) {
            (Some(inbox), None) => inbox.note(Note::Connection(Detached::new(stream, place), peer)),
            (Some(inbox), Some(handshakes)) => handshakes.shake(stream, place, peer, inbox),
            (None, _) => {}
        }
    }

    fn turn_away(&self, stream: TcpStream) {
        self.metrics.connections_refused.inc();
        if self.handshakes.is_some() {
            // To say a word would take a handshake first.
            return;
        }
        if let Ok(permit) = self.told.clone().try_acquire_owned() {
            tokio::spawn(async move {
                net::turn_away(stream).await;
                drop(permit);
            });
        }
    }
}
