//! Polling: one request, one response, perhaps after a while. Long-polling is a POST, callback-polling a GET.

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, Response, StatusCode};
use tokio::sync::oneshot;

use super::body::{self, Content};
use super::callback::{self, Callback};
use super::http::Server;
use super::hub::Peer;
use super::response::{Body, Frame, Receipt, text};
use crate::bayeux::{self, Message, ParseError};

/// Exactly so: one client refuses any other spelling.
const JSON: HeaderValue = HeaderValue::from_static("application/json;charset=UTF-8");
/// With the charset, or the page's own would be taken.
const SCRIPT: HeaderValue = HeaderValue::from_static("text/javascript;charset=utf-8");
/// So that a browser which is made to open the script stores it under a harmless name.
const DOWNLOAD: HeaderValue = HeaderValue::from_static("attachment; filename=f.txt");

/// A request that the hub has. Dropped while it waits, it tells the hub that the client went away.
pub(super) struct Posted {
    receipt: Receipt,
    secure: bool,
    answer: oneshot::Receiver<crate::hub::Response>,
    /// Callback-polling: what to call with the answer.
    callback: Option<Callback>,
}

/// A request that holds no messages.
pub(super) struct Refused {
    status: StatusCode,
    text: String,
}

/// Reads a POST and passes it on; or answers at once what can't be.
pub(super) async fn post(server: &Server, request: Request<Incoming>, peer: Peer) -> Result<Posted, Refused> {
    let read = async {
        body::declared(request.headers())?;
        Content::of(body::read(request.into_body(), server.settings.body).await?)
    };
    match read.await {
        Ok(Content::Json(text)) => pass_on(server, peer, &[text], None),
        Ok(Content::Form(texts)) => pass_on(server, peer, &texts, None),
        Err(error) => Err(Refused::new(server, &peer, error.status(), &error)),
    }
}

/// Passes on the messages in the query of a GET, whose answer is a script.
pub(super) fn get(server: &Server, query: &str, peer: Peer) -> Result<Posted, Refused> {
    match Callback::of(query) {
        Ok(callback) => pass_on(server, peer, &callback::messages(query), Some(callback)),
        Err(error) => Err(Refused::new(server, &peer, StatusCode::BAD_REQUEST, &error)),
    }
}

/// Passes on the messages of these texts as one batch.
fn pass_on(
    server: &Server,
    peer: Peer,
    texts: &[Bytes],
    callback: Option<Callback>,
) -> Result<Posted, Refused> {
    let messages = parse(texts, &server.settings.messages)
        .map_err(|error| Refused::new(server, &peer, StatusCode::BAD_REQUEST, &error))?;
    let secure = peer.secure;
    let (post, answer) = server.hub.post(peer, messages);
    Ok(Posted { receipt: Receipt::new(server.hub.clone(), post), secure, answer, callback })
}

// === impl Posted ===

impl Posted {
    /// Waits for the hub's answer; `None` if the gateway is going down.
    pub(super) async fn wait(&mut self) -> Option<crate::hub::Response> {
        (&mut self.answer).await.ok()
    }

    /// Tells the hub that another request waits behind this one.
    pub(super) fn hurry(&self, server: &Server) {
        server.hub.hurry(self.receipt.post());
    }

    /// The response of an answer.
    pub(super) fn response(self, server: &Server, answer: Option<crate::hub::Response>) -> Response<Body> {
        let Some(answer) = answer else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "the gateway is going down\n");
        };
        let mut objects = answer.objects;
        let (frame, kind) = match &self.callback {
            None => (Frame::json(), JSON),
            Some(callback) => {
                objects = objects.into_iter().map(callback::in_script).collect();
                (callback.frame(), SCRIPT)
            }
        };
        let mut response = Response::new(Body::array(frame, objects, self.receipt));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, kind);
        if self.callback.is_some() {
            headers.insert(header::CONTENT_DISPOSITION, DOWNLOAD);
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        set_browser(headers, server, answer.browser.as_deref(), self.secure);
        response
    }
}

// === impl Refused ===

impl Refused {
    fn new(server: &Server, peer: &Peer, status: StatusCode, error: &dyn std::error::Error) -> Self {
        let refused = match status {
            StatusCode::PAYLOAD_TOO_LARGE => &server.metrics.refused_too_large,
            StatusCode::REQUEST_TIMEOUT => &server.metrics.refused_timeout,
            _ => &server.metrics.refused_malformed,
        };
        refused.inc();
        tracing::debug!(peer = %peer.address, status = status.as_u16(), %error, "request refused");
        Self { status, text: format!("{error}\n") }
    }

    pub(super) fn response(self) -> Response<Body> {
        text(self.status, self.text)
    }
}

/// The messages of texts, each an array or an object.
fn parse(texts: &[Bytes], limits: &bayeux::Limits) -> Result<Vec<Message>, ParseError> {
    let mut messages = Vec::new();
    for text in texts {
        messages.extend(bayeux::parse(text, limits)?);
        if messages.len() > limits.batch {
            return Err(ParseError::Batch);
        }
    }
    Ok(messages)
}

fn set_browser(headers: &mut HeaderMap, server: &Server, browser: Option<&str>, secure: bool) {
    if let Some(cookie) = browser.and_then(|browser| server.settings.cookie.header(browser, secure)) {
        headers.append(header::SET_COOKIE, cookie);
    }
}
