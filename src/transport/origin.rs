//! Which web pages may speak to Halley: the Origin policy and CORS.
//!
//! Browsers name the page's origin in every cross-origin request and in every WebSocket upgrade. CORS alone does not
//! protect a WebSocket nor a simple POST, so an origin that is not allowed is refused, on every transport. Requests
//! without an origin do not come from another site's page and pass, but for those that a `<script>` makes: see
//! [`Origins::check_script`].

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};

const DEFAULT_HEADERS: HeaderValue =
    HeaderValue::from_static("content-type, x-requested-with, pragma, authorization, accept");
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, OPTIONS");
const MAX_AGE: HeaderValue = HeaderValue::from_static("86400");
const TRUE: HeaderValue = HeaderValue::from_static("true");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const PRIVATE_NETWORK_ASKED: HeaderName = HeaderName::from_static("access-control-request-private-network");
const PRIVATE_NETWORK_ALLOWED: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// The origins allowed besides the server's own.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    any: bool,
    allowed: Vec<Pattern>,
}

/// `https://app.example.com`, `https://*.example.com:8443`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    scheme: Box<str>,
    /// The host; of a wildcard the suffix, beginning with a dot.
    host: Box<str>,
    wildcard: bool,
    port: Option<u16>,
}

/// An origin taken apart.
struct Origin<'a> {
    scheme: &'a str,
    host: &'a str,
    port: Option<u16>,
}

/// What the policy says of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No origin: not a cross-origin request of a browser.
    Absent,
    /// Allowed; the origin, to be echoed.
    Allowed(HeaderValue),
    /// Not allowed: status 403.
    Refused,
}

/// A setting that is no origin. `Display` says what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an origin: write https://app.example.com, https://*.example.com or *")]
pub struct BadOrigin(pub String);

// === impl Origins ===

impl Origins {
    /// The policy for the setting `origins`.
    pub fn parse<S: AsRef<str>>(list: &[S]) -> Result<Self, BadOrigin> {
        let mut origins = Self::default();
        for entry in list.iter().map(AsRef::as_ref) {
            if entry == "*" {
                origins.any = true;
            } else {
                origins.allowed.push(Pattern::parse(entry).ok_or_else(|| BadOrigin(entry.to_owned()))?);
            }
        }
        Ok(origins)
    }

    /// What to do with a request of these headers, received over TLS if `secure`.
    ///
    /// Same origin is what agrees with `Host`. A page from `https` counts as same also where Halley itself was reached in
    /// plain: something in front of it speaks TLS.
    pub fn check(&self, headers: &HeaderMap, secure: bool) -> Verdict {
        let mut values = headers.get_all(header::ORIGIN).iter();
        let Some(value) = values.next() else { return Verdict::Absent };
        if values.next().is_some() {
            return Verdict::Refused;
        }
        let allowed = self.any
            || value
                .to_str()
                .ok()
                .and_then(Origin::parse)
                .is_some_and(|origin| self.allows(&origin, headers, secure));
        // Copied: as a part of the request it would keep hyper's buffer for as long as a connect is held.
        let copy = HeaderValue::from_bytes(value.as_bytes()).ok().filter(|_| allowed);
        copy.map_or(Verdict::Refused, Verdict::Allowed)
    }

    /// The same for a GET that a `<script>` of any page can make, with nothing in it that the page wants to tell: browsers name no
    /// origin then. What they do say is whether page and server are of one site, and mostly the page's address; a page can hide the
    /// latter. A browser that tells nothing is refused, since the page would be told everything.
    pub fn check_script(&self, headers: &HeaderMap, secure: bool) -> Verdict {
        if headers.contains_key(header::ORIGIN) {
            return self.check(headers, secure);
        }
        let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let site = text(&FETCH_SITE);
        let allowed = self.any
            || matches!(site, Some("same-origin" | "none"))
            || match text(&header::REFERER) {
                Some(page) => Origin::of(page).is_some_and(|origin| self.allows(&origin, headers, secure)),
                // Only a browser runs pages, and none hides that it is one.
                None => {
                    site.is_none() && !text(&header::USER_AGENT).is_some_and(|it| it.starts_with("Mozilla/"))
                }
            };
        if allowed { Verdict::Absent } else { Verdict::Refused }
    }

