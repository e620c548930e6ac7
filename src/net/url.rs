//! Where a server is.

/// Where a server is, and what is asked for there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    secure: bool,
    host: String,
    port: u16,
    path: String,
}

/// It is no URL. `Display` says it to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a URL such as http://127.0.0.1:8080/cometd")]
pub struct BadUrl;

// === impl Url ===

impl Url {
    /// Reads `http://host:port/path`; `ws://` is the same. `https://` and `wss://` are with TLS.
    ///
    /// # Errors
    /// If it is no such URL.
    pub fn parse(text: &str) -> Result<Self, BadUrl> {
        let uri: hyper::Uri = text.parse().map_err(|_| BadUrl)?;
        let secure = match uri.scheme_str() {
            Some("http" | "ws") => false,
            Some("https" | "wss") => true,
            _ => return Err(BadUrl),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(BadUrl)?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        Ok(Self { secure, host: host.to_owned(), port, path: path.to_owned() })
    }

    /// Whether it is spoken to by TLS.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The host; an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port, given or usual.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `host:port`.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Path and query.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The same place as a WebSocket.
    pub fn websocket(&self) -> String {
        let scheme = if self.secure { "wss" } else { "ws" };
        format!("{scheme}://{}{}", self.authority(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let url = Url::parse("http://localhost:8080/cometd?x=1").unwrap();
        assert_eq!(url.authority(), "localhost:8080");
        assert_eq!(url.websocket(), "ws://localhost:8080/cometd?x=1");
        assert_eq!(Url::parse("ws://[::1]/").unwrap().authority(), "[::1]:80");
        assert_eq!(Url::parse("ws://[::1]/").unwrap().host(), "::1");
        assert_eq!(Url::parse("http://h").unwrap().path, "/");
        let secure = Url::parse("https://h/cometd").unwrap();
        assert_eq!((secure.is_secure(), secure.port()), (true, 443));
        assert_eq!(secure.websocket(), "wss://h:443/cometd");
        assert_eq!(Url::parse("wss://h:8443/").unwrap().authority(), "h:8443");
        for bad in ["", "h", "/cometd", "ftp://h/", "http://", "localhost:8080"] {
            assert_eq!(Url::parse(bad), Err(BadUrl), "{bad}");
        }
    }
}
