//! Replies on their way: responses to HTTP requests, frames for sockets, and what becomes of them.

use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};

use super::request::Exchange;
use super::session::Session;
use super::{Answer, Event, HttpId, Key, Output, Response, Shard, SocketKey, Via};
use crate::stream::text_frame;

/// Bytes of a frame of replies (Jetty's clients refuse more than 64 KiB) and of a poll's body (1 MiB).
const FRAME: usize = 60 * 1024;
const POLL_BODY: usize = 1000 * 1024;

/// What an HTTP response took along, until it is known to be written.
#[derive(Debug)]
pub(super) struct Parcel {
    session: Option<Key<Session>>,
    events: Vec<Event>,
    answers: Vec<Answer>,
}

impl Shard {
    /// Sends the replies off if all of them are there.
    pub(super) fn complete_if_ready(&mut self, key: Key<Exchange>, now: Instant) {
        let Some(replies) = self.exchanges.get_mut(key).and_then(|it| it.replies.poll_ready()) else {
            return;
        };
        let Some(exchange) = self.exchanges.remove(key) else { return };
        match exchange.via {
            Via::Socket(socket) => self.send_frames(socket, &replies, exchange.answers),
            Via::Http(http) => self.respond(http, replies, exchange, now),
        }
    }

    fn respond(&mut self, http: HttpId, replies: Vec<Bytes>, exchange: Exchange, now: Instant) {
        self.https.remove(&http);
        let lost = exchange.lost;
        let events = match exchange.events_of {
            Some(session) if !lost => {
                let room = POLL_BODY.saturating_sub(replies.iter().map(|reply| reply.len() + 1).sum());
                self.take_queued(session, room)
            }
            _ => Vec::new(),
        };
        let mut objects: Vec<Bytes> = events.iter().map(|event| event.plain().event()).collect();
        objects.extend(replies);
        let parcel = Parcel { session: exchange.events_of, events, answers: exchange.answers };
        self.parcels.insert(http, parcel);
        if lost {
            self.lost(http, now);
        } else {
            self.outputs
                .push_back(Output::Respond(http, Response { objects, browser: exchange.set_browser }));
        }
    }

    /// Up to `bytes` of what waits for a session, at least one event if there is any. Until it is known whether it arrived, no more is taken.
    fn take_queued(&mut self, session: Key<Session>, bytes: usize) -> Vec<Event> {
        let ready = self.sessions.get_mut(session).filter(|session| session.has_ready());
        let Some(session) = ready else { return Vec::new() };
        let mut taken = Vec::new();
        let mut size = 0;
        while let Some(event) = session.queue.front() {
            let length = event.plain().event_len() + 1;
            if !taken.is_empty() && size + length > bytes {
                break;
            }
            size += length;
            taken.extend(session.pop());
        }
        session.in_doubt = true;
        taken
    }

    /// Queues replies for a socket, as few frames as their size allows.
    fn send_frames(&mut self, key: SocketKey, replies: &[Bytes], mut answers: Vec<Answer>) {
        let Some(socket) = self.sockets.get_mut(key) else {
            self.unanswered(answers);
            return;
        };
        socket.waiting -= 1;
        let mut rest = replies;
        loop {
            let mut size = 2;
            let count = rest
                .iter()
                .take_while(|reply| {
                    size += reply.len() + 1;
                    size <= FRAME
                })
                .count()
                .max(usize::from(!rest.is_empty()));
            let (now_sent, later) = rest.split_at(count);
            let done = later.is_empty();
            let frame = text_frame(&array(now_sent));
            // Answers travel with the last frame: until it is written, the client may not have seen them.
            socket.outbox.replies(frame, if done { std::mem::take(&mut answers) } else { Vec::new() });
            rest = later;
            if done {
                break;
            }
        }
        self.mark_dirty(key);
        self.close_if_quiet(key);
    }

    /// Closes a socket once none of its requests waits for anything.
    pub(super) fn close_when_quiet(
        &mut self,
        key: SocketKey,
        code: u16,
        reason: &'static str,
        grace: Duration,
    ) {
        if let Some(socket) = self.sockets.get_mut(key) {
            socket.close = Some((code, reason, grace));
            self.close_if_quiet(key);
        }
    }

    fn close_if_quiet(&mut self, key: SocketKey) {
        if let Some(socket) = self.sockets.get_mut(key)
            && socket.waiting == 0
            && let Some((code, reason, grace)) = socket.close.take()
        {
            self.outputs.push_back(Output::Close { socket: key, code, reason, grace });
        }
    }

    /// A response was written.
    pub(super) fn taken(&mut self, http: HttpId, now: Instant) {
        if let Some(Parcel { session: Some(session), events, .. }) = self.parcels.remove(&http)
            && !events.is_empty()
        {
            self.doubt_ends(session, [], now);
        }
    }

    /// An HTTP request or its response is gone, and the client cannot have read the response.
    pub(super) fn lost(&mut self, http: HttpId, now: Instant) {
        if let Some(key) = self.https.get(&http).copied() {
            if let Some(exchange) = self.exchanges.get_mut(key) {
                exchange.lost = true;
            }
            self.drop_held(http, now);
        }
        let Some(parcel) = self.parcels.remove(&http) else { return };
        self.unanswered(parcel.answers);
        if let Some(session) = parcel.session
            && !parcel.events.is_empty()
        {
            self.doubt_ends(session, parcel.events, now);
        }
    }
}

/// `[a,b,…]` of JSON objects.
fn array(objects: &[Bytes]) -> Bytes {
    let mut out = BytesMut::with_capacity(objects.iter().map(|object| object.len() + 1).sum::<usize>() + 2);
    out.put_u8(b'[');
    for (n, object) in objects.iter().enumerate() {
        if n > 0 {
            out.put_u8(b',');
        }
        out.put_slice(object);
    }
    out.put_u8(b']');
    out.freeze()
}
