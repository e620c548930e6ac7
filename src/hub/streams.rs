//! Event streams: whose they are, and what they say when that is nobody. And requests that wait behind a held connect.

use std::time::{Duration, Instant};

use super::session::Session;
use super::{HttpId, Key, Output, Shard, SocketKey};
use crate::bayeux::{Error, Reply};
use crate::stream::event_block;

impl Shard {
    /// An event stream opened: it brings the events of a session from now on, or says that there is none.
    pub(super) fn stream_opened(
        &mut self,
        socket: SocketKey,
        client_id: &str,
        browser: Option<&str>,
        now: Instant,
    ) {
        let session = self.client_ids.get(client_id).copied().filter(|key| {
            self.sessions.get_mut(*key).is_some_and(|session| {
                // A sign of life.
                let expires = session.expires.max(now + self.settings.max_interval);
                session.live(expires, self.settings.max_interval);
                session.is_of(browser)
            })
        });
        match session {
            // What is acknowledged comes with connects only.
            Some(session) if self.sessions.get(session).is_some_and(Session::acks) => {
                self.close_when_quiet(socket, 1000, "the session acknowledges", Duration::ZERO);
            }
            Some(session) if self.draining.is_none() => self.attach(session, socket, now),
            Some(_) => self.going_away(socket),
            None => {
                let error = self.why_unknown(client_id);
                self.stats.refused += 1;
                self.end_stream(socket, &error);
            }
        }
    }

    /// Tells by an event stream that its session is gone, and closes it.
    pub(super) fn end_stream(&mut self, socket: SocketKey, error: &Error) {
        let Some(state) = self.sockets.get_mut(socket) else { return };
        state.outbox.control(event_block(&Reply::session_gone(error)));
        self.mark_dirty(socket);
        let (code, reason, grace) = (1000, "the session is gone", Duration::ZERO);
        self.outputs.push_back(Output::Close { socket, code, reason, grace });
    }

    pub(super) fn has_stream(&self, session: Key<Session>) -> bool {
        let socket = self.sessions.get(session).and_then(|session| self.sockets.get(session.socket?));
        socket.is_some_and(|socket| socket.outbox.is_stream())
    }

    /// Answers a connect that is held while another request waits behind it, not too often.
    pub(super) fn hurry(&mut self, http: HttpId, now: Instant) {
        let exchange = self.https.get(&http).and_then(|key| self.exchanges.get(*key));
        let Some(session_key) = exchange.and_then(|exchange| exchange.events_of) else { return };
        let Some(session) = self.sessions.get_mut(session_key) else { return };
        let Some(held) = session.held.as_mut().filter(|held| held.http == Some(http)) else { return };
        match session.pace.delay(now) {
            None => self.wake(session_key, now),
            Some(delay) => {
                let deadline = held.deadline.min(now + delay);
                held.deadline = deadline;
                self.schedule(session_key, deadline);
            }
        }
    }
}
