//! The order of publishes, and their bounds.

use std::collections::VecDeque;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use hashbrown::HashMap;

use super::failure;
use crate::bayeux::{Channel, Error};
use crate::kafka::{Outcome, SendError};
use crate::route::{Route, RouteTable, Target};

/// Names a record that was handed to the producer.
pub type Token = u64;

/// How many publishes may wait for Kafka, of all pipelines that share it.
#[derive(Debug)]
pub struct Bounds {
    limit: usize,
    taken: AtomicUsize,
}

/// What to do for a publish.
#[derive(Debug)]
pub enum Effect<T> {
    /// Ask how many partitions a topic has; [`Pipeline::found`] follows.
    Find(Arc<str>),
    /// Hand a record to the producer; [`Pipeline::refused`] or [`Pipeline::reported`] follows.
    Send(Token, Outgoing),
    /// Give an event of a `local` route to all shards.
    Local {
        /// Where.
        channel: Channel,
        /// The JSON of its data.
        data: Bytes,
        /// Its `ext.binary`.
        binary: Option<Bytes>,
        /// The route, which says who gets it, and when.
        route: Arc<Route>,
    },
    /// Tell the publisher what became of its record.
    Done(T, Result<(), Error>),
    /// Tell the publisher why there is no record.
    Refused(T, Error),
}

/// What may come with a publish besides its data.
#[derive(Clone, Debug, Default)]
pub struct Extras {
    /// Its `ext.binary`.
    pub binary: Option<Bytes>,
    /// Headers of its record, behind those of its route.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// A record to be written.
#[derive(Debug)]
pub struct Outgoing {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition, from 0.
    pub partition: i32,
    /// The key; `None` is a record without key.
    pub key: Option<Vec<u8>>,
    /// The value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// Headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// Publishes of one shard. `L` names a lane, the publishes of which stay in order (a session); `T` is the caller's name of a publish.
#[derive(Debug)]
pub struct Pipeline<L, T> {
    routes: Arc<RouteTable>,
    bounds: Arc<Bounds>,
    /// Lanes in which something waits.
    lanes: HashMap<L, Lane<T>>,
    /// Topics that are being asked for, and the lanes that wait for each.
    finding: HashMap<Arc<str>, Vec<L>>,
    sent: HashMap<Token, Sent<L, T>>,
    next_token: Token,
    effects: VecDeque<Effect<T>>,
}

#[derive(Debug)]
struct Lane<T> {
    queue: VecDeque<Publish<T>>,
    /// Why the first of the queue cannot go.
    blocked: Option<Block>,
    /// A strict record that is in flight: nothing overtakes it.
    strict: bool,
    /// Records in flight; a strict one waits for all of them.
    in_flight: usize,
}

#[derive(Debug, PartialEq, Eq)]
enum Block {
    Finding,
    Strict,
}

#[derive(Debug)]
struct Publish<T> {
    ticket: T,
    channel: Channel,
    data: Bytes,
    binary: Option<Bytes>,
    target: Target,
    value: Option<Bytes>,
}

#[derive(Debug)]
struct Sent<L, T> {
    ticket: T,
    lane: L,
    channel: Channel,
}

// === impl Bounds ===

impl Bounds {
    /// At most `limit` publishes.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, taken: AtomicUsize::new(0) })
    }

    fn take(&self) -> bool {
        let taken = self.taken.fetch_add(1, Ordering::Relaxed);
        if taken >= self.limit {
            self.give_back();
        }
        taken < self.limit
    }

    fn give_back(&self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Lane ===

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self { queue: VecDeque::new(), blocked: None, strict: false, in_flight: 0 }
    }
}

// === impl Pipeline ===

impl<L: Copy + Eq + Hash, T> Pipeline<L, T> {
    /// A pipeline whose tokens begin with `shard`, so that a report finds its way back ([`shard_of`]).
    pub fn new(routes: Arc<RouteTable>, bounds: Arc<Bounds>, shard: u16) -> Self {
        Self {
            routes,
            bounds,
            lanes: HashMap::new(),
            finding: HashMap::new(),
            sent: HashMap::new(),
            next_token: u64::from(shard) << 48,
            effects: VecDeque::new(),
        }
    }

    /// Takes a publish; `partitions` tells how many a topic has, where that is known.
    pub fn submit(
        &mut self,
        lane: L,
        ticket: T,
        channel: Channel,
        data: Bytes,
        extras: Extras,
        partitions: impl Fn(&str) -> Option<i32>,
    ) {
        let Extras { binary, headers } = extras;
        match self.aim(&channel, &data, binary.as_deref()) {
            Ok((mut target, value)) => {
                target.headers.extend(headers);
                if !self.bounds.take() {
                    let error = Error::busy(channel.as_str());
                    return self.effects.push_back(Effect::Refused(ticket, error));
                }
                let publish = Publish { ticket, channel, data, binary, target, value };
                self.lanes.entry(lane).or_default().queue.push_back(publish);
                self.go_on(lane, &partitions);
            }
            Err(error) => self.effects.push_back(Effect::Refused(ticket, error)),
        }
    }

