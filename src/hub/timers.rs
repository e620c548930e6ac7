//! What happens by itself: holds end, sessions expire, delayed replies leave.

use std::cmp::{Ordering, Reverse};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::meta::{End, SLACK};
use super::request::Exchange;
use super::session::Session;
use super::{Key, Shard};

/// When to look again at a session that would be over but for what it is being sent.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Something due at a time. A session has one at most that counts; others are found stale when they come up.
#[derive(Debug)]
pub(super) struct Timer {
    pub(super) at: Instant,
    due: Due,
}

#[derive(Debug)]
pub(super) enum Due {
    /// A session's hold or life may be over.
    Session(Key<Session>),
    /// A delayed reply leaves.
    Reply(Key<Exchange>, usize, Bytes),
    /// Lazy events may have waited long enough.
    Lazy(Key<Session>),
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Timer {}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timer {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at)
    }
}

impl Shard {
    /// Makes sure that the session is looked at by `at`.
    pub(super) fn schedule(&mut self, key: Key<Session>, at: Instant) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if session.timer.is_none_or(|timer| at < timer) {
            session.timer = Some(at);
            self.schedule_due(at, Due::Session(key));
        }
    }

    pub(super) fn schedule_due(&mut self, at: Instant, due: Due) {
        self.timers.push(Reverse(Timer { at, due }));
        // Sessions that end before their time leave theirs behind.
        if self.timers.len() > 2 * (self.sessions.len() + self.exchanges.len()) + SLACK {
            let (sessions, exchanges) = (&self.sessions, &self.exchanges);
            self.timers.retain(|Reverse(timer)| match &timer.due {
                Due::Session(key) => sessions.get(*key).is_some_and(|it| it.timer == Some(timer.at)),
                Due::Reply(key, ..) => exchanges.get(*key).is_some(),
                Due::Lazy(key) => sessions.get(*key).is_some_and(|it| it.has_lazy_timer(timer.at)),
            });
        }
    }

    pub(super) fn timeout(&mut self, now: Instant) {
        while self.timers.peek().is_some_and(|Reverse(timer)| timer.at <= now) {
            let Some(Reverse(Timer { at, due })) = self.timers.pop() else { return };
            match due {
                Due::Session(key) => self.session_due(key, at, now),
                Due::Lazy(key) => self.lazy_due(key, at, now),
                Due::Reply(key, slot, reply) => {
                    self.settle(key, slot, reply);
                    self.complete_if_ready(key, now);
                }
            }
        }
    }

    fn session_due(&mut self, key: Key<Session>, at: Instant, now: Instant) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if session.timer != Some(at) {
            return;
        }
        session.timer = None;
        match session.held.as_ref().map(|held| held.deadline) {
            Some(deadline) if deadline <= now => self.wake(key, now),
            Some(deadline) => self.schedule(key, deadline),
            // Whoever reads a long response on a slow line is alive; that is over when the transport gives up.
            None if session.expires <= now && session.is_written_to() => self.schedule(key, now + LOOK_AGAIN),
            None if session.expires <= now => self.end_session(key, End::Expired, now),
            None => {
                let expires = session.expires;
                self.schedule(key, expires);
            }
        }
    }
}
