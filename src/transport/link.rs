//! The writing end of a WebSocket or event stream: straight from the shard's loop to the kernel, but for TLS and HTTP/2.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, IoSlice};
use std::task::Waker;
use std::time::Duration;

use super::wire::Wire;
use crate::hub::Outbox;

/// Slices of a usual write, and of one after which more waited (the kernel takes at most 1024).
const FEW: usize = 16;
const MANY: usize = 512;
/// Most bytes that one socket writes before others have their turn.
const TURN: usize = 256 * 1024;

/// A WebSocket or event stream as the shard's loop sees it: write without waiting, or leave it to the connection's task.
///
/// Reading, and waiting until the peer accepts more, is the task's.
#[derive(Debug)]
pub struct Link {
    wire: Wire,
    /// Whether something waits that the task must write when the socket accepts more.
    blocked: Cell<bool>,
    /// Whether a write failed.
    broken: Cell<bool>,
    /// Bytes written since the start, wrapping: what tells slow from stuck.
    written: Cell<u64>,
    /// Whether the task wants to know when everything is written.
    watched: Cell<bool>,
    close: Cell<Option<Close>>,
    task: RefCell<Option<Waker>>,
}

/// How the hub wants a socket closed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Close {
    pub(super) code: u16,
    pub(super) reason: &'static str,
    /// How long the client may take to close by itself.
    pub(super) grace: Duration,
}

// === impl Link ===

impl Link {
    pub(super) fn new(wire: Wire) -> Self {
        Self {
            wire,
            blocked: Cell::new(false),
            broken: Cell::new(false),
            written: Cell::new(0),
            watched: Cell::new(false),
            close: Cell::new(None),
            task: RefCell::new(None),
        }
    }

    /// Writes what `outbox` holds, all of it or as much as the socket accepts now; the connection's task writes the rest by and by.
    pub fn flush(&self, outbox: &mut Outbox) {
        self.blocked.set(false);
        let mut left = TURN;
        while !outbox.is_empty() && !self.broken.get() && !self.blocked.get() {
            if left == 0 {
                self.block();
                break;
            }
            // Most writes are small; room for many slices costs more than it brings there.
            let written = if left == TURN { self.write::<FEW>(outbox) } else { self.write::<MANY>(outbox) };
            left = left.saturating_sub(written);
        }
        if self.wire.is_pending() && !self.broken.get() && !self.blocked.get() {
            self.check(self.wire.try_flush());
        }
        if self.watched.get() {
            self.wake();
        }
    }

    /// Closes the socket with `code` and `reason` when what waits is written. The client has `grace` to close first.
    pub fn close(&self, code: u16, reason: &'static str, grace: Duration) {
        self.close.set(Some(Close { code, reason, grace }));
        self.wake();
    }

    fn write<const SLICES: usize>(&self, outbox: &mut Outbox) -> usize {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let filled = outbox.fill(&mut slices);
        match self.wire.try_write_vectored(slices.get(..filled).unwrap_or_default()) {
            Ok(count) if count > 0 => {
                outbox.wrote(count);
                self.written.set(self.written.get().wrapping_add(count as u64));
                return count;
            }
            Ok(_) => self.check(Err(ErrorKind::WriteZero.into())),
            Err(error) => self.check(Err(error)),
        }
        0
    }

    /// What becomes of the wire by the result of a write.
    fn check(&self, result: io::Result<()>) {
        match result {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.block(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => {
                self.broken.set(true);
                self.wake();
            }
        }
    }

    fn block(&self) {
        self.blocked.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.task.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    pub(super) fn set_task(&self, waker: &Waker) {
        let mut task = self.task.borrow_mut();
        match task.as_mut() {
            Some(known) => known.clone_from(waker),
            None => *task = Some(waker.clone()),
        }
    }

    pub(super) fn watch(&self, watched: bool) {
        self.watched.set(watched);
    }

    pub(super) fn take_close(&self) -> Option<Close> {
        self.close.take()
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.get()
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken.get()
    }

    pub(super) fn written(&self) -> u64 {
        self.written.get().wrapping_add(self.wire.flushed())
    }

    pub(super) fn wire(&self) -> &Wire {
        &self.wire
    }

    pub(super) fn into_wire(self) -> Wire {
        self.wire
    }
}
