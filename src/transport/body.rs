//! Reading a request's body: bounded in bytes and time, JSON or form.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::Body;
use hyper::header::{self, HeaderMap};

use super::form;

/// Bodies up to this size are copied.
const SMALL: usize = 2048;

/// How much of a body is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most bytes (setting `limits.body`).
    pub bytes: usize,
    /// Longest time from the end of the header (setting `limits.body_timeout`).
    pub time: Duration,
}

/// Why a body was not read. `Display` is the text for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Longer than the limit: status 413.
    #[error("the body is longer than {0} bytes (limits.body)")]
    TooLarge(usize),
    /// It took too long to come: status 408.
    #[error("the body did not come in time (limits.body_timeout)")]
    TimedOut,
    /// The connection broke or the encoding is wrong: status 400.
    #[error("the body could not be read")]
    Broken,
    /// Its characters are not in UTF-8, as declared: status 415.
    #[error("the body is declared to be in another charset than UTF-8; send it in UTF-8")]
    Charset,
    /// It is compressed: status 415.
    #[error("the body has a Content-Encoding; send it as it is")]
    Encoded,
    /// It is nothing that carries Bayeux messages: status 400.
    #[error("{0}")]
    NotBayeux(&'static str),
}

/// The JSON texts of a body, each an array or an object.
#[derive(Debug, PartialEq, Eq)]
pub enum Content {
    /// The body is the text.
    Json(Bytes),
    /// The values of a form's `message` fields, in order: together they make one batch.
    Form(Vec<Bytes>),
}

// === impl Unreadable ===

impl Unreadable {
    /// The status that tells it.
    pub fn status(self) -> StatusCode {
        match self {
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TimedOut => StatusCode::REQUEST_TIMEOUT,
            Self::Charset | Self::Encoded => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Broken | Self::NotBayeux(_) => StatusCode::BAD_REQUEST,
        }
    }
}

// === impl Content ===

impl Content {
    /// What a body is, by its looks: clients declare JSON, forms, plain text or nothing whatever they send (R66
    /// and R67, and beyond).
    pub fn of(body: Bytes) -> Result<Self, Unreadable> {
        if std::str::from_utf8(&body).is_err() {
            return Err(Unreadable::NotBayeux("the body is not UTF-8"));
        }
        match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
            None => Err(Unreadable::NotBayeux("the body is empty; send a JSON array of Bayeux messages")),
            Some(b'[' | b'{') => Ok(Self::Json(body)),
            Some(_) => {
                let messages: Vec<Bytes> = form::values(&body, "message").collect();
                if messages.is_empty() {
                    return Err(Unreadable::NotBayeux(
                        "the body is neither a JSON array or object nor a form with message=…",
                    ));
                }
                Ok(Self::Form(messages))
            }
        }
    }
}

/// Checks what the headers say of a body. Of the media type nothing counts but the charset: clients name any.
pub fn declared(headers: &HeaderMap) -> Result<(), Unreadable> {
    let encoded = |value: &header::HeaderValue| !value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get(header::CONTENT_ENCODING).is_some_and(encoded) {
        return Err(Unreadable::Encoded);
    }
    let charset = headers.get(header::CONTENT_TYPE).and_then(|value| charset(value.to_str().ok()?));
    // ASCII is a part of UTF-8.
    let known = |name: &str| ["utf-8", "utf8", "us-ascii"].iter().any(|it| it.eq_ignore_ascii_case(name));
    if charset.is_none_or(known) { Ok(()) } else { Err(Unreadable::Charset) }
}

/// The parameter `charset` of a media type.
fn charset(media_type: &str) -> Option<&str> {
    let parameters = media_type.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let (_, value) = parameters.into_iter().find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))?;
    Some(value.trim().trim_matches(['"', '\'']))
}

/// Reads a body to its end.
pub async fn read<B>(body: B, limits: Limits) -> Result<Bytes, Unreadable>
where
    B: Body<Data = Bytes> + Unpin,
{
    if body.size_hint().lower() > limits.bytes as u64 {
        return Err(Unreadable::TooLarge(limits.bytes));
    }
    match tokio::time::timeout(limits.time, collect(body, limits.bytes)).await {
        Ok(read) => read,
        Err(_) => Err(Unreadable::TimedOut),
    }
}

