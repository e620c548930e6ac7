//! What a shard's requests ask for, and what they are told.

use std::sync::Arc;
use std::time::Instant;

use super::inbox::Note;
use super::shard::{Driver, Session};
use crate::feed::{Start, SubscribeError};
use crate::hub::{Input, PublishTicket};
use crate::publish::Extras;
use crate::service::{Asked, Correlation, Effect, Unread};
use crate::stream::Body;

impl Driver {
    /// When something is due of the sessions or of their requests.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let requests = self.requests.borrow().poll_timeout();
        [self.hub.borrow().poll_timeout(), requests].into_iter().flatten().min()
    }

    pub(super) fn timeout(&self) {
        self.requests.borrow_mut().timeout(Instant::now());
        self.tell(Input::Timeout);
    }

    pub(super) fn reads(&self, topic: &str, result: &Result<(), Unread>) {
        self.requests.borrow_mut().reads(Instant::now(), topic, result);
        self.act();
    }

    pub(super) fn replied(&self, id: Correlation, reply: Body) {
        if !self.requests.borrow_mut().replied(Instant::now(), id, reply) {
            self.node_metrics.service_replies_unexpected.inc();
        }
        self.act();
    }

    pub(super) fn request_effect(&self, effect: Effect<Session, PublishTicket>) {
        match effect {
            Effect::Read(topic) => self.follow(topic),
            Effect::Leave(topic) => self.feed.unfollow(topic),
            Effect::Publish(asked, headers) => {
                let Asked { session, ticket, channel, data, binary, .. } = asked;
                self.publish(session, ticket, channel, data, Extras { binary, headers });
            }
            Effect::Written(ticket) => self.done(ticket, Ok(())),
            Effect::Refused(ticket, error) => self.refuse(ticket, error),
            Effect::Deliver(session, message) => {
                self.hub.borrow_mut().handle(Input::Message(session, message), Instant::now());
                self.flush();
                self.hub.borrow_mut().handle(Input::Flush, Instant::now());
            }
        }
    }

    fn follow(&self, topic: Arc<str>) {
        let Some(inbox) = self.inbox(self.number).cloned() else { return };
        let (feed, name) = (self.feed.clone(), Arc::clone(&topic));
        let reply = move |result: Result<Start, SubscribeError>| {
            let result = match result {
                Err(SubscribeError::UnknownChannel) => Err(Unread::Missing),
                Err(SubscribeError::Denied) => Err(Unread::Denied),
                Err(SubscribeError::Kafka(reason)) => Err(Unread::Kafka(reason)),
                Err(SubscribeError::TimedOut) => Err(Unread::Kafka("no answer in time".into())),
                Ok(start) => {
                    let whole = whole(&start);
                    if whole.is_err() {
                        feed.unfollow(Arc::clone(&name));
                    }
                    whole
                }
            };
            inbox.note(Note::Reads(name, result));
        };
        self.feed.follow(topic, Box::new(reply));
    }
}

/// Whether all of a topic is read from a place that is known: a reply in what is not would be missed.
fn whole(start: &Start) -> Result<(), Unread> {
    match start.pending.first() {
        Some((_, partition)) => Err(Unread::Kafka(format!("partition {partition} has no leader"))),
        None if start.positions.is_empty() => Err(Unread::Missing),
        None => Ok(()),
    }
}
