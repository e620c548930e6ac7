//! Demand for records: which partitions are read, and what their records are to subscribers.
//!
//! - `interest` decides what to read, from where, and when a subscriber may be answered; pure;
//! - `drive` carries that out, on a thread of its own;
//! - `decode` turns what the reader brings into records on channels, on the reader's thread, for the shards that listen.

mod decode;
mod drive;
mod interest;
mod reads;
#[cfg(test)]
#[cfg(feature = "dev")]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::bayeux::Pattern;
use crate::kafka::{self, Catalog};
use crate::route::RouteTable;
use crate::stream::{Batch, Positions, RawRecord, Topic};
use crate::telemetry::NodeMetrics;

/// Times.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long a subscribe may take.
    pub timeout: Duration,
    /// How long a partition is read after its last listener: a little longer than a session without a connect lives.
    pub linger: Duration,
    /// How often Kafka is asked for new topics and partitions while there is demand.
    pub discovery: Duration,
}

/// Where a shard takes records.
pub trait ShardInbox: Send + Sync {
    /// Takes a batch, on the reader's thread. May block while the inbox is full, which holds up reading for all.
    fn batch(&self, batch: Arc<Batch>);

    /// Whether the shard still works on an earlier batch. The next then waits a little, and is larger.
    fn busy(&self) -> bool {
        false
    }
}

/// Where a subscription begins.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// The next offset of every partition that exists and could be asked. What is not named here is delivered from where it is first read.
    pub positions: Positions,
    /// Topics and partitions that could not be asked; they are read from first contact.
    pub pending: Vec<(String, i32)>,
}

/// Why a subscription could not begin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// No route has channels that the pattern matches.
    #[error("no route has such channels")]
    UnknownChannel,
    /// Kafka's ACLs keep the gateway from the topics.
    #[error("Kafka does not let the gateway read it")]
    Denied,
    /// Kafka could not be asked in time.
    #[error("Kafka: {0}")]
    Kafka(String),
    /// No answer in time.
    #[error("no answer in time")]
    TimedOut,
}

/// Takes the records of reply topics, besides the shards whose sessions subscribed to them. On the reader's thread; must not block.
pub trait Replies: Send + Sync {
    /// A record of a topic that some route has its replies in.
    fn reply(&self, record: &RawRecord<'_>);
}

/// Answers a subscriber.
pub type Reply = Box<dyn FnOnce(Result<Start, SubscribeError>) + Send>;

/// The reading side. A cheap handle; reading ends when the last one is dropped.
#[derive(Clone)]
pub struct Feed {
    commands: mpsc::UnboundedSender<Command>,
}

enum Command {
    Subscribe { shard: usize, pattern: Pattern, reply: Reply },
    Unsubscribe { shard: usize, pattern: Pattern },
    Follow { topic: Arc<str>, reply: Reply },
    Unfollow(Arc<str>),
    Misplaced(Arc<Topic>),
    Lost(Arc<Topic>, i32),
    Doubt(u64),
    Stop,
}

// === impl Feed ===

impl Feed {
    /// Starts reading for `shards`, which are numbered as in the list. Kafka need not be there.
    ///
    /// # Errors
    ///
    /// [`kafka::Error::Start`].
    pub fn start(
        settings: Settings,
        config: &kafka::Config,
        catalog: Catalog,
        routes: Arc<RouteTable>,
        shards: Vec<Arc<dyn ShardInbox>>,
        replies: Arc<dyn Replies>,
        metrics: Arc<NodeMetrics>,
    ) -> Result<Self, kafka::Error> {
        let (commands, received) = mpsc::unbounded_channel();
        drive::start(settings, config, catalog, routes, shards, replies, metrics, &commands, received)?;
        Ok(Self { commands })
    }

    /// A session of `shard` subscribes. `reply` is called on the feed's thread, within the subscribe time-out; on success,
    /// every record that is appended from then on reaches the shard.
    pub fn subscribe(&self, shard: usize, pattern: Pattern, reply: Reply) {
        self.send(Command::Subscribe { shard, pattern, reply });
    }

    /// Reads a topic of replies, though nobody subscribes to it. Answered like [`Feed::subscribe`]; every record that is appended
    /// from then on is given to [`Replies`].
    pub fn follow(&self, topic: Arc<str>, reply: Reply) {
        self.send(Command::Follow { topic, reply });
    }

    /// One that follows a topic less, of those whose answer was good.
    pub fn unfollow(&self, topic: Arc<str>) {
        self.send(Command::Unfollow(topic));
    }

    fn send(&self, command: Command) {
        if let Err(closed) = self.commands.send(command)
            && let Command::Subscribe { reply, .. } | Command::Follow { reply, .. } = closed.0
        {
            reply(Err(SubscribeError::Kafka("Halley is closing".into())));
        }
    }

    /// One listener less for a pattern, of those whose subscribe succeeded.
    pub fn unsubscribe(&self, shard: usize, pattern: Pattern) {
        self.send(Command::Unsubscribe { shard, pattern });
    }

    /// Ends reading. Subscribers that wait get an error.
    pub fn stop(&self) {
        self.send(Command::Stop);
    }
}
