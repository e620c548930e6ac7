//! Lazy events: they may wait a while to travel together.
//!
//! They stand in the session's queue or its socket's like any other, so that the order stays. They only do not make it go.

use std::time::Instant;

use crate::hub::session::Session;
use crate::hub::timers::Due;
use crate::hub::{Key, Shard};

/// How long what waits for a session may wait.
#[derive(Debug, Default)]
pub(in crate::hub) struct Lazy {
    /// Set while only lazy events wait: when they must go.
    until: Option<Instant>,
    /// The time of the timer that is set.
    armed: Option<Instant>,
}

impl Lazy {
    /// A lazy event waits now, the first if nothing else does.
    pub(super) fn wait(&mut self, until: Instant, first: bool) {
        self.until = match self.until {
            Some(earlier) if !first => Some(earlier.min(until)),
            // What stands before it goes at once, and takes it along.
            None if !first => None,
            _ => Some(until),
        };
    }

    /// What waits is to go at once.
    pub(super) fn hurry(&mut self) {
        self.until = None;
    }

    pub(super) fn is_idle(&self) -> bool {
        self.until.is_none() && self.armed.is_none()
    }

    /// The time of a timer that must be set.
    fn arm(&mut self) -> Option<Instant> {
        let until = self.until?;
        let set = self.armed.is_none_or(|armed| until < armed);
        set.then(|| *self.armed.insert(until))
    }

    /// A timer is due, at `at` by its name: whether what waits must go.
    fn due(&mut self, at: Instant, now: Instant) -> bool {
        if self.armed != Some(at) {
            return false;
        }
        self.armed = None;
        self.until.take_if(|until| *until <= now).is_some()
    }
}

impl Session {
    /// Whether only lazy events wait, if any do.
    pub(in crate::hub) fn is_lazy(&self) -> bool {
        self.extras.as_ref().is_some_and(|extras| extras.lazy.until.is_some())
    }

    /// What waits for the session is to go at once.
    pub(in crate::hub) fn hurry(&mut self) {
        if let Some(extras) = &mut self.extras {
            extras.lazy.hurry();
            self.tidy();
        }
    }

    /// Whether the timer that is due at `at` is the session's.
    pub(in crate::hub) fn has_lazy_timer(&self, at: Instant) -> bool {
        self.extras.as_ref().is_some_and(|extras| extras.lazy.armed == Some(at))
    }
}

impl Shard {
    /// Sets the timer for what waits lazily.
    pub(super) fn arm(&mut self, key: Key<Session>) {
        let extras = self.sessions.get_mut(key).and_then(|session| session.extras.as_mut());
        if let Some(at) = extras.and_then(|extras| extras.lazy.arm()) {
            self.schedule_due(at, Due::Lazy(key));
        }
    }

    /// The time may be over for which lazy events could wait.
    pub(in crate::hub) fn lazy_due(&mut self, key: Key<Session>, at: Instant, now: Instant) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let Some(extras) = &mut session.extras else { return };
        let go = extras.lazy.due(at, now);
        session.tidy();
        if !go {
            return self.arm(key);
        }
        match session.socket.filter(|_| !session.in_doubt && !session.acks()) {
            Some(socket) => self.mark_dirty(socket),
            None => self.touch(key),
        }
    }
}
