//! What a WebSocket is read from and written to: a connection of its own, or a stream of an HTTP/2 connection (RFC 8441).

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use hyper::rt::{Read as _, ReadBuf, Write as _};
use hyper::upgrade::Upgraded;
use tokio::io::AsyncWrite as _;

use crate::net::{Detached, Stream};
use crate::transport::http2::Hold;

/// Bytes of one write to a stream of HTTP/2, whose connection takes up to four of them ahead.
const CHUNK: usize = 32 * 1024;

thread_local! {
    /// Where slices are put together for a stream of HTTP/2.
    static CHUNKS: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// An open wire.
#[derive(Debug)]
pub(super) enum Wire {
    Connection(Stream),
    Stream(Box<Tunnel>),
}

/// A wire on its way to another thread.
#[derive(Debug)]
pub(super) enum Moving {
    Connection(Detached),
    /// Its connection stays where it is: the two ends of a stream may be on different threads.
    Stream(Box<Tunnel>),
}

/// A stream of an HTTP/2 connection.
#[derive(Debug)]
pub(super) struct Tunnel {
    io: RefCell<Upgraded>,
    _hold: Hold,
}

// === impl Wire ===

impl Wire {
    /// A stream of HTTP/2 whose connection is held open.
    pub(super) fn stream(io: Upgraded, hold: Hold) -> Self {
        Self::Stream(Box::new(Tunnel { io: RefCell::new(io), _hold: hold }))
    }

    /// Reads some bytes; 0 at the end.
    pub(super) fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Connection(stream) => stream.poll_read(cx, buffer),
            Self::Stream(tunnel) => {
                let mut buffer = ReadBuf::new(buffer);
                ready!(Pin::new(&mut *tunnel.io.borrow_mut()).poll_read(cx, buffer.unfilled()))?;
                Poll::Ready(Ok(buffer.filled().len()))
            }
        }
    }

    /// Writes some bytes without waiting. What was taken may still wait: see [`is_pending`](Self::is_pending).
    pub(super) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Connection(stream) => stream.try_write_vectored(slices),
            Self::Stream(tunnel) => tunnel.try_write(slices),
        }
    }

    /// Whether what was taken has to be written by [`try_flush`](Self::try_flush). HTTP/2 writes it by itself.
    pub(super) fn is_pending(&self) -> bool {
        matches!(self, Self::Connection(stream) if stream.is_pending())
    }

    /// Writes what was taken and waits, as far as that goes without waiting.
    pub(super) fn try_flush(&self) -> io::Result<()> {
        match self {
            Self::Connection(stream) => stream.try_flush(),
            Self::Stream(_) => Ok(()),
        }
    }

    /// Bytes that went out after they had been taken, counted since the start.
    pub(super) fn flushed(&self) -> u64 {
        match self {
            Self::Connection(stream) => stream.flushed(),
            Self::Stream(_) => 0,
        }
    }

    /// Waits until a write may succeed.
    pub(super) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Connection(stream) => stream.poll_write_ready(cx),
            Self::Stream(tunnel) => Pin::new(&mut *tunnel.io.borrow_mut()).poll_flush(cx),
        }
    }

    /// Writes all of `bytes`, and that nothing more comes.
    pub(super) async fn finish(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.try_write_vectored(&[IoSlice::new(bytes)]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    poll_fn(|cx| self.poll_write_ready(cx)).await?;
                }
                Err(error) => return Err(error),
            }
        }
        poll_fn(|cx| match self {
            Self::Connection(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Stream(tunnel) => Pin::new(tunnel.io.get_mut()).poll_shutdown(cx),
        })
        .await
    }

    /// Takes the wire from this thread.
    ///
    /// # Errors
    /// If the system refuses.
    pub(super) fn detach(self) -> io::Result<Moving> {
        match self {
            Self::Connection(stream) => stream.detach().map(Moving::Connection),
            Self::Stream(tunnel) => Ok(Moving::Stream(tunnel)),
        }
    }
}

// === impl Moving ===

impl Moving {
    /// Gives the wire to this thread.
    ///
    /// # Errors
    /// If the system refuses.
    pub(super) fn attach(self) -> io::Result<Wire> {
        match self {
            Self::Connection(stream) => stream.attach().map(Wire::Connection),
            Self::Stream(tunnel) => Ok(Wire::Stream(tunnel)),
        }
    }
}

// === impl Tunnel ===

impl Tunnel {
    /// Hands the connection a chunk, if it has room for one.
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        // Who waits for room asks for it by `poll_write_ready`.
        let mut cx = Context::from_waker(Waker::noop());
        let mut io = self.io.borrow_mut();
        let mut write = |bytes: &[u8]| match Pin::new(&mut *io).poll_write(&mut cx, bytes) {
            Poll::Ready(result) => result,
            Poll::Pending => Err(ErrorKind::WouldBlock.into()),
        };
        match slices {
            [slice] => write(slice.get(..CHUNK).unwrap_or(slice)),
            _ => CHUNKS.with_borrow_mut(|chunk| {
                chunk.clear();
                for slice in slices {
                    let left = CHUNK - chunk.len();
                    chunk.extend_from_slice(slice.get(..left).unwrap_or(slice));
                }
                write(chunk)
            }),
        }
    }
}
