//! Replies on their way: responses to HTTP requests, frames for sockets, and what becomes of them.

use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};

use super::request::{Exchange, More};
use super::session::Session;
use super::{Answer, Event, HttpId, Key, Outbox, Output, Response, Shard, SocketKey, Via};
use crate::stream::text_frame;

/// Bytes of a frame of replies (Jetty's clients refuse more than 64 KiB) and of a poll's body (1 MiB).
pub(super) const FRAME: usize = 60 * 1024;
pub(super) const POLL_BODY: usize = 1000 * 1024;

/// What an HTTP response took along, until it is known to be written.
#[derive(Debug)]
pub(super) struct Parcel {
    session: Option<Key<Session>>,
    events: Vec<Event>,
    answers: Vec<Answer>,
    /// Whether its events are acknowledged by the client: they are kept elsewhere.
    numbered: bool,
}

impl Shard {
    /// Sends the replies off if all of them are there.
    pub(super) fn complete_if_ready(&mut self, key: Key<Exchange>, now: Instant) {
        self.close_batch(key);
        let Some(replies) = self.exchanges.get_mut(key).and_then(|it| it.replies.poll_ready()) else {
            return;
        };
        let Some(mut exchange) = self.exchanges.remove(key) else { return };
        let more = exchange.more.take().map_or_else(More::default, |more| *more);
        match exchange.via {
            Via::Socket(socket) => self.send(socket, &replies, exchange.answers, more),
            Via::Http(http) => self.respond(http, replies, exchange, more, now),
        }
    }

    fn respond(&mut self, http: HttpId, replies: Vec<Bytes>, exchange: Exchange, more: More, now: Instant) {
        self.https.remove(&http);
        let lost = exchange.lost;
        let numbered = more.batch.is_some();
        let events = match (more.batch, exchange.events_of) {
            (Some((_, batch)), _) => batch,
            (None, Some(session)) if !lost => {
                let room = POLL_BODY.saturating_sub(replies.iter().map(|reply| reply.len() + 1).sum());
                self.take_queued(session, room)
            }
            _ => Vec::new(),
        };
        let mut objects: Vec<Bytes> = events.iter().map(|event| event.plain().event()).collect();
        objects.extend(more.notice);
        objects.extend(replies);
        let ack =
            exchange.events_of.filter(|_| numbered).and_then(|key| self.sessions.get_mut(key)?.ack_mut());
        let events = match ack {
            Some(ack) => {
                ack.writing += 1;
                Vec::new()
            }
            None => events,
        };
        let parcel = Parcel { session: exchange.events_of, events, answers: exchange.answers, numbered };
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
        let ready = self.sessions.get_mut(session).filter(|session| session.may_send() && !session.acks());
        let Some(session) = ready else { return Vec::new() };
        session.hurry();
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

    /// Queues replies for a socket, and the events that one of them closes in front of it.
    fn send(&mut self, key: SocketKey, replies: &[Bytes], answers: Vec<Answer>, more: More) {
        let Some(socket) = self.sockets.get_mut(key) else {
            self.unanswered(answers);
            return;
        };
        socket.waiting -= 1;
        if let Some(notice) = more.notice {
            put_frames(&mut socket.outbox, &[notice], Vec::new());
        }
        match more.batch {
            None => put_frames(&mut socket.outbox, replies, answers),
            Some((slot, batch)) => {
                let (before, rest) = replies.split_at(slot.min(replies.len()));
                let (closing, after) = rest.split_at(rest.len().min(1));
                // Answers are to publishes, so there is a reply before or behind.
                let (early, late) =
                    if after.is_empty() { (answers, Vec::new()) } else { (Vec::new(), answers) };
                if !before.is_empty() {
                    put_frames(&mut socket.outbox, before, early);
                }
                // One frame, so that a client has all of it or nothing: then it can tell the truth about the batch.
                let objects: Vec<Bytes> = batch.iter().map(|event| event.plain().event()).collect();
                socket.outbox.batch(text_frame(&array(&[objects.as_slice(), closing].concat())));
                if !after.is_empty() {
                    put_frames(&mut socket.outbox, after, late);
                }
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
        if let Some(Parcel { session: Some(session), events, numbered, .. }) = self.parcels.remove(&http) {
            if numbered {
                self.written(session, now);
            } else if !events.is_empty() {
                self.doubt_ends(session, [], now);
            }
        }
    }

    /// A response with a batch is not being written any more; whether it arrived the client will say.
    fn written(&mut self, key: Key<Session>, now: Instant) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let expires = session.expires.max(now + session.interval + self.settings.max_interval);
        session.live(expires, self.settings.max_interval);
        if let Some(ack) = session.ack_mut() {
            ack.writing = ack.writing.saturating_sub(1);
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
        if let Some(session) = parcel.session {
            if parcel.numbered {
                self.written(session, now);
            } else if !parcel.events.is_empty() {
                self.doubt_ends(session, parcel.events, now);
            }
        }
    }
}

/// Queues replies, as few frames as their size allows.
fn put_frames(outbox: &mut Outbox, replies: &[Bytes], mut answers: Vec<Answer>) {
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
        outbox.replies(frame, if done { std::mem::take(&mut answers) } else { Vec::new() });
        rest = later;
        if done {
            break;
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