    fn allows(&self, origin: &Origin<'_>, headers: &HeaderMap, secure: bool) -> bool {
        origin.is_same(headers, secure) || self.allowed.iter().any(|pattern| pattern.matches(origin))
    }

    /// The same policy for Flash, as a file that it asks for before anything else; `None` without origins.
    pub fn flash_policy(&self) -> Option<String> {
        let mut hosts = Vec::new();
        if self.any {
            hosts.push(("*".to_owned(), false));
        }
        for Pattern { scheme, host, wildcard, .. } in &self.allowed {
            let star = if *wildcard { "*" } else { "" };
            hosts.push((format!("{star}{host}"), &**scheme == "https"));
        }
        let lines = hosts.iter().map(|(host, secure)| {
            format!(
                "  <allow-access-from domain=\"{host}\" secure=\"{secure}\"/>\n  \
                 <allow-http-request-headers-from domain=\"{host}\" headers=\"*\" secure=\"{secure}\"/>\n"
            )
        });
        (!hosts.is_empty()).then(|| {
            let lines: String = lines.collect();
            format!("<?xml version=\"1.0\"?>\n<cross-domain-policy>\n{lines}</cross-domain-policy>\n")
        })
    }
}

// === impl Verdict ===

impl Verdict {
    /// Lets the page read the response.
    pub fn allow(&self, response: &mut HeaderMap) {
        let Self::Allowed(origin) = self else { return };
        response.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        response.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
        response.append(header::VARY, HeaderValue::from_static("origin"));
    }

    /// Answers a preflight: whatever headers an allowed page asks for it may send.
    pub fn allow_preflight(&self, request: &HeaderMap, response: &mut HeaderMap) {
        self.allow(response);
        if matches!(self, Self::Allowed(_)) {
            let asked = request.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
            for (name, value) in [
                (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
                (header::ACCESS_CONTROL_ALLOW_HEADERS, asked.unwrap_or(DEFAULT_HEADERS)),
                (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE),
            ] {
                response.insert::<HeaderName>(name, value);
            }
            // Chromium asks so for a server in a more private network than the page's.
            if request.contains_key(PRIVATE_NETWORK_ASKED) {
                response.insert(PRIVATE_NETWORK_ALLOWED, TRUE);
            }
        }
    }
}

// === impl Pattern ===

impl Pattern {
    fn parse(text: &str) -> Option<Self> {
        let origin = Origin::parse(text.strip_suffix('/').unwrap_or(text))?;
        let (host, wildcard) = match origin.host.strip_prefix('*') {
            Some(suffix) => (suffix, true),
            None => (origin.host, false),
        };
        let proper = !host.contains('*') && (!wildcard || (host.len() > 1 && host.starts_with('.')));
        proper.then(|| Self {
            scheme: origin.scheme.to_ascii_lowercase().into(),
            host: host.to_ascii_lowercase().into(),
            wildcard,
            port: origin.port,
        })
    }

    fn matches(&self, origin: &Origin<'_>) -> bool {
        let host = if self.wildcard {
            // At least one character before the suffix: `*.example.com` is not `.example.com`.
            match origin.host.len().checked_sub(self.host.len()) {
                Some(at) if at > 0 => origin.host.get(at..),
                _ => None,
            }
        } else {
            Some(origin.host)
        };
        host.is_some_and(|host| host.eq_ignore_ascii_case(&self.host))
            && origin.scheme.eq_ignore_ascii_case(&self.scheme)
            && origin.port() == self.port.or_else(|| default_port(&self.scheme))
    }
}

// === impl Origin ===

impl<'a> Origin<'a> {
    /// `scheme "://" host [ ":" port ]` (RFC 6454 §6.2); `null` is none.
    fn parse(text: &'a str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let (host, port) = split_port(authority)?;
        let legal = |c: char| c.is_ascii_alphanumeric() || "-._*[]:".contains(c);
        let scheme_legal = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        let proper = !scheme.is_empty() && scheme.chars().all(scheme_legal) && host.chars().all(legal);
        proper.then_some(Self { scheme, host, port })
    }

