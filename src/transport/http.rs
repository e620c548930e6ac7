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
use super::callback;
use super::cookie::{self, BrowserCookie};
use super::eventsource::{self, Opening};
use super::http2::Hold;
use super::hub::{Handover, Hub, Peer};
use super::origin::{Origins, Verdict};
use super::poll::{self, Posted, Refused};
use super::response::{Body, text};
use super::websocket::{self, handshake};
use crate::bayeux::{self, ConnectionType};
use crate::telemetry::ShardMetrics;

/// Answers what is not Bayeux.
pub type Fallback = Rc<dyn Fn(Request<Incoming>, IpAddr) -> Pin<Box<dyn Future<Output = Response<Body>>>>>;

/// How requests are served. Made of the settings once, by [`Settings::new`].
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where Bayeux is mounted; anything below is the same endpoint.
    pub paths: Vec<String>,
    /// Transports that are offered.
    pub transports: Vec<ConnectionType>,
    /// Whether WebSockets are compressed for clients that offer it.
    pub compression: bool,
    /// Pages that may come in.
    pub origins: Origins,
    /// The same for Flash: `/crossdomain.xml`.
    pub flash_policy: Option<Bytes>,
    /// How long a connect is held.
    pub timeout: Duration,
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
    /// Most requests that a connection may send ahead of an answer.
    pub pipelined: usize,
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
    Later(Posted, Verdict),
    /// An event stream.
    Stream(Box<Opening>),
}

/// What a request to Bayeux asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// Whether a page may send a request.
    Preflight,
    /// To become a WebSocket.
    WebSocket,
    /// The same over HTTP/2 (RFC 8441).
    Tunnel,
    /// For the events of a session, as a stream.
    Stream,
    /// That messages be taken.
    Post,
    /// The same in a GET, and a script for an answer.
    Script,
    /// A GET without messages.
    Nothing,
    /// Another method.
    Else,
}

/// Transports whose messages come by POST.
const POSTED: [ConnectionType; 3] =
    [ConnectionType::LongPolling, ConnectionType::CrossOriginLongPolling, ConnectionType::EventSource];

// === impl Settings ===

impl Settings {
    /// Takes what concerns HTTP out of `settings`. An origin that cannot be read is an error.
    pub fn new(settings: &crate::config::Settings) -> Result<Self, super::origin::BadOrigin> {
        let limits = &settings.limits;
        let origins = Origins::parse(&settings.origins)?;
        Ok(Self {
            paths: settings.bayeux.path.clone(),
            transports: settings.bayeux.transports.clone(),
            flash_policy: origins.flash_policy().map(Bytes::from),
            origins,
            timeout: settings.bayeux.timeout,
            compression: settings.bayeux.websocket.compression,
            cookie: BrowserCookie::new(&settings.bayeux.cookie),
            body: body::Limits { bytes: limits.body, time: limits.body_timeout },
            messages: bayeux::Limits { batch: limits.batch, depth: limits.depth, channel: limits.channel },
            header_bytes: limits.header_bytes,
            header_timeout: limits.header_timeout,
            pipelined: limits.pipelined,
        })
    }

    /// Whether one of these is offered.
    fn offers(&self, transports: &[ConnectionType]) -> bool {
        self.transports.iter().any(|offered| transports.contains(offered))
    }

    /// What Flash wants to read before it asks for anything else.
    fn flash_policy<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        let policy = self.flash_policy.as_ref().filter(|_| request.uri().path() == "/crossdomain.xml")?;
        let mut response = Response::new(Body::from(policy.clone()));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/x-cross-domain-policy"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        Some(response)
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

    /// Continues a connection that another shard handed over.
    pub fn adopt(self: Rc<Self>, connection: Handover) {
        match connection {
            Handover::WebSocket(socket) => websocket::adopt(self, socket),
            Handover::EventStream(stream) => eventsource::adopt(self, stream),
        }
    }

    /// Answers a request, or passes it on to the hub.
    pub(super) async fn receive(self: Rc<Self>, mut request: Request<Incoming>, arrival: Arrival) -> Reply {
        let Arrival { address, secure, shared } = arrival;
        if !self.settings.is_bayeux(request.uri().path()) {
            if let Some(response) = self.settings.flash_policy(&request) {
                return Reply::Now(response);
            }
            return Reply::Now((self.fallback)(request, address).await);
        }
        let asked = Asked::of(&request);
        let verdict = match asked {
            Asked::Script => self.settings.origins.check_script(request.headers(), secure),
            _ => self.settings.origins.check(request.headers(), secure),
        };
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
        if let Some(hold) = shared
            && asked == Asked::Tunnel
        {
            let mut response = websocket::connect(self, &mut request, peer, hold);
            verdict.allow(response.headers_mut());
            return Reply::Now(response);
        }
        let posted = match asked {
            Asked::Stream if !self.settings.offers(&[ConnectionType::EventSource]) => Err(off("eventsource")),
            Asked::Stream => {
                let client_id = eventsource::client_id(&request);
                return Reply::Stream(Box::new(Opening::new(client_id, peer, &verdict)));
            }
            Asked::Post if !self.settings.offers(&POSTED) => Err(off("long-polling")),
            Asked::Post => poll::post(&self, request, peer).await.map_err(Refused::response),
            Asked::Script if !self.settings.offers(&[ConnectionType::CallbackPolling]) => {
                Err(off("callback-polling"))
            }
            Asked::Script => {
                let query = request.uri().query().unwrap_or_default();
                poll::get(&self, query, peer).map_err(Refused::response)
            }
            // Where it is off, too: some clients try for ever to upgrade, but all of them heed what a handshake's reply lists.
            Asked::WebSocket => Err(websocket::upgrade(self, &mut request, peer)),
            Asked::Preflight => {
                let mut response = Response::new(Body::from(Bytes::new()));
                *response.status_mut() = StatusCode::NO_CONTENT;
                verdict.allow_preflight(request.headers(), response.headers_mut());
                return Reply::Now(response);
            }
            Asked::Nothing => Err(text(
                StatusCode::BAD_REQUEST,
                "this is a Bayeux endpoint: POST messages as JSON, or open a WebSocket, with a client like cometd.js\n",
            )),
            Asked::Tunnel | Asked::Else => {
                let mut response =
                    text(StatusCode::METHOD_NOT_ALLOWED, "Bayeux takes POST, GET and OPTIONS\n");
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, POST, OPTIONS"));
                Err(response)
            }
        };
        match posted {
            Ok(posted) => Reply::Later(posted, verdict),
            Err(mut response) => {
                verdict.allow(response.headers_mut());
                Reply::Now(response)
            }
        }
    }
}

// === impl Asked ===

impl Asked {
    fn of<B>(request: &Request<B>) -> Self {
        match *request.method() {
            Method::POST => Self::Post,
            Method::OPTIONS => Self::Preflight,
            Method::CONNECT if handshake::is_connect(request) => Self::Tunnel,
            _ if handshake::is_upgrade(request.headers()) => Self::WebSocket,
            Method::GET if eventsource::is_stream(request.headers()) => Self::Stream,
            Method::GET if request.uri().query().is_some_and(callback::is_call) => Self::Script,
            Method::GET => Self::Nothing,
            _ => Self::Else,
        }
    }
}

/// Refuses a transport that is not among those offered.
fn off(name: &str) -> Response<Body> {
    text(StatusCode::FORBIDDEN, format!("{name} is switched off (bayeux.transports)\n"))
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
