//! The request that opens a WebSocket: an upgrade (RFC 6455 §4.2), or with HTTP/2 a CONNECT (RFC 8441).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::ext::Protocol;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Version};
use sha1::{Digest, Sha1};

use super::extension;

/// Appended to the client's key (RFC 6455 §1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Why a request to upgrade is refused. `Display` is the text for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The version asked for is not 13: status 426.
    #[error("only WebSocket version 13 is spoken here")]
    Version,
    /// The request is not a valid upgrade: status 400.
    #[error("{0}")]
    Invalid(&'static str),
}

/// What the answer to an upgrade says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// `Sec-WebSocket-Accept`.
    pub key: HeaderValue,
    /// What else is agreed.
    pub agreed: Agreed,
}

/// What client and server agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// `Sec-WebSocket-Protocol`: the first of those offered, whatever it is. Browsers give up if they offered some and get none.
    pub protocol: Option<HeaderValue>,
    /// `Sec-WebSocket-Extensions`, if messages may be compressed.
    pub compression: Option<HeaderValue>,
}

/// Whether the request asks for a WebSocket, well or badly.
pub fn is_upgrade(headers: &HeaderMap) -> bool {
    has_token(headers, &header::UPGRADE, "websocket")
}

/// Checks a request to upgrade. Of the extensions that it offers, compression is taken if `compression` allows it.
pub fn accept(
    method: &Method,
    version: Version,
    headers: &HeaderMap,
    compression: bool,
) -> Result<Accepted, Refusal> {
    if method != Method::GET || version < Version::HTTP_11 {
        return Err(Refusal::Invalid("a WebSocket opens with GET and HTTP/1.1"));
    }
    if only(headers, &header::HOST).is_none() {
        return Err(Refusal::Invalid("there must be one header Host"));
    }
    if !has_token(headers, &header::CONNECTION, "upgrade") {
        return Err(Refusal::Invalid(
            "the header Connection: upgrade is missing; a proxy before this server may have dropped it",
        ));
    }
    check_version(headers)?;
    let key = only(headers, &header::SEC_WEBSOCKET_KEY)
        .ok_or(Refusal::Invalid("there must be one header Sec-WebSocket-Key"))?;
    if !STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16) {
        return Err(Refusal::Invalid("Sec-WebSocket-Key is not 16 bytes in base64"));
    }
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let key = HeaderValue::try_from(STANDARD.encode(digest))
        .map_err(|_| Refusal::Invalid("no answer to Sec-WebSocket-Key"))?;
    Ok(Accepted { key, agreed: agree(headers, compression) })
}

/// Whether the request asks for a WebSocket on a stream of HTTP/2.
pub fn is_connect<B>(request: &Request<B>) -> bool {
    request.extensions().get::<Protocol>().is_some_and(|protocol| protocol.as_str() == "websocket")
}

/// Checks such a request, which needs no key.
pub fn accept_connect(headers: &HeaderMap, compression: bool) -> Result<Agreed, Refusal> {
    check_version(headers)?;
    Ok(agree(headers, compression))
}

fn check_version(headers: &HeaderMap) -> Result<(), Refusal> {
    match only(headers, &header::SEC_WEBSOCKET_VERSION) {
        Some(version) if version == "13" => Ok(()),
        _ => Err(Refusal::Version),
    }
}

fn agree(headers: &HeaderMap, compression: bool) -> Agreed {
    Agreed { protocol: protocol(headers), compression: extension::negotiate(headers).filter(|_| compression) }
}

/// The first subprotocol of those offered.
fn protocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let offered = headers.get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    let first = offered.split(',').next()?.trim();
    if first.is_empty() { None } else { HeaderValue::from_str(first).ok() }
}

/// A header that must be there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// Whether a comma-separated header, perhaps repeated, has `token`, whatever its case.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|word| word.trim().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    fn request() -> HeaderMap {
        headers(&[
            ("host", "gateway"),
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-protocol", "cometd, other"),
            ("sec-websocket-extensions", "permessage-deflate"),
        ])
    }

    fn check(headers: &HeaderMap) -> Result<Accepted, Refusal> {
        accept(&Method::GET, Version::HTTP_11, headers, true)
    }

    #[test]
    fn the_example_of_the_rfc() {
        assert!(is_upgrade(&request()));
        let accepted = check(&request()).unwrap();
        assert_eq!(accepted.key, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(accepted.agreed.protocol.unwrap(), "cometd");
        assert!(accepted.agreed.compression.is_some());
        let plain = accept(&Method::GET, Version::HTTP_11, &request(), false).unwrap();
        assert_eq!(plain.agreed.compression, None);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let mut other = request();
        other.insert("sec-websocket-version", HeaderValue::from_static("8"));
        assert_eq!(check(&other), Err(Refusal::Version));
        for (name, value) in [
            ("connection", "close"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ"),
            ("sec-websocket-key", "AAAA"),
        ] {
            let mut other = request();
            other.insert(name, HeaderValue::from_static(value));
            assert!(matches!(check(&other), Err(Refusal::Invalid(_))), "{name}: {value}");
        }
        for name in ["host", "sec-websocket-key", "sec-websocket-version"] {
            let mut other = request();
            other.append(name, other[name].clone());
            assert!(check(&other).is_err(), "two of {name}");
            other.remove(name);
            assert!(check(&other).is_err(), "no {name}");
        }
        assert!(matches!(
            accept(&Method::POST, Version::HTTP_11, &request(), true),
            Err(Refusal::Invalid(_))
        ));
        assert!(matches!(accept(&Method::GET, Version::HTTP_10, &request(), true), Err(Refusal::Invalid(_))));
        assert!(!is_upgrade(&headers(&[("upgrade", "h2c")])));
    }
}
