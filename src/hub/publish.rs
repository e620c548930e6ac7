//! Publishes: passed on in order, answered when Kafka has, and never twice for one that was sent again.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

use bytes::Bytes;

use super::rate::Bucket;
use super::request::Exchange;
use super::session::Session;
use super::{Answer, Key, Output, PublishTicket, Shard};
use crate::bayeux::{Body, Channel, Error, Message, Reply};

/// A publish that waits for Kafka.
#[derive(Debug)]
pub struct InFlight {
    session: Key<Session>,
    twin: Option<Twin>,
    /// Who is to be answered: the request that brought it, and those that brought it again.
    waiters: Vec<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    exchange: Key<Exchange>,
    slot: usize,
    message: Message,
}

/// What makes a publish the same as an earlier one of its session: a digest of id, channel and bytes, so that they need not be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Twin {
    digest: u64,
    length: usize,
}

/// The publishes of a session whose replies have not been written.
#[derive(Debug, Default)]
pub(super) struct Recent {
    in_flight: Vec<PublishTicket>,
    /// Results that their client never saw.
    unseen: VecDeque<(Twin, Result<(), Error>)>,
    /// What is left of the rate, if that is bounded.
    bucket: Option<Box<Bucket>>,
    /// Whether there were any on `/service` channels, which may be requests.
    pub(super) asked: bool,
}

/// Results that are kept for clients that did not see them.
const UNSEEN: usize = 256;

/// How often a publish on its way may be sent again.
const TWINS: usize = 16;

impl Shard {
    pub(super) fn publish(&mut self, key: Key<Exchange>, slot: usize, message: Message, now: Instant) {
        let Some(session_key) = self.session_of(key, &message, now) else {
            return self.refuse(key, slot, &message, &Error::SESSION_UNKNOWN);
        };
        let Body::Publish { channel, data } = &message.body else { return };
        let (channel, id, data) = (channel.clone(), message.id.clone(), data.clone());
        let binary = message.ext.as_ref().and_then(|ext| ext.binary.clone());
        let twin = id.as_ref().map(|id| Twin::of(id, &channel, &data));
        let waiter = Waiter { exchange: key, slot, message: without_data(message) };
        let Some(session) = self.sessions.get_mut(session_key) else { return };
        let mut full = false;
        if let Some(twin) = &twin {
            if let Some(at) = session.publishes.unseen.iter().position(|(it, _)| it == twin) {
                self.stats.twins += 1;
                if let Some((twin, result)) = session.publishes.unseen.remove(at) {
                    self.answer(&waiter, session_key, Some(twin), &result);
                }
                return;
            }
            for ticket in &session.publishes.in_flight {
                if let Some(earlier) = self.publishes.get_mut(*ticket)
                    && earlier.twin.as_ref() == Some(twin)
                {
                    if earlier.waiters.len() > TWINS {
                        full = true;
                        break;
                    }
                    self.stats.twins += 1;
                    earlier.waiters.push(waiter);
                    return;
                }
            }
        }
        if let Some(rate) = self.settings.publish_rate
            && !session.publishes.bucket.get_or_insert_with(|| Box::new(Bucket::new(now))).take(rate, now)
        {
            self.stats.limited.publish_rate += 1;
            let error = Error::about(429, channel.as_str(), "publish_rate");
            return self.refuse(key, slot, &waiter.message, &error);
        }
        if full || session.publishes.in_flight.len() >= self.settings.publishes_per_session {
            self.stats.limited.in_flight_per_session += 1;
            return self.refuse(key, slot, &waiter.message, &Error::busy(channel.as_str()));
        }
        if self.draining.is_some() {
            return self.refuse(key, slot, &waiter.message, &Error::DRAINING);
        }
        let ticket = self.publishes.insert(InFlight { session: session_key, twin, waiters: vec![waiter] });
        session.publishes.in_flight.push(ticket);
        session.publishes.asked |= channel.is_service();
        self.outputs.push_back(Output::Publish { ticket, session: session_key, channel, id, data, binary });
    }

    pub(super) fn published(&mut self, ticket: PublishTicket, result: &Result<(), Error>, now: Instant) {
        let Some(done) = self.publishes.remove(ticket) else { return };
        if let Some(session) = self.sessions.get_mut(done.session) {
            session.publishes.in_flight.retain(|it| *it != ticket);
        }
        for waiter in done.waiters {
            self.answer(&waiter, done.session, done.twin, result);
            self.complete_if_ready(waiter.exchange, now);
        }
    }

    fn answer(
        &mut self,
        waiter: &Waiter,
        session: Key<Session>,
        twin: Option<Twin>,
        result: &Result<(), Error>,
    ) {
        let reply = Reply::of(&waiter.message, result.as_ref().err()).finish();
        self.settle(waiter.exchange, waiter.slot, reply);
        if let (Some(exchange), Some(twin)) = (self.exchanges.get_mut(waiter.exchange), twin) {
            exchange.answers.push(Answer { session, twin, result: result.clone() });
        }
    }

    /// Replies to publishes that nobody has seen: their clients will send them again.
    pub(super) fn unanswered(&mut self, answers: Vec<Answer>) {
        for answer in answers {
            let Some(session) = self.sessions.get_mut(answer.session) else { continue };
            let unseen = &mut session.publishes.unseen;
            if unseen.len() >= UNSEEN {
                unseen.pop_front();
            }
            unseen.push_back((answer.twin, answer.result));
        }
    }
}

// === impl Twin ===

impl Twin {
    fn of(id: &Bytes, channel: &Channel, data: &Bytes) -> Self {
        let mut hasher = DefaultHasher::new();
        (id, channel, data).hash(&mut hasher);
        Self { digest: hasher.finish(), length: data.len() }
    }
}

/// What a reply needs of a publish: the data is not kept while Kafka is waited for.
fn without_data(message: Message) -> Message {
    let body = match message.body {
        Body::Publish { channel, .. } => Body::Publish { channel, data: Bytes::new() },
        other => other,
    };
    Message { body, ext: None, ..message }
}
