//! The stream of a connection: plain TCP, or TLS over it.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustls::Connection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::places::Place;
use super::tls::Tls;

/// An open stream of one connection.
#[derive(Debug)]
pub struct Stream(Kind, Option<Place>);

#[derive(Debug)]
enum Kind {
    Plain(TcpStream),
    Tls(Box<Tls>),
}

/// A stream on its way from one thread's runtime to another's.
#[derive(Debug)]
pub struct Detached {
    stream: std::net::TcpStream,
    session: Option<Box<Connection>>,
    place: Option<Place>,
}

// === impl Stream ===

impl Stream {
    pub(super) fn secure(tls: Tls) -> Self {
        Self(Kind::Tls(Box::new(tls)), None)
    }

    /// Whether it is TLS.
    pub fn is_secure(&self) -> bool {
        matches!(self.0, Kind::Tls(_))
    }

    /// Reads some bytes; 0 at the end.
    pub fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let stream = match &self.0 {
            Kind::Plain(stream) => stream,
            Kind::Tls(tls) => return tls.poll_read(cx, buffer),
        };
        loop {
            ready!(stream.poll_read_ready(cx))?;
            match stream.try_read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    /// Writes some bytes without waiting. Of a TLS stream, part of what was taken may still wait for the socket:
    /// [`is_pending`](Self::is_pending).
    pub fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match &self.0 {
            Kind::Plain(stream) => stream.try_write_vectored(slices),
            Kind::Tls(tls) => tls.try_write_vectored(slices),
        }
    }

    /// Whether something that was taken waits for [`try_flush`](Self::try_flush).
    pub fn is_pending(&self) -> bool {
        match &self.0 {
            Kind::Plain(_) => false,
            Kind::Tls(tls) => tls.is_pending(),
        }
    }

    /// Writes what was taken and waits, as far as that goes without waiting.
    pub fn try_flush(&self) -> io::Result<()> {
        match &self.0 {
            Kind::Plain(_) => Ok(()),
            Kind::Tls(tls) => tls.try_flush(),
        }
    }

    /// Bytes that went out after they had been taken, wrapping: what tells a slow peer from one that does not read. A plain stream takes
    /// nothing that does not go out.
    pub fn flushed(&self) -> u64 {
        match &self.0 {
            Kind::Plain(_) => 0,
            Kind::Tls(tls) => tls.sent(),
        }
    }

    /// Waits until a write may succeed.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.0 {
            Kind::Plain(stream) => stream.poll_write_ready(cx),
            Kind::Tls(tls) => tls.poll_write_ready(cx),
        }
    }

    fn poll_write_slices(&self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        loop {
            match self.try_write_vectored(slices) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => ready!(self.poll_write_ready(cx))?,
                result => return Poll::Ready(result),
            }
        }
    }

    /// Takes the stream from this thread's runtime.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn detach(self) -> io::Result<Detached> {
        let (stream, session) = match self.0 {
            Kind::Plain(stream) => (stream, None),
            Kind::Tls(tls) => {
                let (stream, session) = tls.into_parts();
                (stream, Some(Box::new(session)))
            }
        };
        Ok(Detached { stream: stream.into_std()?, session, place: self.1 })
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self(Kind::Plain(stream), None)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Kind::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Kind::Tls(tls) => {
                let count = ready!(tls.poll_read(cx, buffer.initialize_unfilled()))?;
                buffer.advance(count);
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_slices(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_slices(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.0 {
            Kind::Plain(_) => Poll::Ready(Ok(())),
            Kind::Tls(tls) => tls.poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Kind::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Kind::Tls(tls) => tls.poll_shutdown(cx),
        }
    }
}

// === impl Detached ===

impl Detached {
    /// A plain stream, and the place that it takes.
    pub fn new(stream: std::net::TcpStream, place: Option<Place>) -> Self {
        Self { stream, session: None, place }
    }

    /// The same, with the place that it takes.
    #[must_use]
    pub fn at(self, place: Option<Place>) -> Self {
        Self { place, ..self }
    }

    /// Gives the stream to this thread's runtime.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn attach(self) -> io::Result<Stream> {
        let stream = TcpStream::from_std(self.stream)?;
        let kind = match self.session {
            None => Kind::Plain(stream),
            Some(session) => Kind::Tls(Box::new(Tls::resume(stream, *session))),
        };
        Ok(Stream(kind, self.place))
    }
}

impl From<std::net::TcpStream> for Detached {
    fn from(stream: std::net::TcpStream) -> Self {
        Self::new(stream, None)
    }
}
