//! Records to the sessions whose subscriptions match.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::arena::Arena;
use super::meta::End;
use super::session::Session;
use super::subscribe::Subscription;
use super::{Event, Key, Shard, SubscribeTicket};
use crate::stream::{Admit, Batch, Record, Seam};

/// A subscription as the trie knows it; ordered by session, since a session gets one copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Match {
    pub(super) session: Key<Session>,
    pub(super) subscription: SubscribeTicket,
}

impl Shard {
    pub(super) fn batch(&mut self, batch: &Batch, now: Instant) {
        for record in batch.spans.iter().flat_map(|span| &span.records) {
            self.fan_out(record, now);
        }
    }

    fn fan_out(&mut self, record: &Arc<Record>, now: Instant) {
        let matches = self.matching(record);
        if matches.is_empty() {
            return;
        }
        let event: Event = Rc::new(record.clone());
        for group in matches.chunk_by(|a, b| a.session == b.session) {
            let Some(key) = group.first().map(|it| it.session) else { continue };
            let Some(session) = self.sessions.get(key) else { continue };
            if session.waits_behind(record) {
                self.defer(key, event.clone());
                continue;
            }
            match admit(&mut self.subscriptions, group, record) {
                Admit::Send => self.enqueue(key, event.clone(), now),
                Admit::Later => self.defer(key, event.clone()),
                Admit::Skip => {}
            }
        }
    }

    /// The subscriptions that may get a record.
    fn matching(&mut self, record: &Record) -> Rc<[Match]> {
        if record.patterns { self.trie.covering(&record.channel) } else { self.trie.exactly(&record.channel) }
    }

    /// Queues an event for a session, wherever its events go at present.
    pub(super) fn enqueue(&mut self, key: Key<Session>, event: Event, now: Instant) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if session.extras.is_some() || event.lazy.is_some() {
            return self.enqueue_apart(key, event, now);
        }
        let (size, waiting) = match session.socket.and_then(|key| Some((key, self.sockets.get_mut(key)?))) {
            Some((socket_key, socket)) if !session.in_doubt => {
                let size = socket.outbox.event(event);
                if !socket.dirty {
                    socket.dirty = true;
                    self.dirty.push_back(socket_key);
                }
                (size, socket.outbox.event_bytes() + session.queued_bytes)
            }
            _ => {
                let size = event.plain().frame().len();
                session.queue.push_back(event);
                session.queued_bytes += size;
                if !session.touched {
                    session.touched = true;
                    self.touched.push(key);
                }
                (size, session.queued_bytes)
            }
        };
        self.stats.deliveries += 1;
        self.stats.delivered_bytes += size as u64;
        // A single event larger than the queue may pass an empty one.
        if waiting > self.settings.queue_bytes.max(size) {
            self.overfull.push(key);
        }
    }

    /// Keeps an event until the session's new subscription knows where it starts.
    fn defer(&mut self, key: Key<Session>, event: Event) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let size = event.plain().frame().len();
        if session.defer(event) {
            session.queued_bytes += size;
        }
        let socket = session.socket.and_then(|socket| self.sockets.get(socket));
        let waiting = session.queued_bytes + socket.map_or(0, |socket| socket.outbox.event_bytes());
        if waiting > self.settings.queue_bytes.max(size) {
            self.overfull.push(key);
        }
    }

    /// Helps a session whose queue is full: its poll is answered. If there is none, or it does not take enough, the session ends.
    pub(super) fn relieve(&mut self, key: Key<Session>, now: Instant) {
        if let Some(session) = self.sessions.get_mut(key) {
            session.hurry();
        }
        self.wake_poll(key, now);
        let Some(session) = self.sessions.get(key) else { return };
        if let Some(ack) = session.ack() {
            // What was sent waits still. One event that is larger than the queue may pass, here too.
            let oldest = ack.oldest().or(session.queue.front());
            let first = oldest.map_or(0, |event| event.plain().frame().len());
            if session.queued_bytes.saturating_sub(first) > self.settings.queue_bytes {
                self.end_session(key, End::Slow, now);
            }
            return;
        }
        let socket = session.socket.and_then(|socket| self.sockets.get(socket));
        let waiting = session.queued_bytes + socket.map_or(0, |socket| socket.outbox.event_bytes());
        let alone = session.queue.len() <= 1 && socket.is_none() && session.undecided.is_empty();
        if waiting > self.settings.queue_bytes && !alone {
            self.end_session(key, End::Slow, now);
        }
    }

    /// A subscription of the session knows its positions, or is gone: looks at what waited for that.
    pub(super) fn decide(&mut self, key: Key<Session>, now: Instant) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        for mut partition in std::mem::take(&mut session.undecided) {
            while let Some(event) = partition.events.pop_front() {
                let all = self.matching(&event);
                let first = all.partition_point(|it| it.session < key);
                let mine = all.get(first..).unwrap_or_default();
                let mine = mine.get(..mine.partition_point(|it| it.session == key)).unwrap_or_default();
                let verdict = admit(&mut self.subscriptions, mine, &event);
                let Some(session) = self.sessions.get_mut(key) else { return };
                if verdict == Admit::Later {
                    partition.events.push_front(event);
                    session.undecided.push(partition);
                    break;
                }
                session.queued_bytes = session.queued_bytes.saturating_sub(event.plain().frame().len());
                if verdict == Admit::Send {
                    self.enqueue(key, event, now);
                }
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
        // One by one: an answer that is lost at once puts its session on the list again.
        while let Some(key) = self.touched.pop() {
            if let Some(session) = self.sessions.get_mut(key) {
                session.touched = false;
                self.wake_poll(key, now);
            }
        }
    }

    /// Answers a held poll if there are events for it.
    fn wake_poll(&mut self, key: Key<Session>, now: Instant) {
        let session = self.sessions.get(key);
        let polls = |session: &Session| {
            session.held.as_ref().is_some_and(|held| held.http.is_some() || session.acks())
        };
        if session.is_some_and(|session| session.has_ready() && polls(session)) {
            self.wake(key, now);
        }
    }
}

/// What one session's matching subscriptions say of a record: all are asked, unless one of them does not know yet.
///
/// While a subscription waits for its positions nothing that it matches goes out, or it would see later offsets before earlier ones;
/// and the others are not asked before it is decided, since a subscription forgets its start with the first record behind it.
fn admit(subscriptions: &mut Arena<Subscription>, group: &[Match], record: &Record) -> Admit {
    let asks =
        |it: &Match| subscriptions.get(it.subscription).is_some_and(|it| matches!(it.seam, Seam::Asking));
    if group.len() > 1 && record.source.is_some() && group.iter().any(asks) {
        return Admit::Later;
    }
    let mut verdict = Admit::Skip;
    for it in group {
        let Some(subscription) = subscriptions.get_mut(it.subscription) else { continue };
        match subscription.seam.admit(record.source.as_ref()) {
            Admit::Skip => {}
            other => verdict = other,
        }
    }
    verdict
}
