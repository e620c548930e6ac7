//! `/meta/subscribe` and `/meta/unsubscribe`.

use std::time::Instant;

use super::fanout::Match;
use super::request::Exchange;
use super::session::Session;
use super::{Key, Output, Shard, SubscribeTicket};
use crate::bayeux::{Body, Error, Message, Pattern, Reply};
use crate::stream::{Positions, Seam};

/// One session's interest in one pattern.
#[derive(Debug)]
pub struct Subscription {
    pub(super) session: Key<Session>,
    pub(super) pattern: Pattern,
    pub(super) seam: Seam,
    /// Requests that wait for the positions, and in which of their slots.
    waiters: Vec<(Key<Exchange>, usize)>,
}

/// A subscribe of one or several patterns that is being answered.
#[derive(Debug)]
pub(super) struct Job {
    slot: usize,
    message: Message,
    session: Key<Session>,
    /// The pattern that is waited for, or comes next.
    next: usize,
}

/// How one pattern of a subscribe went.
enum Step {
    Done,
    Wait,
    Refuse(Error),
}

impl Shard {
    pub(super) fn subscribe(&mut self, key: Key<Exchange>, slot: usize, message: Message, now: Instant) {
        let Some(session) = self.session_of(key, &message, now) else {
            return self.refuse(key, slot, &message, &Error::SESSION_UNKNOWN);
        };
        if let Some(exchange) = self.exchanges.get_mut(key) {
            exchange.jobs.push(Job { slot, message, session, next: 0 });
        }
        self.go_on(key, slot);
    }

    /// Takes the patterns of a subscribe one by one, until one must be waited for, or fails (an array stops there, the earlier ones stay).
    fn go_on(&mut self, key: Key<Exchange>, slot: usize) {
        loop {
            let Some(job) = self.job(key, slot) else { return };
            let (Body::Subscribe(asked), session) = (&job.message.body, job.session) else { return };
            let step = match asked.patterns.get(job.next) {
                None => return self.finish_job(key, slot, None),
                Some(Err(error)) => Step::Refuse(error.clone()),
                Some(Ok(pattern)) => {
                    let pattern = pattern.clone();
                    self.subscribe_one((key, slot), session, &pattern)
                }
            };
            match step {
                Step::Wait => return,
                Step::Refuse(error) => return self.finish_job(key, slot, Some(&error)),
                Step::Done => {
                    if let Some(job) = self.job(key, slot) {
                        job.next += 1;
                    }
                }
            }
        }
    }

    fn job(&mut self, key: Key<Exchange>, slot: usize) -> Option<&mut Job> {
        self.exchanges.get_mut(key)?.jobs.iter_mut().find(|job| job.slot == slot)
    }

    fn finish_job(&mut self, key: Key<Exchange>, slot: usize, error: Option<&Error>) {
        let Some(exchange) = self.exchanges.get_mut(key) else { return };
        let Some(at) = exchange.jobs.iter().position(|job| job.slot == slot) else { return };
        let job = exchange.jobs.swap_remove(at);
        self.stats.refused += u64::from(error.is_some());
        self.reply(key, slot, &job.message, Reply::of(&job.message, error));
    }

    fn subscribe_one(
        &mut self,
        waiter: (Key<Exchange>, usize),
        session_key: Key<Session>,
        pattern: &Pattern,
    ) -> Step {
        let denied = |text: &'static str| Step::Refuse(Error::about(403, pattern.as_str(), text));
        if pattern.is_meta() {
            return denied("subscribe_denied");
        }
        // Nothing is ever broadcast there; clients subscribe all the same (R26).
        if pattern.is_service() {
            return Step::Done;
        }
        if !self.settings.root_patterns && pattern.as_channel().is_none() && pattern.prefix().next().is_none()
        {
            return denied("root_patterns_are_off");
        }
        let Some(session) = self.sessions.get_mut(session_key) else {
            return Step::Refuse(Error::SUBSCRIBE_FAILED);
        };
        if let Some(ticket) = session.subscriptions.get(pattern) {
            return match self.subscriptions.get_mut(*ticket) {
                Some(known) if matches!(known.seam, Seam::Asking) => {
                    known.waiters.push(waiter);
                    Step::Wait
                }
                _ => Step::Done,
            };
        }
        if self.draining.is_some() {
            return Step::Refuse(Error::DRAINING);
        }
        if session.subscriptions.len() >= self.settings.max_subscriptions {
            self.stats.limited.subscriptions += 1;
            return denied("too_many_subscriptions");
        }
        let ticket = self.subscriptions.insert(Subscription {
            session: session_key,
            pattern: pattern.clone(),
            seam: Seam::Asking,
            waiters: vec![waiter],
        });
        session.subscriptions.insert(pattern.clone(), ticket);
        self.trie.insert(pattern, Match { session: session_key, subscription: ticket });
        self.outputs.push_back(Output::Subscribe(ticket, pattern.clone()));
        Step::Wait
    }

