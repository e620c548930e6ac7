//! Publishes: passed on in order, answered when Kafka has, and never twice for one that was sent again.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use super::request::{Exchange, Flow};
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

/// What makes a publish the same as an earlier one: id, channel and bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Twin {
    id: Bytes,
    channel: Channel,
    data: Bytes,
}

/// The publishes of a session whose replies have not been written.
#[derive(Debug, Default)]
pub(super) struct Recent {
    in_flight: Vec<PublishTicket>,
    /// Results that their client never saw.
    unseen: VecDeque<(Twin, Result<(), Error>)>,
}

/// Results that are kept for clients that did not see them.
const UNSEEN: usize = 256;

impl Shard {
    pub(super) fn publish(
        &mut self,
        key: Key<Exchange>,
        slot: usize,
        message: Message,
        now: Instant,
    ) -> Flow {
        let Some(session_key) = self.session_of(key, &message, now) else {
            return self.refuse(key, slot, &message, &Error::SESSION_UNKNOWN);
        };
        let Body::Publish { channel, data } = &message.body else { return Flow::Next };
        let (channel, data) = (channel.clone(), data.clone());
        let twin = message.id.clone().map(|id| Twin { id, channel: channel.clone(), data: data.clone() });
        let Some(session) = self.sessions.get_mut(session_key) else { return Flow::Next };
        if let Some(twin) = &twin {
            if let Some(at) = session.publishes.unseen.iter().position(|(it, _)| it == twin) {
                self.stats.twins += 1;
                if let Some((twin, result)) = session.publishes.unseen.remove(at) {
                    self.answer(&Waiter { exchange: key, slot, message }, session_key, Some(twin), &result);
                }
                return Flow::Next;
            }
            for ticket in &session.publishes.in_flight {
                if let Some(earlier) = self.publishes.get_mut(*ticket)
                    && earlier.twin.as_ref() == Some(twin)
                {
                    self.stats.twins += 1;
                    earlier.waiters.push(Waiter { exchange: key, slot, message });
                    return Flow::Next;
                }
            }
        }
        if session.publishes.in_flight.len() >= self.settings.publishes_per_session {
            let error = Error::busy(channel.as_str());
            return self.refuse(key, slot, &message, &error);
        }
        let waiters = vec![Waiter { exchange: key, slot, message }];
        let ticket = self.publishes.insert(InFlight { session: session_key, twin, waiters });
        session.publishes.in_flight.push(ticket);
        self.outputs.push_back(Output::Publish { ticket, session: session_key, channel, data });
        Flow::Next
    }

    pub(super) fn published(&mut self, ticket: PublishTicket, result: &Result<(), Error>, now: Instant) {
        let Some(done) = self.publishes.remove(ticket) else { return };
        if let Some(session) = self.sessions.get_mut(done.session) {
            session.publishes.in_flight.retain(|it| *it != ticket);
        }
        for waiter in done.waiters {
            self.answer(&waiter, done.session, done.twin.clone(), result);
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
