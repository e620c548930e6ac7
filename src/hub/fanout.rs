//! Records to the sessions whose subscriptions match.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::arena::Arena;
use super::meta::End;
use super::session::Session;
use super::subscribe::Subscription;
use super::{Event, Key, Shard, SubscribeTicket};
use crate::stream::{Admit, Batch, Record};

/// A subscription as the trie knows it; ordered by session, since a session gets one copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Match {
    pub(super) session: Key<Session>,
    pub(super) subscription: SubscribeTicket,
}

impl Shard {
    pub(super) fn batch(&mut self, batch: &Batch, now: Instant) {
        for record in batch.spans.iter().flat_map(|span| &span.records) {
            self.fan_out(record);
        }
        for session in std::mem::take(&mut self.overfull) {
            self.end_session(session, End::Slow, now);
        }
    }

    fn fan_out(&mut self, record: &Arc<Record>) {
        let matches = self.matching(record);
        if matches.is_empty() {
            return;
        }
        let event: Event = Rc::new(record.clone());
        for group in matches.chunk_by(|a, b| a.session == b.session) {
            let Some(session) = group.first().map(|it| it.session) else { continue };
            match admit(&mut self.subscriptions, group, record) {
                Admit::Send => self.enqueue(session, event.clone()),
                Admit::Later => self.defer(session, event.clone()),
                Admit::Skip => {}
            }
        }
    }

    /// The subscriptions that may get a record.
    fn matching(&mut self, record: &Record) -> Rc<[Match]> {
        if record.patterns { self.trie.covering(&record.channel) } else { self.trie.exactly(&record.channel) }
    }

    /// Queues an event for a session, wherever its events go at present.
    fn enqueue(&mut self, key: Key<Session>, event: Event) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let size = event.plain().frame().len();
        self.stats.deliveries += 1;
        self.stats.delivered_bytes += size as u64;
        let waiting = if let Some(socket_key) = session.socket {
            let Some(socket) = self.sockets.get_mut(socket_key) else { return };
            socket.outbox.event(event);
            if !socket.dirty {
                socket.dirty = true;
                self.dirty.push_back(socket_key);
            }
            socket.outbox.event_bytes() + session.queued_bytes
        } else {
            session.queue.push_back(event);
            session.queued_bytes += size;
            if !session.touched {
                session.touched = true;
                self.touched.push(key);
            }
            session.queued_bytes
        };
        // A single event larger than the queue may pass an empty one.
        if waiting > self.settings.queue_bytes.max(size) {
            self.overfull.push(key);
        }
    }

    /// Keeps an event until the session's new subscription knows where it starts.
    fn defer(&mut self, key: Key<Session>, event: Event) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.queued_bytes += event.plain().frame().len();
        session.undecided.push(event);
        if session.queued_bytes > self.settings.queue_bytes {
            self.overfull.push(key);
        }
    }

    /// A subscription of the session knows its positions, or is gone: looks at what waited for that.
    pub(super) fn decide(&mut self, key: Key<Session>) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if session.undecided.is_empty() {
            return;
        }
        for event in std::mem::take(&mut session.undecided) {
            let all = self.matching(&event);
            let group: Vec<Match> = all.iter().filter(|it| it.session == key).copied().collect();
            let verdict = admit(&mut self.subscriptions, &group, &event);
            let Some(session) = self.sessions.get_mut(key) else { return };
            if verdict == Admit::Later {
                session.undecided.push(event);
                continue;
            }
            session.queued_bytes = session.queued_bytes.saturating_sub(event.plain().frame().len());
            if verdict == Admit::Send {
                self.enqueue(key, event);
            }
        }
    }

    /// Puts a session on the list of polls to wake.
    pub(super) fn touch(&mut self, key: Key<Session>) {
        if let Some(session) = self.sessions.get_mut(key)
            && !session.touched
        {
            session.touched = true;
            self.touched.push(key);
        }
    }

    /// Wakes the held polls of sessions that have events.
    pub(super) fn wake_touched(&mut self, now: Instant) {
        let mut touched = std::mem::take(&mut self.touched);
        for key in touched.drain(..) {
            let Some(session) = self.sessions.get_mut(key) else { continue };
            session.touched = false;
            if session.held.as_ref().is_some_and(|held| held.http.is_some()) && !session.queue.is_empty() {
                self.wake(key, now);
            }
        }
        // Keeps its allocation for the next turn.
        self.touched = touched;
    }
}

/// What one session's matching subscriptions say of a record: all are asked, and one that does not know yet decides.
///
/// While a subscription waits for its positions nothing that it matches goes out, or it would see later offsets before earlier ones.
fn admit(subscriptions: &mut Arena<Subscription>, group: &[Match], record: &Record) -> Admit {
    let mut verdict = Admit::Skip;
    for it in group {
        let Some(subscription) = subscriptions.get_mut(it.subscription) else { continue };
        match subscription.seam.admit(record.source.as_ref()) {
            Admit::Later => verdict = Admit::Later,
            Admit::Send if verdict == Admit::Skip => verdict = Admit::Send,
            _ => {}
        }
    }
    verdict
}
