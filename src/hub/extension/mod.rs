//! Extensions: what some sessions have and most do without.
//!
//! The seam is narrow. What a message's `ext` asks for is read by [`Ext`](crate::bayeux::Ext), what a reply says of it is written by
//! [`ReplyExt`]; what a session must remember in between is in its [`Extras`], a box that sessions without extensions do not have.
//! Fan-out looks once whether there is one, and leaves its way through `enqueue` if so.
//!
//! | extension | begins with | hooks |
//! | --- | --- | --- |
//! | ack | `ext.ack: true` in a handshake | `ack`: a connect acknowledges, its reply closes a batch |
//! | timesync | `ext.timesync` in a request | [`Shard::ext_of`], for every reply to `/meta` |
//! | activity | the setting | `activity`: all but connects count, a connect is where it is looked at |
//! | lazy | the route | `lazy`: when what waits must go |
//!
//! `binary` goes through the hub as it came (`publish`); `timestamp`, `reload` and what is unknown need nothing.

mod ack;
mod activity;
mod lazy;

use std::time::Instant;

pub(super) use ack::{Ack, Closing};
pub use activity::{Activity, ActivityMode};

use self::lazy::Lazy;
use super::session::Session;
use super::{Event, Key, Shard};
use crate::bayeux::{Message, ReplyExt};

/// What a session has of extensions.
#[derive(Debug, Default)]
pub(super) struct Extras {
    /// The batches of a session that acknowledges them.
    pub(super) ack: Option<Box<Ack>>,
    /// How long what waits may wait.
    pub(super) lazy: Lazy,
    /// When the session last did something, if that is asked for.
    pub(super) active: Option<Instant>,
}

impl Session {
    pub(super) fn ack(&self) -> Option<&Ack> {
        self.extras.as_ref()?.ack.as_deref()
    }

    pub(super) fn ack_mut(&mut self) -> Option<&mut Ack> {
        self.extras.as_mut()?.ack.as_deref_mut()
    }

    /// Whether events leave with the replies to connects only, on whatever transport.
    pub(super) fn acks(&self) -> bool {
        self.ack().is_some()
    }

    /// Gives the box back when nothing is in it.
    fn tidy(&mut self) {
        if self.extras.as_ref().is_some_and(|it| it.ack.is_none() && it.active.is_none() && it.lazy.is_idle())
        {
            self.extras = None;
        }
    }
}

impl Shard {
    /// What the reply to `message` says of extensions that are no session's: the time.
    pub(super) fn ext_of(&mut self, message: &Message) -> ReplyExt {
        let asked = message.ext.as_ref().and_then(|ext| ext.timesync);
        ReplyExt { ack: None, timesync: asked.map(|asked| asked.reply((self.wall_clock)())) }
    }

    /// Remembers when messages came that want to know how long they took.
    pub(super) fn arrived(&mut self, messages: &mut [Message]) {
        let asked = messages.iter_mut().filter_map(|message| message.ext.as_mut()?.timesync.as_mut());
        for asked in asked {
            asked.arrived = (self.wall_clock)();
        }
    }

    /// Queues an event that is lazy, or is for a session with extensions.
    pub(super) fn enqueue_apart(&mut self, key: Key<Session>, event: Event, now: Instant) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let lazy = event.lazy;
        let pushed = session.socket.filter(|_| !session.in_doubt && !session.acks());
        let pushed = pushed.and_then(|key| Some((key, self.sockets.get_mut(key)?)));
        let (socket, first, size, waiting) = if let Some((key, socket)) = pushed {
            let first = socket.outbox.is_empty();
            let size = socket.outbox.event(event);
            (Some(key), first, size, socket.outbox.event_bytes() + session.queued_bytes)
        } else {
            let (first, size) = (session.queue.is_empty(), event.plain().frame().len());
            session.queue.push_back(event);
            session.queued_bytes += size;
            (None, first, size, session.queued_bytes)
        };
        self.stats.deliveries += 1;
        self.stats.delivered_bytes += size as u64;
        let full = waiting > self.settings.queue_bytes.max(size);
        if full {
            self.overfull.push(key);
        }
        let extras = session.extras.get_or_insert_default();
        if self.settings.activity.is_some_and(|it| it.mode == ActivityMode::ClientServer) {
            extras.active = Some(now);
        }
        if let Some(delay) = lazy.filter(|_| !full) {
            extras.lazy.wait(now + delay, first);
            return self.arm(key);
        }
        extras.lazy.hurry();
        session.tidy();
        match socket {
            Some(socket) => self.mark_dirty(socket),
            None => self.touch(key),
        }
    }
}
