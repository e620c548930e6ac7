//! A stream for hyper, that gives up on a peer which does not read.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::sync::Notify;
use tokio::time::{Sleep, sleep};

use super::Stream;

/// Bytes that are read at a time, and at most, while the peer has nothing to say. What it sends beyond waits in the kernel.
const EARLY: usize = 1024;
const AHEAD: usize = 16 * 1024;

/// A stream whose writes fail when the peer takes nothing for too long. hyper itself would wait for ever.
#[derive(Debug)]
pub struct Io {
    stream: TokioIo<Stream>,
    patience: Duration,
    /// Set while a write waits.
    stall: Option<Pin<Box<Sleep>>>,
    /// What is read before anything of the stream.
    ahead: Bytes,
    /// Told of every read that brought something.
    reads: Arc<Notify>,
}

/// What a peer did while nothing was asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It closed the connection, or broke it.
    Closed,
    /// It sent more.
    More,
}

// === impl Io ===

impl Io {
    /// Wraps a stream whose peer may take up to `patience` to accept some of what is written.
    pub fn new(stream: impl Into<Stream>, patience: Duration) -> Self {
        Self {
            stream: TokioIo::new(stream.into()),
            patience,
            stall: None,
            ahead: Bytes::new(),
            reads: Arc::default(),
        }
    }

    /// The stream again, and what is to be read before it.
    pub fn into_parts(self) -> (Stream, Bytes) {
        (self.stream.into_inner(), self.ahead)
    }

    /// Whether it is TLS.
    pub fn is_secure(&self) -> bool {
        self.stream.inner().is_secure()
    }

    /// Puts bytes before what is read next.
    pub fn unread(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.ahead = [bytes, &self.ahead].concat().into();
        }
    }

    /// Whether the latest write still waits for the peer.
    pub fn is_stalled(&self) -> bool {
        self.stall.is_some()
    }

    /// Tells those who wait for it of every read that brings something.
    pub fn reads(&self) -> Arc<Notify> {
        self.reads.clone()
    }

    /// What the peer sent ahead, as far as it was read.
    pub fn ahead(&self) -> &[u8] {
        &self.ahead
    }

    /// Waits until there is more than `known` bytes [`ahead`](Self::ahead), or the peer has closed the connection or broken it. What is
    /// ahead is kept for [`Read::poll_read`]; when it is much, the peer is no longer listened to.
    pub async fn heard(&mut self, known: usize) -> Heard {
        poll_fn(|cx| {
            while self.ahead.len() <= known {
                if self.ahead.len() >= AHEAD {
                    return Poll::Pending;
                }
                if ready!(self.poll_ahead(cx)).unwrap_or(0) == 0 {
                    return Poll::Ready(Heard::Closed);
                }
            }
            Poll::Ready(Heard::More)
        })
        .await
    }

    /// Whether the connection begins with `preface`. Reads as much as it takes to tell, and leaves it to be read; `None` if the peer
    /// goes away before.
    pub async fn begins_with(&mut self, preface: &[u8]) -> Option<bool> {
        poll_fn(|cx| {
            loop {
                let length = self.ahead.len().min(preface.len());
                if self.ahead.get(..length) != preface.get(..length) {
                    return Poll::Ready(Some(false));
                }
                if length == preface.len() {
                    return Poll::Ready(Some(true));
                }
                if ready!(self.poll_ahead(cx)).unwrap_or(0) == 0 {
                    return Poll::Ready(None);
                }
            }
        })
        .await
    }

    /// Whether there is something that was read and not used.
    pub fn has_ahead(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// Reads some to be used later; 0 at the end.
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut early = [0; EARLY];
        let count = ready!(self.stream.inner().poll_read(cx, &mut early))?;
        let early = early.get(..count).unwrap_or_default();
        self.ahead = if self.ahead.is_empty() {
            Bytes::copy_from_slice(early)
        } else {
            [&self.ahead, early].concat().into()
        };
        Poll::Ready(Ok(count))
    }

    fn bounded<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.stall = None;
            return result;
        }
        let patience = self.patience;
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(stall.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let count = self.ahead.len().min(buffer.remaining());
            buffer.put_slice(&self.ahead.split_to(count));
            return Poll::Ready(Ok(()));
        }
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if result.is_ready() {
            self.reads.notify_waiters();
        }
        result
    }
}

impl Write for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.bounded(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.bounded(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        self.bounded(cx, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.bounded(cx, result)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::net::TcpStream;

    use super::*;

    #[test]
    fn a_peer_that_does_not_read_is_given_up() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let mut io = Io::new(listener.accept().await.unwrap().0, Duration::from_millis(20));
            let error = loop {
                let write = poll_fn(|cx| Pin::new(&mut io).poll_write(cx, &[0; 4096]));
                if let Err(error) = write.await {
                    break error;
                }
            };
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert!(io.is_stalled());
            drop(peer);
        });
    }

    #[test]
    fn what_comes_while_nobody_reads_is_read_later() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let mut io = Io::new(listener.accept().await.unwrap().0, Duration::from_mins(1));
            assert!(!is_heard(&mut io, Duration::ZERO).await);
            peer.writable().await.unwrap();
            assert_eq!(peer.try_write(b"early").unwrap(), 5);
            while io.ahead().len() < 5 {
                let known = io.ahead().len();
                assert_eq!(io.heard(known).await, Heard::More);
            }
            io.unread(b"before ");
            let mut text = String::new();
            while text.len() < "before early".len() {
                // A buffer that is smaller than what there is.
                let mut bytes = [0; 4];
                let mut buffer = hyper::rt::ReadBuf::new(&mut bytes);
                poll_fn(|cx| Pin::new(&mut io).poll_read(cx, buffer.unfilled())).await.unwrap();
                text += std::str::from_utf8(buffer.filled()).unwrap();
            }
            assert_eq!(text, "before early");
            drop(peer);
            assert_eq!(io.heard(0).await, Heard::Closed);
        });
    }

    #[test]
    fn what_comes_first_is_seen_and_left_to_be_read() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            for (pieces, expected) in [
                (&["PRI", " * ", "HTTP and more"][..], Some(true)),
                (&["P", "OST / HTTP/1.1"], Some(false)),
                (&["PRI * HTT"], None),
                (&[], None),
            ] {
                let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
                peer.set_nodelay(true).unwrap();
                let mut io = Io::new(listener.accept().await.unwrap().0, Duration::from_mins(1));
                let say = async {
                    for piece in pieces {
                        peer.writable().await.unwrap();
                        assert_eq!(peer.try_write(piece.as_bytes()).unwrap(), piece.len());
                        tokio::task::yield_now().await;
                    }
                    drop(peer);
                };
                let (found, ()) = tokio::join!(io.begins_with(b"PRI * HTTP"), say);
                assert_eq!(found, expected, "{pieces:?}");
                assert!(pieces.concat().as_bytes().starts_with(&io.ahead));
                assert_eq!(io.has_ahead(), !pieces.is_empty());
            }
        });
    }

    async fn is_heard(io: &mut Io, patience: Duration) -> bool {
        tokio::time::timeout(patience, io.heard(0)).await.is_ok()
    }
}