    fn aim(
        &self,
        channel: &Channel,
        data: &Bytes,
        binary: Option<&[u8]>,
    ) -> Result<(Target, Option<Bytes>), Error> {
        let mut target = self.routes.target(channel).map_err(|error| failure::no_target(channel, &error))?;
        let value = target.value(data, binary).map_err(|error| failure::bad_value(channel, &error))?;
        let mark = binary.and_then(|binary| target.mark(data, binary));
        let value = value.map(|value| match value {
            // The bytes that came are the bytes that Kafka gets.
            std::borrow::Cow::Borrowed(slice) => data.slice_ref(slice),
            std::borrow::Cow::Owned(made) => Bytes::from(made),
        });
        target.headers.extend(mark);
        Ok((target, value))
    }

    /// Sends what may be sent of a lane.
    fn go_on(&mut self, key: L, partitions: &impl Fn(&str) -> Option<i32>) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        while lane.blocked.is_none()
            && let Some(publish) = lane.queue.pop_front()
        {
            if publish.target.local {
                self.bounds.give_back();
                self.effects.push_back(Effect::Local {
                    channel: publish.channel,
                    data: publish.data,
                    binary: publish.binary,
                    route: publish.target.route,
                });
                self.effects.push_back(Effect::Done(publish.ticket, Ok(())));
                continue;
            }
            if lane.strict || (publish.target.strict && lane.in_flight > 0) {
                lane.blocked = Some(Block::Strict);
                lane.queue.push_front(publish);
                break;
            }
            let Some(count) = partitions(&publish.target.topic) else {
                lane.blocked = Some(Block::Finding);
                let waiting = self.finding.entry(publish.target.topic.clone()).or_default();
                waiting.push(key);
                if waiting.len() == 1 {
                    self.effects.push_back(Effect::Find(publish.target.topic.clone()));
                }
                lane.queue.push_front(publish);
                break;
            };
            lane.strict = publish.target.strict;
            lane.in_flight += 1;
            let Publish { ticket, channel, target, value, .. } = publish;
            let token = self.next_token;
            self.next_token += 1;
            let partition = target.partition(&channel, count);
            self.sent.insert(token, Sent { ticket, lane: key, channel });
            let outgoing =
                Outgoing { topic: target.topic, partition, key: target.key, value, headers: target.headers };
            self.effects.push_back(Effect::Send(token, outgoing));
        }
        if lane.queue.is_empty() && lane.in_flight == 0 {
            self.lanes.remove(&key);
        }
    }

    /// How many partitions `topic` has; `None` where it does not exist, an error where Kafka could not be asked.
    pub fn found(
        &mut self,
        topic: &str,
        count: &Result<Option<i32>, crate::kafka::Error>,
        partitions: impl Fn(&str) -> Option<i32>,
    ) {
        let known = |name: &str| match count {
            Ok(Some(count)) if name == topic => Some(*count),
            _ => partitions(name),
        };
        for key in self.finding.remove(topic).unwrap_or_default() {
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            lane.blocked = None;
            if !matches!(count, Ok(Some(_)))
                && let Some(publish) = lane.queue.pop_front()
            {
                // Those behind it ask again, each for itself: the topic may be there by then.
                let error = match count {
                    Ok(_) => failure::no_topic(&publish.channel),
                    Err(error) => failure::not_asked(&publish.channel, error),
                };
                self.bounds.give_back();
                self.effects.push_back(Effect::Refused(publish.ticket, error));
            }
            self.go_on(key, &known);
        }
    }

    /// The producer did not take a record.
    pub fn refused(&mut self, token: Token, error: &SendError, partitions: impl Fn(&str) -> Option<i32>) {
        if let Some(sent) = self.sent.remove(&token) {
            let result = Err(failure::refused_send(&sent.channel, error));
            self.finish(sent, result, &partitions);
        }
    }

    /// Kafka's word on a record.
    pub fn reported(&mut self, token: Token, outcome: &Outcome, partitions: impl Fn(&str) -> Option<i32>) {
        if let Some(sent) = self.sent.remove(&token) {
            let result = failure::unwritten(&sent.channel, outcome);
            self.finish(sent, result, &partitions);
        }
    }

    fn finish(
        &mut self,
        sent: Sent<L, T>,
        result: Result<(), Error>,
        partitions: &impl Fn(&str) -> Option<i32>,
    ) {
        self.bounds.give_back();
        self.effects.push_back(Effect::Done(sent.ticket, result));
        let Some(lane) = self.lanes.get_mut(&sent.lane) else { return };
        lane.in_flight -= 1;
        lane.strict = false;
        if lane.blocked == Some(Block::Strict) {
            lane.blocked = None;
        }
        self.go_on(sent.lane, partitions);
    }

    /// What to do next; call until there is nothing.
    pub fn poll(&mut self) -> Option<Effect<T>> {
        self.effects.pop_front()
    }
}

/// The shard whose pipeline made `token`.
pub fn shard_of(token: Token) -> u16 {
    u16::try_from(token >> 48).unwrap_or_default()
}
