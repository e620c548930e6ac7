//! HTTP requests: what goes to which transport.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::watch;

use super::body;
use super::cookie::{self, BrowserCookie};
use super::http2::Hold;
use super::hub::{Hub, Peer};
use super::longpoll;
use super::origin::{Origins, Verdict};
use super::response::{Body, text};
use super::websocket::{self, handshake};
use crate::bayeux;
use crate::telemetry::ShardMetrics;

/// Answers what is not Bayeux.
pub type Fallback = Rc<dyn Fn(Request<Incoming>, IpAddr) -> Pin<Box<dyn Future<Output = Response<Body>>>>>;

/// How requests are served. Made of the settings once, by [`Settings::new`].
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where Bayeux is mounted; anything below is the same endpoint.
    pub paths: Vec<String>,
    /// Transports that are offered.
    pub transports: crate::config::Transports,
    /// Whether WebSockets are compressed for clients that offer it.
    pub compression: bool,
    /// Pages that may come in.
    pub origins: Origins,
    /// The browser cookie.
    pub cookie: BrowserCookie,
    /// Bounds of a body; its `bytes` bound WebSocket messages too.
    pub body: body::Limits,
    /// Bounds of its messages.
    pub messages: bayeux::Limits,
    /// Most bytes of a request's head.
    pub header_bytes: usize,
    /// Longest time for a request's head, and between requests.
    pub header_timeout: Duration,
}

/// Serves the connections of one shard.
pub struct Server {
    pub(super) hub: Rc<dyn Hub>,
    pub(super) settings: Settings,
    pub(super) metrics: Arc<ShardMetrics>,
    fallback: Fallback,
    /// Turns true when the gateway goes down: connections end after the request that is being answered.
    pub(super) drain: watch::Receiver<bool>,
}

/// How a request came in.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    /// The other end of the connection.
    pub(super) address: IpAddr,
    /// Whether the connection is TLS.
    pub(super) secure: bool,
    /// Of a connection that carries several requests at a time (HTTP/2), what keeps it open.
    pub(super) shared: Option<Hold>,
}

/// What becomes of a request that was read.
pub(super) enum Reply {
    Now(Response<Body>),
    /// What the hub answers, perhaps after a while.
    Later(longpoll::Posted, Verdict),
}

// === impl Settings ===

impl Settings {
    /// Takes what concerns HTTP out of `settings`. An origin that cannot be read is an error.
    pub fn new(settings: &crate::config::Settings) -> Result<Self, super::origin::BadOrigin> {
        let limits = &settings.limits;
        Ok(Self {
            paths: settings.bayeux.path.clone(),
            transports: settings.bayeux.transports,
            compression: settings.bayeux.websocket.compression,
            origins: Origins::parse(&settings.origins)?,
            cookie: BrowserCookie::new(&settings.bayeux.cookie),
            body: body::Limits { bytes: limits.body, time: limits.body_timeout },
            messages: bayeux::Limits { batch: limits.batch, depth: limits.depth, channel: limits.channel },
            header_bytes: limits.header_bytes,
            header_timeout: limits.header_timeout,
        })
    }

    /// Whether `path` is one of the mounts or below it.
    fn is_bayeux(&self, path: &str) -> bool {
        self.paths.iter().any(|mount| {
            path.strip_prefix(mount.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || mount.ends_with('/'))
        })
    }
}

// === impl Server ===

impl Server {
    /// A server for the shard behind `hub`. Its futures must be polled on a `LocalSet` of that thread.
    pub fn new(
        hub: Rc<dyn Hub>,
        settings: Settings,
        fallback: Fallback,
        metrics: Arc<ShardMetrics>,
        drain: watch::Receiver<bool>,
    ) -> Rc<Self> {
        Rc::new(Self { hub, settings, metrics, fallback, drain })
    }

    /// Answers a request, or passes it on to the hub.
    pub(super) async fn receive(self: Rc<Self>, mut request: Request<Incoming>, arrival: Arrival) -> Reply {
        let Arrival { address, secure, shared } = arrival;
        if !self.settings.is_bayeux(request.uri().path()) {
            return Reply::Now((self.fallback)(request, address).await);
        }
        let verdict = self.settings.origins.check(request.headers(), secure);
        if verdict == Verdict::Refused {
            self.metrics.refused_origin.inc();
            tracing::debug!(peer = %address, "origin refused");
            return Reply::Now(text(
                StatusCode::FORBIDDEN,
                "this origin is not allowed; add it to the setting origins\n",
            ));
        }
        let browser = cookie::browser(request.headers()).map(Box::from);
        let peer = Peer { address, browser, secure, multiplexed: shared.is_some() };
        let transports = self.settings.transports;
        if let Some(hold) = shared
            && transports.websocket
            && handshake::is_connect(&request)
        {
            let mut response = websocket::connect(self, &mut request, peer, hold);
            verdict.allow(response.headers_mut());
            return Reply::Now(response);
        }
        let mut response = match *request.method() {
            Method::POST if transports.long_polling => {
                match longpoll::receive(&self, request.into_body(), peer).await {
                    Ok(posted) => return Reply::Later(posted, verdict),
                    Err(response) => response,
                }
            }
            Method::OPTIONS => {
                let mut response = Response::new(Body::from(Bytes::new()));
                *response.status_mut() = StatusCode::NO_CONTENT;
                verdict.allow_preflight(request.headers(), response.headers_mut());
                return Reply::Now(response);
            }
            _ if transports.websocket && handshake::is_upgrade(request.headers()) => {
                websocket::upgrade(self, &mut request, peer)
            }
            Method::GET => text(
                StatusCode::BAD_REQUEST,
                "this is a Bayeux endpoint: POST messages as JSON, or open a WebSocket, with a client like cometd.js\n",
            ),
            _ => {
                let mut response = text(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "Bayeux takes POST, GET to open a WebSocket, and OPTIONS\n",
                );
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, POST, OPTIONS"));
                response
            }
        };
        verdict.allow(response.headers_mut());
        Reply::Now(response)
    }
}

/// Serves files outside the Bayeux paths: `find` gives the `Content-Type` and bytes for a path. Where it gives nothing, a
/// text says where Bayeux is.
pub fn files(
    settings: &Settings,
    find: impl Fn(&str) -> Option<(&'static str, Bytes)> + 'static,
) -> Fallback {
    let hint = Bytes::from(format!("nothing here; Bayeux is at {}\n", settings.paths.join(", ")));
    let answer = move |request: Request<Incoming>| {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(StatusCode::NOT_FOUND, hint.clone());
        }
        let Some((content_type, bytes)) = find(request.uri().path()) else {
            return text(StatusCode::NOT_FOUND, hint.clone());
        };
        let mut response = Response::new(Body::from(bytes));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    };
    Rc::new(move |request, _| Box::pin(std::future::ready(answer(request))))
}
