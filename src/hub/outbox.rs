//! What waits to be written to one socket, in order, across partial writes.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::Answer;
use crate::stream::Record;

/// A record on its way to sessions of one shard. Counted without atomics, so that a delivery costs no shared cache line.
pub type Event = Rc<Arc<Record>>;

/// Bytes that one write may take (design: at most 256 KiB a turn).
const TURN: usize = 256 * 1024;

/// Slots that stay allocated while nothing waits.
const IDLE_CAPACITY: usize = 64;

/// How events look on a socket. Never changes: bytes are counted out as they were counted in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Format {
    /// Frames of a WebSocket that takes no others.
    #[default]
    Plain,
    /// Compressed frames.
    Compressed,
    /// Blocks of an event stream.
    Blocks,
}

/// The write queue of a WebSocket or event stream. Frames leave whole and in order; what was written in part is never dropped.
#[derive(Debug, Default)]
pub struct Outbox {
    format: Format,
    items: VecDeque<Item>,
    /// Bytes of the first item that are written already.
    written: usize,
    event_bytes: usize,
    reply_bytes: usize,
    /// Whether the first item is an event of a session that left, written in part.
    owes: bool,
    /// Batches that wait.
    batches: u32,
}

#[derive(Debug)]
enum Item {
    Event(Event),
    Replies(Box<Replies>),
}

/// One frame of replies, and the publishes that it answers.
#[derive(Debug)]
struct Replies {
    frame: Bytes,
    answers: Vec<Answer>,
    /// Whether it is a batch of events with the reply that closes it.
    batch: bool,
}

/// What an outbox held when its socket went away.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    /// The event, written in part, of a session that had left.
    pub(super) owed: Option<Event>,
    pub(super) events: VecDeque<Event>,
    pub(super) answers: Vec<Answer>,
}

// === impl Item ===

impl Item {
    fn bytes(&self, format: Format) -> &Bytes {
        match self {
            Self::Event(event) => format.bytes(event),
            Self::Replies(replies) => &replies.frame,
        }
    }
}

// === impl Format ===

impl Format {
    fn bytes(self, event: &Event) -> &Bytes {
        match self {
            Self::Plain => event.plain().frame(),
            Self::Compressed => event.plain().compressed_frame(),
            Self::Blocks => event.block(),
        }
    }
}

// === impl Outbox ===

impl Outbox {
    /// For a socket that takes compressed frames, or only plain ones.
    pub(super) fn new(compressed: bool) -> Self {
        let format = if compressed { Format::Compressed } else { Format::Plain };
        Self { format, ..Self::default() }
    }

    /// An empty one of an event stream.
    pub(super) fn of_stream() -> Self {
        Self { format: Format::Blocks, ..Self::default() }
    }

    /// Whether it is an event stream's.
    pub(super) fn is_stream(&self) -> bool {
        self.format == Format::Blocks
    }

    /// Queues an event; how many bytes that are.
    pub(super) fn event(&mut self, event: Event) -> usize {
        let size = self.format.bytes(&event).len();
        self.event_bytes += size;
        self.items.push_back(Item::Event(event));
        size
    }

    /// Queues a frame of replies.
    pub(super) fn replies(&mut self, frame: Bytes, answers: Vec<Answer>) {
        self.reply_bytes += frame.len();
        self.items.push_back(Item::Replies(Box::new(Replies { frame, answers, batch: false })));
    }

    /// Queues a batch of events with the reply that closes it. With its session it leaves the socket.
    pub(super) fn batch(&mut self, frame: Bytes) {
        self.reply_bytes += frame.len();
        self.batches += 1;
        self.items.push_back(Item::Replies(Box::new(Replies { frame, answers: Vec::new(), batch: true })));
    }

    /// Whether a batch waits.
    pub(super) fn has_batch(&self) -> bool {
        self.batches > 0
    }

