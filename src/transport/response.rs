//! Response bodies: texts, and arrays of shared slices.

use std::convert::Infallible;
use std::io::IoSlice;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use hyper::body::SizeHint;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};

use super::http2::Ticket;
use super::hub::{Hub, PostId};

/// A response's body: one piece of known length, so that nothing is chunked.
#[derive(Debug)]
pub struct Body(Option<Data>);

/// Content of a [`Body`], as it is written.
#[derive(Debug)]
pub struct Data {
    content: Content,
    /// Of a response over HTTP/2: who wants to know how it goes on.
    ticket: Option<Ticket>,
}

#[derive(Debug)]
enum Content {
    /// Bytes as they are.
    Plain(Bytes),
    /// An array of JSON objects that others hold too.
    Array(Array),
}

/// What stands around the objects of a response.
#[derive(Debug)]
pub(super) struct Frame {
    /// Before the first.
    pub(super) open: Bytes,
    /// Behind the last.
    pub(super) close: &'static [u8],
}

/// `[a,b,…]` without copying `a` and `b`.
#[derive(Debug)]
pub struct Array {
    frame: Frame,
    objects: Vec<Bytes>,
    /// The piece that is next, of brackets, commas and objects in order; how much of it is gone.
    piece: usize,
    offset: usize,
    remaining: usize,
    receipt: Receipt,
}

/// Tells the hub, when dropped, what became of a response.
pub(super) struct Receipt {
    hub: Rc<dyn Hub>,
    post: PostId,
    whole: bool,
}

