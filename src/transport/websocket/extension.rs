//! Whether and how a WebSocket is compressed: `Sec-WebSocket-Extensions` (RFC 6455 §9, RFC 7692 §5 and §7.1).

use hyper::header::{self, HeaderMap, HeaderValue};

/// The answer to the first offer of `permessage-deflate` that can be kept; `None` if there is none.
///
/// Context is never taken over: what many receive is compressed once for all of them, and no connection keeps a decompressor. For
/// the same reason there is one window, the largest: an offer that wants a smaller one of the server is declined.
pub fn negotiate(headers: &HeaderMap) -> Option<HeaderValue> {
    headers
        .get_all(header::SEC_WEBSOCKET_EXTENSIONS)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| split(value, b','))
        .find_map(accept)
}

fn accept(offer: &str) -> Option<HeaderValue> {
    let mut parts = split(offer, b';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case("permessage-deflate") {
        return None;
    }
    let mut seen = Vec::new();
    let mut window = false;
    for part in parts {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name.trim_end(), Some(unquote(value.trim_start())?)),
            None => (part, None),
        };
        let name = name.to_ascii_lowercase();
        match (name.as_str(), value) {
            (
                "server_no_context_takeover" | "client_no_context_takeover" | "client_max_window_bits",
                None,
            ) => {}
            ("client_max_window_bits", Some(bits)) if is_window(bits) => {}
            ("server_max_window_bits", Some("15")) => window = true,
            _ => return None,
        }
        if seen.contains(&name) {
            return None;
        }
        seen.push(name);
    }
    Some(HeaderValue::from_static(if window {
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15"
    } else {
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    }))
}

/// A number from 8 to 15, without zeros before it (RFC 7692 §7.1.2).
fn is_window(bits: &str) -> bool {
    matches!(bits, "8" | "9" | "10" | "11" | "12" | "13" | "14" | "15")
}

/// A token, or what a quoted string stands for: that must be a token, too (RFC 6455 §9.1), so it holds no escapes.
fn unquote(value: &str) -> Option<&str> {
    let value = match value.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"')?,
        None => value,
    };
    (!value.is_empty()
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)))
    .then_some(value)
}

/// The parts of a list, whose separator may also stand inside quotes.
fn split(list: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    list.split(move |c: char| {
        quoted ^= c == '"';
        !quoted && c == char::from(separator)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

    fn answer(offers: &[&'static str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for offer in offers {
            headers.append(header::SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(offer));
        }
        negotiate(&headers).map(|answer| answer.to_str().unwrap().to_owned())
    }

    #[test]
    fn offers_that_can_be_kept() {
        for offer in [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "Permessage-Deflate;client_max_window_bits=10",
            "permessage-deflate ; client_max_window_bits = \"8\"",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            "x-webkit-deflate-frame, permessage-deflate",
            "a; b=\"x, permessage-bzip2;\", permessage-deflate",
            "permessage-deflate; server_max_window_bits=10, permessage-deflate",
            "permessage-deflate; server_max_window_bits=10; client_max_window_bits, permessage-deflate; client_max_window_bits",
        ] {
            assert_eq!(answer(&[offer]).as_deref(), Some(PLAIN), "{offer}");
        }
        assert_eq!(answer(&["permessage-bzip2", "permessage-deflate"]).as_deref(), Some(PLAIN));
        let window = format!("{PLAIN}; server_max_window_bits=15");
        assert_eq!(answer(&["permessage-deflate; server_max_window_bits=15"]), Some(window));
    }

    #[test]
    fn offers_that_are_declined() {
        for offer in [
            "",
            "permessage-bzip2",
            "permessage-deflate2",
            "permessage-deflate; server_max_window_bits=9",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=015",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; client_max_window_bits=16",
            "permessage-deflate; client_max_window_bits=",
            "permessage-deflate; client_max_window_bits=\"15",
            "permessage-deflate; client_max_window_bits=\"1,5\"",
            "permessage-deflate; client_max_window_bits; client_max_window_bits",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
            "permessage-deflate; mode=fast",
            "permessage-deflate;",
            "a; b=\", permessage-deflate",
        ] {
            assert_eq!(answer(&[offer]), None, "{offer}");
        }
    }
}
