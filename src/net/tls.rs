//! A TLS session over a TCP stream: writes without waiting where the socket accepts, and can move to another thread.
//!
//! Both are what the gateway needs and libraries for asynchronous streams do not give: events are written from the shard's loop, and
//! a WebSocket moves to the shard of its session. Server and client sides are the same here.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice, Read as _, Write as _};
use std::net::Shutdown;
use std::task::{Context, Poll, ready};

use rustls::Connection;
use socket2::SockRef;
use tokio::net::TcpStream;

/// Bytes of plain text that one write turns into records, and so about what waits at most for a peer that does not read.
const AHEAD: usize = 64 * 1024;

/// A TLS stream whose handshake is done.
pub(super) struct Tls {
    stream: TcpStream,
    session: RefCell<Connection>,
    /// Bytes that the socket took, wrapping.
    sent: Cell<u64>,
}

/// The socket as rustls reads and writes it: never waiting.
struct Socket<'a>(&'a TcpStream);

// === impl Tls ===

impl Tls {
    /// Shakes hands.
    ///
    /// # Errors
    /// What the socket says, `InvalidData` for what TLS does not allow (the peer is told), `UnexpectedEof`.
    pub(super) async fn handshake(stream: TcpStream, session: Connection) -> io::Result<Self> {
        let mut tls = Self::resume(stream, session);
        tls.session.get_mut().set_buffer_limit(Some(AHEAD));
        poll_fn(|cx| tls.poll_handshake(cx)).await?;
        Ok(tls)
    }

    /// A session that goes on over the same stream on another thread.
    pub(super) fn resume(stream: TcpStream, session: Connection) -> Self {
        Self { stream, session: RefCell::new(session), sent: Cell::new(0) }
    }

    pub(super) fn into_parts(self) -> (TcpStream, Connection) {
        (self.stream, self.session.into_inner())
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_flush(cx))?;
            let session = &mut *self.session.borrow_mut();
            if !session.is_handshaking() && !session.wants_write() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.stream.poll_read_ready(cx))?;
            if let Some(0) = self.fill(session)? {
                return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Reads some; 0 at the end, also where the peer did not announce it: all that is spoken over TLS here says itself where it ends.
    pub(super) fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let session = &mut *self.session.borrow_mut();
        loop {
            match session.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Poll::Ready(Ok(0)),
                result => return Poll::Ready(result),
            }
            ready!(self.stream.poll_read_ready(cx))?;
            self.fill(session)?;
        }
    }

    /// Takes what the socket has; `None` if that was nothing.
    fn fill(&self, session: &mut Connection) -> io::Result<Option<usize>> {
        let count = match session.read_tls(&mut Socket(&self.stream)) {
            Ok(count) => count,
            Err(error) if is_transient(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        if let Err(error) = session.process_new_packets() {
            // The alert that says why; if it cannot go out, the peer will see the end alone.
            let _ = session.write_tls(&mut Socket(&self.stream));
            return Err(io::Error::new(ErrorKind::InvalidData, error));
        }
        Ok(Some(count))
    }

    /// Writes some of `slices`, 64 KiB at most. What was taken may still wait in the session: see [`is_pending`](Self::is_pending).
    pub(super) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let session = &mut *self.session.borrow_mut();
        self.flush(session)?;
        let count = session.writer().write_vectored(slices)?;
        match self.flush(session) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(count),
        }
    }

    /// Whether something that was taken does not yet go out.
    pub(super) fn is_pending(&self) -> bool {
        self.session.borrow().wants_write()
    }

    /// Bytes that went out since this was made, wrapping.
    pub(super) fn sent(&self) -> u64 {
        self.sent.get()
    }

    /// Writes what waits.
    pub(super) fn try_flush(&self) -> io::Result<()> {
        self.flush(&mut self.session.borrow_mut())
    }

    fn flush(&self, session: &mut Connection) -> io::Result<()> {
        while session.wants_write() {
            match session.write_tls(&mut Socket(&self.stream)) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(count) => self.sent.set(self.sent.get().wrapping_add(count as u64)),
            }
        }
        Ok(())
    }

    /// Writes what waits, all of it.
    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.try_flush() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(self.stream.poll_write_ready(cx))?;
                }
                result => return Poll::Ready(result),
            }
        }
    }

    /// Tells the peer that nothing more comes.
    pub(super) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.session.borrow_mut().send_close_notify();
        ready!(self.poll_flush(cx))?;
        Poll::Ready(SockRef::from(&self.stream).shutdown(Shutdown::Write))
    }

    pub(super) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_write_ready(cx)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("stream", &self.stream).finish_non_exhaustive()
    }
}

/// Whether it may work when the socket is ready again.
fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

// === impl Socket ===

impl io::Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl io::Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
