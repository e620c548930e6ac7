//! Where a session's events go: to its socket or with its polls, and back when those broke.

use std::time::{Duration, Instant};

use super::session::Session;
use super::{Event, Key, Output, Shard, SocketKey};

impl Shard {
    /// Makes `socket` the one that the session's events go to.
    pub(super) fn attach(&mut self, session_key: Key<Session>, socket_key: SocketKey, now: Instant) {
        if self.sessions.get(session_key).is_some_and(|session| session.socket == Some(socket_key)) {
            return;
        }
        self.detach(session_key, now);
        // One session a socket: the one before goes on by polling, or on another socket.
        if let Some(before) = self.sockets.get(socket_key).and_then(|socket| socket.session) {
            self.detach(before, now);
        }
        let (Some(session), Some(socket)) =
            (self.sessions.get_mut(session_key), self.sockets.get_mut(socket_key))
        else {
            return;
        };
        session.socket = Some(socket_key);
        socket.session = Some(session_key);
        self.release(session_key);
    }

    /// Takes the session's events back from its socket.
    pub(super) fn detach(&mut self, session_key: Key<Session>, now: Instant) {
        let Some(socket_key) = self.sessions.get_mut(session_key).and_then(|it| it.socket.take()) else {
            return;
        };
        let Some(socket) = self.sockets.get_mut(socket_key) else { return };
        socket.session = None;
        let (owed, events) = (socket.outbox.owes(), socket.outbox.take_events());
        let mut settled = None;
        let owes = socket.outbox.owes() && !owed;
        if owes || socket.outbox.is_stream() {
            let (code, reason, grace) = (1000, "the session moved", Duration::ZERO);
            self.outputs.push_back(Output::Close { socket: socket_key, code, reason, grace });
        }
        if owes {
            // Whether the event that is partly written arrives is known when the socket is gone, which a client that left it need not wait for.
            settled = socket.owes.replace(session_key);
            if let Some(session) = self.sessions.get_mut(session_key) {
                session.in_doubt = true;
            }
        }
        self.put_back(session_key, events);
        if let Some(session) = settled {
            self.doubt_ends(session, [], now);
        }
    }

    /// Events that did not reach the client stand before those that came since.
    fn put_back(
        &mut self,
        key: Key<Session>,
        events: impl IntoIterator<Item = Event, IntoIter: DoubleEndedIterator>,
    ) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        for event in events.into_iter().rev() {
            session.queued_bytes += event.plain().frame().len();
            session.queue.push_front(event);
        }
        self.release(key);
    }

    /// It is known now what became of events that had left, and which of them are to be sent again.
    pub(super) fn doubt_ends(
        &mut self,
        key: Key<Session>,
        unseen: impl IntoIterator<Item = Event, IntoIter: DoubleEndedIterator>,
        now: Instant,
    ) {
        if let Some(session) = self.sessions.get_mut(key) {
            session.in_doubt = false;
            // Its client may have been reading all the time.
            let expires = session.expires.max(now + session.interval + self.settings.max_interval);
            session.live(expires, self.settings.max_interval);
            self.put_back(key, unseen);
        }
    }

    /// Sends what waits for a session on its way: to its socket, or with the next poll.
    fn release(&mut self, key: Key<Session>) {
        let Some(session) = self.sessions.get_mut(key).filter(|session| session.may_send()) else { return };
        let lazy = session.is_lazy();
        let socket_key = session.socket.filter(|_| !session.acks());
        if let Some((socket_key, socket)) = socket_key.and_then(|key| Some((key, self.sockets.get_mut(key)?)))
        {
            while let Some(event) = session.pop() {
                socket.outbox.event(event);
            }
            if !lazy {
                self.mark_dirty(socket_key);
            }
        } else if !lazy {
            self.touch(key);
        }
    }

    /// A socket is gone: its session waits for another, what was not written waits with it.
    pub(super) fn socket_closed(&mut self, key: SocketKey, now: Instant) {
        let Some(socket) = self.sockets.remove(key) else { return };
        self.stats.streams -= usize::from(socket.outbox.is_stream());
        let unwritten = socket.outbox.into_unwritten();
        if let Some(session_key) = socket.session {
            if let Some(session) = self.sessions.get_mut(session_key) {
                session.socket = None;
            }
            // Nobody can see the reply, but the session's time begins to run.
            self.wake(session_key, now);
            self.put_back(session_key, unwritten.events);
        }
        if let Some(owner) = socket.owes {
            self.doubt_ends(owner, unwritten.owed, now);
        }
        self.unanswered(unwritten.answers);
    }
}
