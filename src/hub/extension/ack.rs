//! Ack: a session keeps what it sent until its client says that it came.
//!
//! Events leave with the replies to connects only. Each such reply closes a batch and carries its number, 1, 2, 3 and so on; each
//! connect says the last number that its client has. What belongs to later ones is sent again, before anything new and under
//! a new number.

use std::collections::VecDeque;

use crate::bayeux::{self, AckReply, Message, Reply, ReplyExt};
use crate::hub::request::Exchange;
use crate::hub::response::{FRAME, POLL_BODY};
use crate::hub::session::Session;
use crate::hub::{Event, Key, Shard, Via};

/// The batches of one session.
#[derive(Debug, Default)]
pub(in crate::hub) struct Ack {
    /// The last number that was given.
    issued: u64,
    /// What was sent and is not acknowledged, in order.
    window: VecDeque<Event>,
    /// How many events were acknowledged: the number of the first in `window`.
    base: u64,
    /// Where batches end: those from a number on, up to the next entry, before that event. Ascending in both.
    ends: VecDeque<(u64, u64)>,
    /// The request whose connect is to close the next batch.
    closing: Option<Key<Exchange>>,
    /// Responses with batches that are being written.
    pub(in crate::hub) writing: usize,
}

/// A connect's reply that closes a batch. It is finished when all other replies of its request are there: only then it is
/// certain which events go before it.
#[derive(Debug)]
pub(in crate::hub) struct Closing {
    pub(in crate::hub) slot: usize,
    pub(in crate::hub) reply: Reply,
    pub(in crate::hub) ext: ReplyExt,
}

impl Ack {
    /// The client has the batches up to `number`: drops their events, and returns how many bytes that were.
    fn acknowledge(&mut self, number: u64) -> usize {
        // A number that was never given counts as the last that was.
        let number = number.min(self.issued);
        let mut bytes = 0;
        while let Some((_, end)) = self.ends.pop_front_if(|(first, _)| *first <= number) {
            while self.base < end
                && let Some(event) = self.window.pop_front()
            {
                self.base += 1;
                bytes += event.plain().frame().len();
            }
        }
        bytes
    }

    /// Begins the next batch: what is not acknowledged (unless it is on its way already), then what waits in `queue`, at most
    /// `room` bytes, but one event at least. Returns its number and events.
    fn close(&mut self, queue: &mut VecDeque<Event>, on_its_way: bool, room: usize) -> (u64, Vec<Event>) {
        self.issued += 1;
        let (mut batch, mut size) = (Vec::new(), 0);
        let mut fits = |event: &Event| {
            size += event.plain().event_len() + 1;
            size <= room
        };
        let again = if on_its_way { 0 } else { self.window.len() };
        for event in self.window.iter().take(again) {
            if !fits(event) && !batch.is_empty() {
                break;
            }
            batch.push(event.clone());
        }
        let whole = batch.len() == again;
        while whole && let Some(event) = queue.pop_front_if(|event| fits(event) || batch.is_empty()) {
            batch.push(event.clone());
            self.window.push_back(event);
        }
        let end = if whole { self.window.len() } else { batch.len() };
        let end = self.base + end as u64;
        // An earlier batch that ends later was not seen by a client that asks again: its number tells nothing any more.
        while self.ends.pop_back_if(|(_, later)| *later > end).is_some() {}
        if end > self.ends.back().map_or(self.base, |(_, end)| *end) {
            self.ends.push_back((self.issued, end));
        }
        (self.issued, batch)
    }

    /// Whether something that cannot wait must be sent again.
    fn owes(&self) -> bool {
        self.window.iter().any(|event| event.lazy.is_none())
    }

    /// The event that has waited longest for its acknowledgement.
    pub(in crate::hub) fn oldest(&self) -> Option<&Event> {
        self.window.front()
    }
}

impl Shard {
    /// Takes what a connect acknowledges; from now on it, and no request before it, may close a batch. Returns whether something was.
    pub(in crate::hub) fn acknowledge(&mut self, key: Key<Session>, message: &Message) -> bool {
        let Some(session) = self.sessions.get_mut(key) else { return false };
        let Some(ack) = session.ack_mut() else { return false };
        let superseded = ack.closing.take();
        let freed = match message.ext.as_ref().and_then(|ext| ext.ack) {
            Some(bayeux::Ack::Batch(number)) => ack.acknowledge(number),
            _ => 0,
        };
        session.queued_bytes = session.queued_bytes.saturating_sub(freed);
        if let Some(exchange) = superseded.and_then(|key| self.exchanges.get_mut(key)) {
            exchange.events_of = None;
        }
        freed > 0
    }

    /// Whether a connect that came by `via` must be answered at once, since what was sent before did not arrive.
    pub(in crate::hub) fn owes(&self, session: &Session, via: Via) -> bool {
        session.ack().is_some_and(|ack| !self.is_on_its_way(via) && ack.owes())
    }

    /// Whether what was sent before stands in the socket still: it has the batches of no session but the one that is attached.
    fn is_on_its_way(&self, via: Via) -> bool {
        matches!(via, Via::Socket(socket) if self.sockets.get(socket).is_some_and(|it| it.outbox.has_batch()))
    }

    /// Settles the reply to a connect of `session`, or keeps it until it can close a batch.
    pub(in crate::hub) fn settle_connect(
        &mut self,
        session: Key<Session>,
        key: Key<Exchange>,
        slot: usize,
        reply: Reply,
        ext: ReplyExt,
    ) {
        let ack = self.sessions.get_mut(session).and_then(Session::ack_mut);
        let (Some(ack), Some(exchange)) = (ack, self.exchanges.get_mut(key)) else {
            return self.settle(key, slot, reply.ext(&ext).finish());
        };
        ack.closing = Some(key);
        // Of two connects in one request the later one closes the batch.
        let before = exchange.more.get_or_insert_default().closing.replace(Closing { slot, reply, ext });
        if let Some(Closing { slot, reply, ext }) = before {
            exchange.replies.settle(slot, reply.ext(&ext).finish());
        }
    }