/// A body that comes in one piece is not copied, unless it is small: it would keep hyper's whole read buffer alive for as long
/// as a connect is held.
async fn collect<B>(mut body: B, limit: usize) -> Result<Bytes, Unreadable>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Unreadable::Broken)?.into_data() else { continue };
        if first.len() + rest.len() + data.len() > limit {
            return Err(Unreadable::TooLarge(limit));
        }
        if first.is_empty() {
            first = data;
        } else {
            rest.extend_from_slice(&data);
        }
    }
    if rest.is_empty() {
        return Ok(if first.len() <= SMALL { Bytes::copy_from_slice(&first) } else { first });
    }
    let mut whole = first.chain(rest);
    Ok(whole.copy_to_bytes(whole.remaining()))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use super::*;
    use http_body_util::Full;
    use hyper::body::Frame;

    const LIMITS: Limits = Limits { bytes: 10, time: Duration::from_mins(1) };

    /// A body that comes in parts, and then ends or not.
    struct Parts {
        parts: VecDeque<&'static str>,
        ends: bool,
    }

    impl Body for Parts {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            match self.parts.pop_front() {
                Some(part) => Poll::Ready(Some(Ok(Frame::data(part.into())))),
                None if self.ends => Poll::Ready(None),
                None => Poll::Pending,
            }
        }
    }

    fn parts(parts: &[&'static str]) -> Parts {
        Parts { parts: parts.iter().copied().collect(), ends: true }
    }

    #[test]
    fn looks_decide() {
        let json =
            |text: &'static str| assert_eq!(Content::of(text.into()).unwrap(), Content::Json(text.into()));
        json("[]");
        json(" \r\n{\"a\":1}");
        let form = |text: &'static str, expected: &[&'static str]| {
            let expected = expected.iter().map(|text| Bytes::from_static(text.as_bytes())).collect();
            assert_eq!(Content::of(text.into()).unwrap(), Content::Form(expected));
        };
        form("jsonp=x&message={}&message=[%c3%A9]&y", &["{}", "[é]"]);
        form("message=", &[""]);
        for text in ["", "  \n", "hello", "messages=[]", "\"x\"", "1"] {
            assert_eq!(Content::of(text.into()).unwrap_err().status(), 400, "{text}");
        }
        assert_eq!(Content::of(Bytes::from_static(b"[\"\xFF\"]")).unwrap_err().status(), 400);
    }

    #[test]
    fn only_utf_8_is_taken() {
        let check = |name: &'static str, value: &'static str| {
            declared(&HeaderMap::from_iter([(
                header::HeaderName::from_static(name),
                header::HeaderValue::from_static(value),
            )]))
        };
        for value in [
            "application/json",
            "application/json;charset=UTF-8",
            "text/plain; charset=\"utf-8\"",
            "application/x-www-form-urlencoded; x=y; Charset=utf8",
            "",
            ";;=;charset",
        ] {
            assert_eq!(check("content-type", value), Ok(()), "{value}");
        }
        let other = check("content-type", "application/json;charset=ISO-8859-7").unwrap_err();
        assert_eq!((other, other.status().as_u16()), (Unreadable::Charset, 415));
        assert_eq!(check("content-encoding", "gzip"), Err(Unreadable::Encoded));
        assert_eq!(check("content-encoding", "Identity"), Ok(()));
    }

    #[test]
    fn bodies_are_bounded() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            assert_eq!(read(parts(&["01234", "56", "789"]), LIMITS).await.unwrap(), "0123456789");
            assert_eq!(read(parts(&[]), LIMITS).await.unwrap(), "");
            assert_eq!(read(parts(&["01234", "567890"]), LIMITS).await.unwrap_err().status(), 413);
            let announced = Full::new(Bytes::from_static(b"0123456789a"));
            assert_eq!(read(announced, LIMITS).await.unwrap_err(), Unreadable::TooLarge(10));
            let stuck = Parts { ends: false, ..parts(&["01"]) };
            let short = Limits { time: Duration::from_millis(1), ..LIMITS };
            assert_eq!(read(stuck, short).await.unwrap_err().status(), 408);
        });
    }
}
