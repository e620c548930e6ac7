//! What open WebSockets and event streams have in common: the hub's knowledge of them, and the task that they run in.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::http::Server;
use super::link::Link;
use crate::hub::{Outbox, SocketKey};

/// The hub's knowledge of a connection; ends with this.
pub(super) struct Open {
    pub(super) server: Rc<Server>,
    pub(super) key: SocketKey,
}

/// A connection that is polled until it ends, and then finished.
pub(super) trait Run: Unpin {
    /// How it ends.
    type Exit;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Self::Exit>;

    fn finish(self, exit: Self::Exit);
}

/// The task of a connection.
pub(super) struct Task<C>(Option<C>);

// === impl Open ===

impl Open {
    /// Queues a frame of the transport's own, and writes what `link` takes.
    pub(super) fn send(&self, link: &Link, frame: Bytes) {
        let mut frame = Some(frame);
        self.server.hub.outbox(self.key, &mut |outbox| {
            if let Some(frame) = frame.take() {
                outbox.control(frame);
            }
            link.flush(outbox);
        });
    }

    /// Writes what `link` takes.
    pub(super) fn flush(&self, link: &Link) {
        self.server.hub.outbox(self.key, &mut |outbox| link.flush(outbox));
    }

    /// Looks at what is to be written.
    pub(super) fn outbox<T: Default>(&self, ask: impl Fn(&Outbox) -> T) -> T {
        let mut answer = T::default();
        self.server.hub.outbox(self.key, &mut |outbox| answer = ask(outbox));
        answer
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.server.hub.closed(self.key);
    }
}

// === impl Task ===

impl<C: Run> Task<C> {
    pub(super) fn new(connection: C) -> Self {
        Self(Some(connection))
    }
}

impl<C: Run> Future for Task<C> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(connection) = &mut self.0 else { return Poll::Ready(()) };
        let exit = ready!(connection.poll(cx));
        if let Some(connection) = self.0.take() {
            connection.finish(exit);
        }
        Poll::Ready(())
    }
}
