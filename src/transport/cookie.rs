//! The cookie that names a browser, `BAYEUX_BROWSER`.
//!
//! It tells which sessions are of one browser. It is no credential: a session is its clientId.

use std::fmt::Write as _;

use hyper::header::{self, HeaderMap, HeaderValue};

use crate::config::{Cookie, SameSite};

const NAME: &str = "BAYEUX_BROWSER";
/// Longest value that is adopted from a client.
const MAX_VALUE: usize = 128;

/// Makes `Set-Cookie` headers; the attributes are written out once.
#[derive(Clone, Debug)]
pub struct BrowserCookie {
    suffix: String,
    /// Whether the attributes have `Secure` wherever the cookie goes.
    secure: bool,
}

/// The value of the browser cookie in a request; none if there is none or it is not well formed (then it counts as absent,
/// and the browser gets a new one).
pub fn browser(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.split_once('='))
        .find(|(name, _)| name.trim() == NAME)
        .map(|(_, value)| unquote(value.trim()))
        .filter(|value| is_well_formed(value))
}

/// Whether a cookie's value may be adopted: 1 to 128 of letters, digits, `-`, `_`, `.` and `~`.
fn is_well_formed(value: &str) -> bool {
    (1..=MAX_VALUE).contains(&value.len())
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte))
}

fn unquote(value: &str) -> &str {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

// === impl BrowserCookie ===

impl BrowserCookie {
    /// A cookie with these attributes, out of reach of scripts.
    pub fn new(attributes: &Cookie) -> Self {
        let mut suffix = String::new();
        if let Some(domain) = &attributes.domain {
            suffix += "; Domain=";
            suffix += domain;
        }
        suffix += "; Path=";
        suffix += &attributes.path;
        if let Some(max_age) = attributes.max_age {
            let _ = write!(suffix, "; Max-Age={}", max_age.as_secs());
        }
        suffix += "; HttpOnly";
        let secure = attributes.secure || attributes.same_site == SameSite::None;
        if secure {
            suffix += "; Secure";
        }
        suffix += match attributes.same_site {
            SameSite::Strict => "; SameSite=Strict",
            SameSite::Lax => "; SameSite=Lax",
            SameSite::None => "; SameSite=None",
        };
        if attributes.partitioned {
            suffix += "; Partitioned";
        }
        Self { suffix, secure }
    }

    /// The header that gives a browser the name `value`; none if value or attributes are not legal in a header. Over TLS
    /// (`secure`) it is for TLS alone.
    pub fn header(&self, value: &str, secure: bool) -> Option<HeaderValue> {
        let more = if secure && !self.secure { "; Secure" } else { "" };
        HeaderValue::try_from(format!("{NAME}={value}{}{more}", self.suffix)).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn found(lines: &[&'static str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("cookie", HeaderValue::from_static(line));
        }
        browser(&headers).map(str::to_owned)
    }

    #[test]
    fn the_browser_is_found_among_others() {
        for lines in [
            &["BAYEUX_BROWSER=abc.1-2_3~"][..],
            &["a=b; BAYEUX_BROWSER=abc.1-2_3~ ; c"],
            &["x", "", "=;;a=\"b;c", "BAYEUX_BROWSER=\"abc.1-2_3~\"; BAYEUX_BROWSER=other"],
        ] {
            assert_eq!(found(lines).as_deref(), Some("abc.1-2_3~"), "{lines:?}");
        }
    }

    #[test]
    fn what_is_not_well_formed_is_absent() {
        let long: &'static str = Box::leak(format!("BAYEUX_BROWSER={}", "x".repeat(129)).into_boxed_str());
        for line in [
            "",
            "BAYEUX_BROWSER",
            "BAYEUX_BROWSER=",
            "BAYEUX_BROWSER=a b",
            "bayeux_browser=a",
            "BAYEUX_BROWSER=<s>",
            long,
        ] {
            assert_eq!(found(&[line]), None, "{line}");
        }
    }

    #[test]
    fn attributes_are_written() {
        let plain = BrowserCookie::new(&Cookie::default());
        assert_eq!(plain.header("v", false).unwrap(), "BAYEUX_BROWSER=v; Path=/; HttpOnly; SameSite=Lax");
        assert_eq!(
            plain.header("v", true).unwrap(),
            "BAYEUX_BROWSER=v; Path=/; HttpOnly; SameSite=Lax; Secure"
        );
        let full = BrowserCookie::new(&Cookie {
            secure: false,
            same_site: SameSite::None,
            partitioned: true,
            domain: Some("example.com".into()),
            path: "/cometd".into(),
            max_age: Some(Duration::from_mins(1)),
        });
        let expected = "BAYEUX_BROWSER=v; Domain=example.com; Path=/cometd; Max-Age=60; HttpOnly; Secure; SameSite=None; Partitioned";
        assert_eq!(full.header("v", true).unwrap(), expected);
        assert_eq!(full.header("a\nb", false), None);
    }

    proptest! {
        #[test]
        fn any_header_is_read(line in "[ -~]{0,80}") {
            let mut headers = HeaderMap::new();
            headers.append("cookie", HeaderValue::try_from(line).unwrap());
            prop_assert!(browser(&headers).is_none_or(is_well_formed));
        }
    }
}
