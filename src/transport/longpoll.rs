//! Long-polling: one POST, one response, perhaps after a while.

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use tokio::sync::oneshot;

use super::body::{self, Content};
use super::http::Server;
use super::hub::Peer;
use super::response::{Body, Receipt, text};
use crate::bayeux::{self, Message, ParseError};

/// Exactly so: one client refuses any other spelling.
const JSON: HeaderValue = HeaderValue::from_static("application/json;charset=UTF-8");

/// A POST that the hub has. Dropped while it waits, it tells the hub that the client went away.
pub(super) struct Posted {
    receipt: Receipt,
    secure: bool,
    answer: oneshot::Receiver<crate::hub::Response>,
}

/// Reads a POST and passes it on; or answers at once what can't be.
pub(super) async fn receive(server: &Server, body: Incoming, peer: Peer) -> Result<Posted, Response<Body>> {
    let messages = match body::read(body, server.settings.body).await.and_then(Content::of) {
        Ok(content) => parse(&content, &server.settings.messages),
        Err(error) => return Err(refuse(server, &peer, error.status(), &error)),
    };
    let messages = messages.map_err(|error| refuse(server, &peer, StatusCode::BAD_REQUEST, &error))?;
    let secure = peer.secure;
    let (post, answer) = server.hub.post(peer, messages);
    Ok(Posted { receipt: Receipt::new(server.hub.clone(), post), secure, answer })
}

// === impl Posted ===

impl Posted {
    /// Waits for the hub's answer; `None` if the gateway is going down.
    pub(super) async fn wait(&mut self) -> Option<crate::hub::Response> {
        (&mut self.answer).await.ok()
    }

    /// The response of an answer.
    pub(super) fn response(self, server: &Server, answer: Option<crate::hub::Response>) -> Response<Body> {
        let Some(answer) = answer else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "the gateway is going down\n");
        };
        let mut response = Response::new(Body::array(answer.objects, self.receipt));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, JSON);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        set_browser(headers, server, answer.browser.as_deref(), self.secure);
        response
    }
}

/// The messages of a body; those of a form's fields make one batch.
fn parse(content: &Content, limits: &bayeux::Limits) -> Result<Vec<Message>, ParseError> {
    match content {
        Content::Json(text) => bayeux::parse(text, limits),
        Content::Form(texts) => {
            let mut messages = Vec::new();
            for text in texts {
                messages.extend(bayeux::parse(text, limits)?);
                if messages.len() > limits.batch {
                    return Err(ParseError::Batch);
                }
            }
            Ok(messages)
        }
    }
}

fn refuse(server: &Server, peer: &Peer, status: StatusCode, error: &dyn std::error::Error) -> Response<Body> {
    let refused = match status {
        StatusCode::PAYLOAD_TOO_LARGE => &server.metrics.refused_too_large,
        StatusCode::REQUEST_TIMEOUT => &server.metrics.refused_timeout,
        _ => &server.metrics.refused_malformed,
    };
    refused.inc();
    tracing::debug!(peer = %peer.address, status = status.as_u16(), %error, "request refused");
    text(status, Bytes::from(format!("{error}\n")))
}

fn set_browser(headers: &mut HeaderMap, server: &Server, browser: Option<&str>, secure: bool) {
    if let Some(cookie) = browser.and_then(|browser| server.settings.cookie.header(browser, secure)) {
        headers.append(header::SET_COOKIE, cookie);
    }
}