    /// The origin of a URL.
    fn of(url: &'a str) -> Option<Self> {
        let host = url.find("://")? + 3;
        let end = url.get(host..)?.find(['/', '?', '#']).map_or(url.len(), |at| host + at);
        Self::parse(url.get(..end)?)
    }

    fn port(&self) -> Option<u16> {
        self.port.or_else(|| default_port(self.scheme))
    }

    fn is_same(&self, headers: &HeaderMap, secure: bool) -> bool {
        let scheme = self.scheme.eq_ignore_ascii_case("https")
            || (!secure && self.scheme.eq_ignore_ascii_case("http"));
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).and_then(split_port);
        scheme
            && host.is_some_and(|(host, port)| {
                host.eq_ignore_ascii_case(self.host)
                    && port.or_else(|| default_port(self.scheme)) == self.port()
            })
    }
}

/// Host and port of `host[:port]`; an IPv6 address stands in brackets.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let bracket = authority.rfind(']').map_or(0, |at| at + 1);
    let colon = authority.get(bracket..)?.find(':').map(|at| bracket + at);
    let (host, port) = match colon {
        Some(at) => (authority.get(..at)?, Some(authority.get(at + 1..)?.parse().ok()?)),
        None => (authority, None),
    };
    (!host.is_empty()).then_some((host, port))
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        _ if scheme.eq_ignore_ascii_case("http") => Some(80),
        _ if scheme.eq_ignore_ascii_case("https") => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(origins: &[&str], origin: &'static str, host: &'static str, secure: bool) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert("origin", HeaderValue::from_static(origin));
        headers.insert("host", HeaderValue::from_static(host));
        match Origins::parse(origins).unwrap().check(&headers, secure) {
            Verdict::Allowed(echo) => echo == origin,
            Verdict::Refused => false,
            Verdict::Absent => panic!("there is an origin"),
        }
    }

    #[test]
    fn the_same_origin_is_always_allowed() {
        assert!(verdict(&[], "http://localhost:8080", "localhost:8080", false));
        assert!(verdict(&[], "http://app.example.com", "App.example.com:80", false));
        assert!(verdict(&[], "http://[::1]:8080", "[::1]:8080", false));
        assert!(verdict(&[], "https://app.example.com", "app.example.com", true));
        assert!(verdict(&[], "https://app.example.com", "app.example.com", false), "TLS ends before us");
        assert!(
            !verdict(&[], "http://app.example.com", "app.example.com", true),
            "a plain page, a secure server"
        );
        assert!(!verdict(&[], "http://app.example.com:81", "app.example.com", false));
        assert!(!verdict(&[], "http://evil.com", "app.example.com", false));
        assert!(!verdict(&[], "null", "app.example.com", false));
    }

    #[test]
    fn listed_origins() {
        let list = ["https://app.example.com", "https://*.example.org", "http://dev.local:3000/"];
        for origin in [
            "https://app.example.com",
            "https://APP.example.com:443",
            "https://a.example.org",
            "https://a.b.example.org",
            "http://dev.local:3000",
        ] {
            assert!(verdict(&list, origin, "push", false), "{origin}");
        }
        for origin in [
            "http://app.example.com",
            "https://app.example.com:8443",
            "https://app.example.com.evil.com",
            "https://example.org",
            "https://.example.org",
            "https://evilexample.org",
            "http://dev.local",
            "https://a b.example.org",
            "file://",
            "null",
            "",
        ] {
            assert!(!verdict(&list, origin, "push", false), "{origin}");
        }
    }

    #[test]
    fn a_star_allows_all() {
        assert!(verdict(&["*"], "https://anything.example", "push", false));
        assert!(verdict(&["*"], "null", "push", false));
    }

    #[test]
    fn bad_settings_are_named() {
        for bad in
            ["app.example.com", "https://", "https://*", "https://*.", "https://a.*.com", "https://a/b", "*."]
        {
            assert_eq!(Origins::parse(&[bad]).unwrap_err(), BadOrigin(bad.to_owned()));
        }
    }

    #[test]
    fn two_origins_are_refused_and_none_passes() {
        let mut headers = HeaderMap::new();
        let origins = Origins::parse(&["*"]).unwrap();
        assert_eq!(origins.check(&headers, false), Verdict::Absent);
        headers.append("origin", HeaderValue::from_static("http://a"));
        headers.append("origin", HeaderValue::from_static("http://b"));
        assert_eq!(origins.check(&headers, false), Verdict::Refused);
    }

    #[test]
    fn scripts_are_of_allowed_pages() {
        const BROWSER: (&str, &str) = ("user-agent", "Mozilla/5.0");
        let verdict = |origins: &[&str], lines: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("push"))]);
            for (name, value) in lines {
                headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            Origins::parse(origins).unwrap().check_script(&headers, false) != Verdict::Refused
        };
        let list = ["https://app.example.com"];
        for (lines, allowed) in [
            (&[][..], true),
            (&[("user-agent", "curl/8")], true),
            (&[BROWSER], false),
            (&[BROWSER, ("sec-fetch-site", "same-origin")], true),
            (&[BROWSER, ("sec-fetch-site", "none")], true),
            (&[BROWSER, ("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "cross-site"), ("referer", "https://app.example.com/a?b")], true),
            (&[BROWSER, ("referer", "https://app.example.com")], true),
            (&[BROWSER, ("referer", "http://push/page#x")], true),
            (&[BROWSER, ("referer", "https://evil.example/https://app.example.com/")], false),
            (&[BROWSER, ("referer", "app.example.com")], false),
            (&[BROWSER, ("origin", "https://app.example.com")], true),
            (&[("origin", "https://evil.example"), ("referer", "https://app.example.com/")], false),
        ] {
            assert_eq!(verdict(&list, lines), allowed, "{lines:?}");
            assert!(lines.iter().any(|(name, _)| *name == "origin") || verdict(&["*"], lines), "{lines:?}");
        }
    }

    #[test]
    fn flash_gets_the_same_policy() {
        let policy = |origins: &[&str]| Origins::parse(origins).unwrap().flash_policy();
        assert_eq!(policy(&[]), None);
        let text = policy(&["https://app.example.com", "http://*.example.org:81"]).unwrap();
        assert!(text.contains(r#"<allow-access-from domain="app.example.com" secure="true"/>"#), "{text}");
        assert!(text.contains(r#"<allow-access-from domain="*.example.org" secure="false"/>"#), "{text}");
        assert!(policy(&["*"]).unwrap().contains(r#"domain="*" secure="false""#));
    }

    #[test]
    fn preflight_grants_what_is_asked() {
        let mut request = HeaderMap::new();
        let origin = Verdict::Allowed(HeaderValue::from_static("http://a"));
        let mut response = HeaderMap::new();
        origin.allow_preflight(&request, &mut response);
        assert_eq!(response["access-control-allow-origin"], "http://a");
        assert_eq!(response["access-control-allow-credentials"], "true");
        assert_eq!(response["access-control-allow-headers"], DEFAULT_HEADERS);
        assert_eq!(response["vary"], "origin");
        request.insert("access-control-request-headers", HeaderValue::from_static("content-type,x-token"));
        origin.allow_preflight(&request, &mut response);
        assert_eq!(response["access-control-allow-headers"], "content-type,x-token");

        assert!(!response.contains_key("access-control-allow-private-network"));
        request.insert("access-control-request-private-network", HeaderValue::from_static("true"));
        origin.allow_preflight(&request, &mut response);
        assert_eq!(response["access-control-allow-private-network"], "true");

        let mut refused = HeaderMap::new();
        Verdict::Refused.allow_preflight(&request, &mut refused);
        assert!(refused.is_empty());
    }
}
