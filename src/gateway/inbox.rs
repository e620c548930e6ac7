//! How threads reach a shard.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::bayeux::{Error, Message};
use crate::feed::ShardInbox;
use crate::hub::{HttpId, Response, SubscribeTicket};
use crate::kafka::{self, Report};
use crate::net::Detached;
use crate::service::{Correlation, Unread};
use crate::stream::{Batch, Body, Positions};
use crate::transport::{Handover, Peer};

/// Batches that wait for a shard: at most 8 MiB, since a batch is at most 256 KiB. A reader waits for room.
const BATCHES: usize = 32;

/// What other threads tell a shard.
pub(super) enum Note {
    /// A connection was accepted, and TLS, if it is, agreed on.
    Connection(Detached, SocketAddr),
    /// A WebSocket or event stream whose session lives here.
    Socket(Handover),
    /// An HTTP request whose session lives here.
    Post { http: HttpId, peer: Peer, messages: Vec<Message>, answer: oneshot::Sender<Response> },
    /// Whether its response was written.
    Written(HttpId, bool),
    /// Another request waits behind it.
    Hurry(HttpId),
    /// A subscription's positions are known, or why not.
    Subscribed(SubscribeTicket, Result<Positions, Error>),
    /// How many partitions a topic has.
    Found(Arc<str>, Result<Option<i32>, kafka::Error>),
    /// Kafka's word on a publish.
    Reported(Report),
    /// Whether a reply topic is read now.
    Reads(Arc<str>, Result<(), Unread>),
    /// The reply to a request.
    Replied(Correlation, Body),
    /// An event of a local route.
    Local(Arc<Batch>),
    /// The gateway goes down: let clients go, who may come back spread over this time, and say when all is done.
    Drain(Duration, oneshot::Sender<()>),
}

/// The sending end.
#[derive(Clone)]
pub(super) struct Inbox {
    notes: mpsc::UnboundedSender<Note>,
    batches: mpsc::Sender<Arc<Batch>>,
    working: Arc<AtomicBool>,
}

/// The receiving end, the shard's.
pub(super) struct Arrivals {
    pub(super) notes: mpsc::UnboundedReceiver<Note>,
    pub(super) batches: mpsc::Receiver<Arc<Batch>>,
    /// Whether the shard works on records now; it tells the reader that larger batches cost nobody time.
    pub(super) working: Arc<AtomicBool>,
}

/// An inbox and its receiving end.
///
/// Notes are bounded by what causes them: connections, requests and publishes in flight.
pub(super) fn inbox() -> (Inbox, Arrivals) {
    let (notes, note_arrivals) = mpsc::unbounded_channel();
    let (batches, batch_arrivals) = mpsc::channel(BATCHES);
    let working = Arc::new(AtomicBool::new(false));
    let arrivals = Arrivals { notes: note_arrivals, batches: batch_arrivals, working: working.clone() };
    (Inbox { notes, batches, working }, arrivals)
}

impl Inbox {
    /// Tells the shard; a shard that is gone needs nothing any more.
    pub(super) fn note(&self, note: Note) {
        drop(self.notes.send(note));
    }
}

impl ShardInbox for Inbox {
    fn batch(&self, batch: Arc<Batch>) {
        drop(self.batches.blocking_send(batch));
    }

    fn busy(&self) -> bool {
        self.working.load(Ordering::Relaxed) || self.batches.capacity() < BATCHES
    }
}