    /// Queues bytes of the transport's own, such as a pong or a head; they count with the replies.
    pub fn control(&mut self, frame: Bytes) {
        self.replies(frame, Vec::new());
    }

    /// Points `slices` at what is to be written next, as many as fit and at most 256 KiB, and returns how many it filled.
    pub fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut bytes = 0;
        let mut filled = 0;
        let mut skip = self.written;
        for (slice, item) in slices.iter_mut().zip(&self.items) {
            if bytes >= TURN {
                break;
            }
            let rest = item.bytes(self.format).get(skip..).unwrap_or_default();
            *slice = IoSlice::new(rest);
            bytes += rest.len();
            filled += 1;
            skip = 0;
        }
        filled
    }

    /// `count` bytes of what [`fill`](Self::fill) gave are with the kernel now.
    pub fn wrote(&mut self, count: usize) {
        self.written += count;
        while let Some(first) = self.items.front() {
            let length = first.bytes(self.format).len();
            if self.written < length {
                break;
            }
            self.written -= length;
            match self.items.pop_front() {
                Some(Item::Event(_)) => {
                    self.event_bytes -= length;
                    self.owes = false;
                }
                Some(Item::Replies(replies)) => {
                    self.reply_bytes -= length;
                    self.batches -= u32::from(replies.batch);
                }
                None => {}
            }
        }
        if self.items.is_empty() && self.items.capacity() > IDLE_CAPACITY {
            self.items.shrink_to(IDLE_CAPACITY);
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// What is missing of a frame that is written in part; empty if none is.
    pub fn rest(&self) -> Bytes {
        match self.items.front() {
            Some(first) if self.written > 0 => first.bytes(self.format).slice(self.written..),
            _ => Bytes::new(),
        }
    }

    /// Bytes of replies that wait: what a reader of requests is held back by.
    pub fn reply_bytes(&self) -> usize {
        self.reply_bytes
    }

    /// Bytes of events that wait: what makes a client a slow one.
    pub(super) fn event_bytes(&self) -> usize {
        self.event_bytes
    }

    /// Whether an event of a session that left is written in part.
    pub(super) fn owes(&self) -> bool {
        self.owes
    }

    /// Takes the events back, for another transport, and drops batches, which their session keeps; replies stay, and so does a frame
    /// that is partly written: that is owed then.
    pub(super) fn take_events(&mut self) -> VecDeque<Event> {
        let mut events = VecDeque::new();
        let mut kept = VecDeque::new();
        self.owes = self.written > 0 && matches!(self.items.front(), Some(Item::Event(_)));
        for item in self.items.drain(..) {
            let whole = self.written == 0 || !kept.is_empty();
            match item {
                Item::Event(event) if whole => {
                    self.event_bytes -= self.format.bytes(&event).len();
                    events.push_back(event);
                }
                Item::Replies(replies) if whole && replies.batch => {
                    self.reply_bytes -= replies.frame.len();
                    self.batches -= 1;
                }
                mut other => {
                    // A batch that is partly written is nobody's from here on.
                    if let Item::Replies(replies) = &mut other
                        && std::mem::take(&mut replies.batch)
                    {
                        self.batches -= 1;
                    }
                    kept.push_back(other);
                }
            }
        }
        self.items = kept;
        events
    }

    /// Takes everything out. The peer cannot have seen the whole of a frame that was written in part, so it counts as unwritten.
    pub(super) fn into_unwritten(mut self) -> Unwritten {
        let mut unwritten = Unwritten::default();
        if let Some(Item::Event(event)) = self.items.pop_front_if(|_| self.owes) {
            unwritten.owed = Some(event);
        }
        for item in self.items {
            match item {
                Item::Event(event) => unwritten.events.push_back(event),
                Item::Replies(replies) => unwritten.answers.extend(replies.answers),
            }
        }
        unwritten
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::tests::{event, event_of};

    fn drain(outbox: &mut Outbox, step: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while !outbox.is_empty() {
            let mut slices = [IoSlice::new(&[]); 4];
            let filled = outbox.fill(&mut slices);
            let bytes: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
            let written = step.min(bytes.len());
            out.extend_from_slice(&bytes[..written]);
            outbox.wrote(written);
        }
        out
    }

    #[test]
    fn partial_writes_lose_and_repeat_nothing() {
        for step in 1..40 {
            let mut outbox = Outbox::default();
            let mut expected = Vec::new();
            for n in 0..7 {
                let event = event("/a", n);
                expected.extend_from_slice(event.plain().frame());
                outbox.event(event);
                let reply = Bytes::from(format!("reply {n}"));
                expected.extend_from_slice(&reply);
                outbox.replies(reply, Vec::new());
            }
            assert_eq!(drain(&mut outbox, step), expected);
            assert_eq!((outbox.event_bytes(), outbox.reply_bytes()), (0, 0));
        }
    }

    #[test]
    fn compressed_frames_are_shared_and_counted_as_they_are() {
        let large = format!("\"{}\"", "x".repeat(3000));
        for step in [1, 7, 1000] {
            let mut outbox = Outbox::new(true);
            let mut other = Outbox::new(true);
            let mut plain = Outbox::new(false);
            let mut expected = Vec::new();
            for n in 0..4 {
                let event = if n % 2 == 0 { event("/a", n) } else { event_of("/a", &large) };
                expected.extend_from_slice(event.plain().compressed_frame());
                assert_eq!(outbox.event(event.clone()), event.plain().compressed_frame().len());
                other.event(event.clone());
                plain.event(event);
            }
            assert_eq!((outbox.event_bytes(), other.event_bytes()), (expected.len(), expected.len()));
            assert!(expected.len() < 300 && plain.event_bytes() > 6000);
            let [mut ours, mut others] = [[IoSlice::new(&[]); 4]; 2];
            assert_eq!((outbox.fill(&mut ours), other.fill(&mut others)), (4, 4));
            assert_eq!(ours.each_ref().map(|it| it.as_ptr()), others.each_ref().map(|it| it.as_ptr()));
            // The second event, written in part, stays; what moves on is counted out as it was counted in.
            let [first, second] = [ours[0].len(), ours[1].len()];
            let rest = &expected[first + 1..first + second];
            other.wrote(first + 1);
            assert_eq!(other.rest(), rest);
            assert_eq!(other.take_events().len(), 2);
            assert_eq!(other.event_bytes(), rest.len() + 1);
            assert_eq!(drain(&mut other, step), rest);
            assert_eq!((other.event_bytes(), other.rest()), (0, Bytes::new()));
            assert_eq!(drain(&mut outbox, step), expected);
            assert_eq!(outbox.event_bytes(), 0);
            plain.wrote(plain.event_bytes());
            assert!(plain.is_empty());
        }
    }

    #[test]
    fn a_frame_written_in_part_stays_when_events_move_on() {
        let mut outbox = Outbox::default();
        outbox.event(event("/a", 1));
        outbox.event(event("/a", 2));
        outbox.replies(Bytes::from_static(b"r"), Vec::new());
        outbox.wrote(3);
        let moved = outbox.take_events();
        assert_eq!(moved.len(), 1);
        let rest = drain(&mut outbox, 99);
        let first = event("/a", 1);
        assert_eq!(rest, [&first.plain().frame()[3..], b"r"].concat());
        assert_eq!(outbox.event_bytes(), 0);
    }

    #[test]
    fn a_lost_socket_gives_back_what_the_peer_cannot_have_seen() {
        let mut outbox = Outbox::default();
        outbox.event(event("/a", 1));
        outbox.event(event("/a", 2));
        let first = event("/a", 1).plain().frame().len();
        outbox.wrote(first + 1);
        assert_eq!(outbox.into_unwritten().events.len(), 1);
    }
}
