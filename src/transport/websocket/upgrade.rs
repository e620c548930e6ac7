//! From an HTTP request to a WebSocket.

use std::rc::Rc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, Response, StatusCode};

use super::decoder::Decoder;
use super::handshake::{self, Accepted, Agreed, Refusal};
use super::socket;
use crate::net::Io;
use crate::transport::http::Server;
use crate::transport::http2::Hold;
use crate::transport::hub::Peer;
use crate::transport::response::{Body, text};
use crate::transport::wire::Wire;

/// Answers a request to upgrade. The socket starts when the answer is written.
pub(in crate::transport) fn upgrade(
    server: Rc<Server>,
    request: &mut Request<Incoming>,
    peer: Peer,
) -> Response<Body> {
    let compression = server.settings.compression;
    let accepted = handshake::accept(request.method(), request.version(), request.headers(), compression);
    let Accepted { key, agreed } = match accepted {
        Ok(accepted) => accepted,
        Err(refusal) => return refused(&server, refusal),
    };
    let upgraded = hyper::upgrade::on(request);
    let decoder = Decoder::new(server.settings.body.bytes, agreed.compression.is_some());
    tokio::task::spawn_local(async move {
        // Fails only if the connection broke before the answer was written.
        let Ok(upgraded) = upgraded.await else { return };
        if let Ok(parts) = upgraded.downcast::<Io>() {
            server.metrics.websocket_upgrades.inc();
            let (stream, rest) = parts.io.into_parts();
            let input = [parts.read_buf, rest].concat();
            socket::start(server, Wire::Connection(stream), peer, decoder, &input);
        }
    });
    let mut response = Response::new(Body::from(Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, key);
    tell(agreed, headers);
    response
}

/// Answers a request to open a WebSocket on a stream of HTTP/2 (RFC 8441). While it is open its connection is held.
pub(in crate::transport) fn connect(
    server: Rc<Server>,
    request: &mut Request<Incoming>,
    peer: Peer,
    hold: Hold,
) -> Response<Body> {
    let agreed = match handshake::accept_connect(request.headers(), server.settings.compression) {
        Ok(agreed) => agreed,
        Err(refusal) => return refused(&server, refusal),
    };
    let upgraded = hyper::upgrade::on(request);
    let decoder = Decoder::new(server.settings.body.bytes, agreed.compression.is_some());
    tokio::task::spawn_local(async move {
        // Fails only if the stream broke before the answer was written.
        let Ok(upgraded) = upgraded.await else { return };
        server.metrics.websocket_upgrades.inc();
        socket::start(server, Wire::stream(upgraded, hold), peer, decoder, &[]);
    });
    let mut response = Response::new(Body::from(Bytes::new()));
    tell(agreed, response.headers_mut());
    response
}

fn tell(agreed: Agreed, headers: &mut HeaderMap) {
    if let Some(protocol) = agreed.protocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    if let Some(compression) = agreed.compression {
        headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, compression);
    }
}

fn refused(server: &Server, refusal: Refusal) -> Response<Body> {
    server.metrics.refused_malformed.inc();
    let status = match refusal {
        Refusal::Version => StatusCode::UPGRADE_REQUIRED,
        Refusal::Invalid(_) => StatusCode::BAD_REQUEST,
    };
    let mut response = text(status, format!("{refusal}\n"));
    if refusal == Refusal::Version {
        response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
    response
}