    /// The positions of a subscription are known, or why they are not.
    pub(super) fn subscribed(
        &mut self,
        ticket: SubscribeTicket,
        result: Result<Positions, Error>,
        now: Instant,
    ) {
        let Some(subscription) = self.subscriptions.get_mut(ticket) else {
            // Unsubscribed, or its session ended, while the positions were asked for.
            if let (Some(pattern), Ok(_)) = (self.cancelled.remove(&ticket), &result) {
                self.outputs.push_back(Output::Unsubscribe(pattern));
            }
            return;
        };
        let waiters = std::mem::take(&mut subscription.waiters);
        let session = subscription.session;
        let error = match result {
            Ok(positions) => {
                subscription.seam = Seam::From(positions);
                None
            }
            Err(error) => {
                let pattern = subscription.pattern.clone();
                self.subscriptions.remove(ticket);
                self.trie.remove(&pattern, Match { session, subscription: ticket });
                if let Some(session) = self.sessions.get_mut(session) {
                    session.subscriptions.remove(&pattern);
                }
                Some(error)
            }
        };
        // The reply first: what it promises begins with the events behind it.
        self.resume(waiters, error.as_ref());
        self.run(now);
        self.decide(session, now);
    }

    /// Goes on with requests that waited for a subscription.
    fn resume(&mut self, waiters: Vec<(Key<Exchange>, usize)>, error: Option<&Error>) {
        for (key, slot) in waiters {
            if error.is_some() {
                self.finish_job(key, slot, error);
            } else if let Some(job) = self.job(key, slot) {
                job.next += 1;
                self.go_on(key, slot);
            }
            self.runnable.push_back(key);
        }
    }

    pub(super) fn unsubscribe(&mut self, key: Key<Exchange>, slot: usize, message: &Message, now: Instant) {
        let Some(session_key) = self.session_of(key, message, now) else {
            return self.refuse(key, slot, message, &Error::SESSION_UNKNOWN);
        };
        let Body::Unsubscribe(asked) = &message.body else { return };
        for pattern in &asked.patterns {
            match pattern {
                Err(error) => return self.refuse(key, slot, message, error),
                Ok(pattern) if pattern.is_meta() => {
                    let error = Error::about(403, pattern.as_str(), "unsubscribe_failed");
                    return self.refuse(key, slot, message, &error);
                }
                Ok(pattern) => {
                    let session = self.sessions.get_mut(session_key);
                    if let Some(ticket) = session.and_then(|session| session.subscriptions.remove(pattern)) {
                        self.forget_subscription(ticket, pattern);
                        self.decide(session_key, now);
                    }
                }
            }
        }
        self.reply(key, slot, message, Reply::ok(message));
    }

    /// Removes a subscription that its session no longer has.
    pub(super) fn forget_subscription(&mut self, ticket: SubscribeTicket, pattern: &Pattern) {
        let Some(subscription) = self.subscriptions.remove(ticket) else { return };
        self.trie.remove(pattern, Match { session: subscription.session, subscription: ticket });
        if matches!(subscription.seam, Seam::Asking) {
            // Whether there is a demand to take back will be known when the answer comes.
            self.cancelled.insert(ticket, pattern.clone());
        } else {
            self.outputs.push_back(Output::Unsubscribe(pattern.clone()));
        }
        self.resume(subscription.waiters, Some(&Error::SUBSCRIBE_FAILED));
    }
}