    /// Finishes the reply that closes a batch, if nothing else of its request is missing.
    pub(in crate::hub) fn close_batch(&mut self, key: Key<Exchange>) {
        let Some(exchange) = self.exchanges.get_mut(key) else { return };
        let Some(more) = exchange.more.as_mut().filter(|_| exchange.replies.open_slots() == 1) else {
            return;
        };
        let Some(Closing { slot, reply, mut ext }) = more.closing.take() else { return };
        // One that was overtaken carries neither events nor a number: they would be newer than its number says.
        let session = exchange.events_of.filter(|_| !exchange.lost);
        let via = exchange.via;
        let room = match via {
            Via::Http(_) => POLL_BODY.saturating_sub(exchange.replies.size() + reply.size()),
            Via::Socket(_) => FRAME.saturating_sub(reply.size()),
        };
        let batch = session.and_then(|session| self.next_batch(session, via, room));
        let Some(exchange) = self.exchanges.get_mut(key) else { return };
        if let Some((number, events)) = batch {
            ext.ack = Some(AckReply::Batch(number));
            exchange.more.get_or_insert_default().batch = Some((slot, events));
        }
        exchange.replies.settle(slot, reply.ext(&ext).finish());
    }

    fn next_batch(&mut self, key: Key<Session>, via: Via, room: usize) -> Option<(u64, Vec<Event>)> {
        if let Via::Socket(socket) = via {
            // What cannot be read any more needs no number.
            self.sockets.get(socket)?;
        }
        let on_its_way = self.is_on_its_way(via);
        let session = self.sessions.get_mut(key)?;
        session.hurry();
        let ack = session.extras.as_mut()?.ack.as_mut()?;
        let batch = ack.close(&mut session.queue, on_its_way, room);
        session.shrink();
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::tests::event;

    fn queue(numbers: std::ops::Range<i64>) -> VecDeque<Event> {
        numbers.map(|n| event("/a", n)).collect()
    }

    fn numbers(batch: &[Event]) -> Vec<String> {
        let text = |event: &Event| String::from_utf8(event.plain().event().to_vec()).unwrap();
        batch
            .iter()
            .map(|event| text(event).replace(r#"{"channel":"/a","data":"#, "").replace('}', ""))
            .collect()
    }

    const ROOM: usize = 10_000;

    #[test]
    fn what_is_not_acknowledged_comes_again_before_what_is_new() {
        let mut ack = Ack::default();
        let (number, batch) = ack.close(&mut queue(1..3), false, ROOM);
        assert_eq!((number, numbers(&batch)), (1, vec!["1".into(), "2".into()]));
        let (number, batch) = ack.close(&mut queue(3..4), false, ROOM);
        assert_eq!((number, numbers(&batch)), (2, vec!["1".into(), "2".into(), "3".into()]));
        assert!(ack.acknowledge(1) > 0);
        let (number, batch) = ack.close(&mut queue(4..5), false, ROOM);
        assert_eq!((number, numbers(&batch)), (3, vec!["3".into(), "4".into()]));
        ack.acknowledge(3);
        assert!(ack.close(&mut queue(0..0), false, ROOM).1.is_empty());
        assert_eq!((ack.base, ack.ends.len()), (4, 0));
    }

    #[test]
    fn numbers_that_go_back_or_ahead_lose_nothing_that_was_not_sent() {
        let mut ack = Ack::default();
        ack.close(&mut queue(1..2), false, ROOM);
        assert!(ack.acknowledge(99) > 0);
        ack.close(&mut queue(2..3), false, ROOM);
        assert_eq!(ack.acknowledge(0), 0);
        assert_eq!(ack.acknowledge(1), 0);
        assert_eq!(numbers(&ack.close(&mut queue(3..4), false, ROOM).1), ["2", "3"]);
    }

    #[test]
    fn an_acknowledgement_drops_what_its_batch_had_room_for() {
        let mut ack = Ack::default();
        let length = event("/a", 1).plain().event_len() + 1;
        let mut waiting = queue(1..6);
        assert_eq!(numbers(&ack.close(&mut waiting, false, 3 * length).1), ["1", "2", "3"]);
        // By another transport, say, which takes less.
        assert_eq!(numbers(&ack.close(&mut waiting, false, 2 * length).1), ["1", "2"]);
        assert_eq!(numbers(&ack.close(&mut waiting, false, 1).1), ["1"]);
        ack.acknowledge(3);
        assert_eq!(numbers(&ack.close(&mut waiting, false, 1).1), ["2"]);
        assert_eq!(numbers(&ack.close(&mut waiting, false, 3 * length).1), ["2", "3", "4"]);
        // The first of the two.
        ack.acknowledge(4);
        assert_eq!(numbers(&ack.close(&mut waiting, false, ROOM).1), ["3", "4", "5"]);
        assert_eq!((ack.base, ack.ends.len()), (2, 2));
    }

    #[test]
    fn what_a_socket_still_has_is_not_given_to_it_again() {
        let mut ack = Ack::default();
        ack.close(&mut queue(1..3), false, ROOM);
        let (_, batch) = ack.close(&mut queue(3..4), true, ROOM);
        assert_eq!(numbers(&batch), ["3"]);
        ack.acknowledge(2);
        assert_eq!(ack.base, 3);
    }
}