/// A plain text for people who look at the wire: what is wrong and what to do.
pub fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::from(text.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain;charset=UTF-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

// === impl Body ===

impl Body {
    /// `objects` in `frame`; `receipt` learns whether all of it was written.
    pub(super) fn array(frame: Frame, objects: Vec<Bytes>, receipt: Receipt) -> Self {
        Self(Some(Content::Array(Array::new(frame, objects, receipt)).into()))
    }

    /// Lets `ticket` know how the writing goes on. If there is nothing to write it ends at once.
    pub(super) fn follow(&mut self, ticket: Ticket) {
        if let Some(data) = &mut self.0 {
            ticket.taken();
            data.ticket = Some(ticket);
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self((!bytes.is_empty()).then(|| Content::Plain(bytes).into()))
    }
}

impl hyper::body::Body for Body {
    type Data = Data;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Data>, Infallible>>> {
        Poll::Ready(self.0.take().map(|data| Ok(hyper::body::Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |data| data.remaining() as u64))
    }
}

// === impl Data ===

impl From<Content> for Data {
    fn from(content: Content) -> Self {
        Self { content, ticket: None }
    }
}

impl Buf for Data {
    fn remaining(&self) -> usize {
        match &self.content {
            Content::Plain(bytes) => bytes.len(),
            Content::Array(array) => array.remaining,
        }
    }

    fn chunk(&self) -> &[u8] {
        match &self.content {
            Content::Plain(bytes) => bytes,
            Content::Array(array) => array.chunk(),
        }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        match &self.content {
            Content::Plain(bytes) => bytes.chunks_vectored(slices),
            Content::Array(array) => array.chunks_vectored(slices),
        }
    }

    fn advance(&mut self, count: usize) {
        match &mut self.content {
            Content::Plain(bytes) => bytes.advance(count),
            Content::Array(array) => array.advance(count),
        }
        if let Some(ticket) = &self.ticket {
            ticket.taken();
        }
    }
}

// === impl Frame ===

impl Frame {
    /// `[…]`: a JSON array.
    pub(super) const fn json() -> Self {
        Self { open: Bytes::from_static(b"["), close: b"]" }
    }
}

// === impl Array ===

impl Array {
    fn new(frame: Frame, objects: Vec<Bytes>, receipt: Receipt) -> Self {
        let around = frame.open.len() + frame.close.len() + objects.len().saturating_sub(1);
        let remaining = around + objects.iter().map(Bytes::len).sum::<usize>();
        Self { frame, objects, piece: 0, offset: 0, remaining, receipt }
    }

    fn piece(&self, number: usize) -> &[u8] {
        let last = self.objects.len().saturating_mul(2).max(1);
        match number {
            0 => &self.frame.open,
            _ if number == last => self.frame.close,
            _ if number > last => b"",
            _ if number.is_multiple_of(2) => b",",
            _ => self.objects.get(number / 2).map_or(b"", |object| object),
        }
    }

    fn chunk(&self) -> &[u8] {
        self.piece(self.piece).get(self.offset..).unwrap_or_default()
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        let mut offset = self.offset;
        for (slice, number) in slices.iter_mut().zip(self.piece..) {
            let piece = self.piece(number).get(offset..).unwrap_or_default();
            if piece.is_empty() {
                break;
            }
            *slice = IoSlice::new(piece);
            filled += 1;
            offset = 0;
        }
        filled
    }

    fn advance(&mut self, count: usize) {
        self.remaining = self.remaining.saturating_sub(count);
        self.receipt.whole = self.remaining == 0;
        self.offset += count;
        while self.remaining > 0 {
            let length = self.piece(self.piece).len();
            if self.offset < length {
                break;
            }
            self.offset -= length;
            self.piece += 1;
        }
    }
}

// === impl Receipt ===

impl Receipt {
    /// A receipt for `post`; dropped before a response is made of it, it tells that there was none.
    pub(super) fn new(hub: Rc<dyn Hub>, post: PostId) -> Self {
        Self { hub, post, whole: false }
    }

    /// What it is about.
    pub(super) fn post(&self) -> PostId {
        self.post
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.hub.written(self.post, self.whole);
    }
}

impl std::fmt::Debug for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receipt")
            .field("post", &self.post)
            .field("whole", &self.whole)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::transport::tests::Recorder;

    const POST: PostId = PostId { shard: 0, http: 7 };

    fn array(objects: &[&str], hub: &Rc<Recorder>) -> Body {
        let objects = objects.iter().map(|object| Bytes::copy_from_slice(object.as_bytes())).collect();
        Body::array(Frame::json(), objects, Receipt::new(hub.clone(), POST))
    }

    #[test]
    fn a_body_that_is_dropped_was_not_written() {
        let hub = Rc::new(Recorder::default());
        drop(array(&["{}"], &hub));
        assert_eq!(hub.written.take(), [(7, false)]);
        let mut body = array(&["{}"], &hub);
        if let Some(data) = &mut body.0 {
            data.advance(3);
        }
        drop(body);
        assert_eq!(hub.written.take(), [(7, false)]);
    }

    proptest! {
        #[test]
        fn an_array_is_written_whatever_the_kernel_takes(
            objects in proptest::collection::vec("[a-z]{1,9}", 0..6),
            steps in proptest::collection::vec((1_usize..20, 1_usize..5), 1..9),
        ) {
            let hub = Rc::new(Recorder::default());
            let objects: Vec<&str> = objects.iter().map(String::as_str).collect();
            let mut data = array(&objects, &hub).0.unwrap();
            let expected = format!("[{}]", objects.join(","));
            prop_assert_eq!(data.remaining(), expected.len());
            let mut out = Vec::new();
            for (step, slots) in steps.iter().cycle() {
                prop_assert!(expected.as_bytes()[out.len()..].starts_with(data.chunk()));
                let mut slices = [IoSlice::new(&[]); 5];
                let filled = data.chunks_vectored(&mut slices[..*slots]);
                let gathered: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
                let taken = gathered.len().min(*step);
                out.extend_from_slice(&gathered[..taken]);
                data.advance(taken);
                if !data.has_remaining() {
                    break;
                }
            }
            prop_assert_eq!(String::from_utf8(out).unwrap(), expected);
            drop(data);
            prop_assert_eq!(hub.written.take(), [(7, true)]);
        }
    }
}
