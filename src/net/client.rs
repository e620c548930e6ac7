//! An HTTP/1.1 client for one server: one connection, opened when it is needed.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT, CONTENT_TYPE, COOKIE, HOST, SET_COOKIE};
use hyper::{Method, Request};
use tokio::net::TcpStream;

use super::Io;

/// Bytes of an answer's body that are read at most.
const BODY_BYTES: usize = 64 << 20;

/// Where a server is, and what is asked for there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    host: String,
    port: u16,
    path: String,
}

/// What is wrong with a URL. `Display` says it to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// It is no URL.
    #[error("expected a URL such as http://127.0.0.1:8080/cometd")]
    Syntax,
    /// It asks for TLS.
    #[error("https and wss are not spoken here: name the server behind the TLS proxy")]
    Tls,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection.
    #[error("cannot connect to {0}: {1}")]
    Connect(String, std::io::Error),
    /// The connection broke, or what came was no HTTP.
    #[error("the connection to {0} broke: {1}")]
    Broken(String, Box<dyn std::error::Error + Send + Sync>),
    /// It takes too long.
    #[error("no answer from {0} within {1:?}")]
    TimedOut(String, Duration),
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The values of `Set-Cookie`, without their attributes: `name=value`.
    pub cookies: Vec<String>,
    /// The whole body.
    pub body: Bytes,
}

/// A client of one URL.
#[derive(Debug)]
pub struct Client {
    url: Url,
    sender: Option<SendRequest<Full<Bytes>>>,
}

// === impl Url ===

impl Url {
    /// Reads `http://host:port/path`; `ws://` is the same.
    ///
    /// # Errors
    /// If it is no such URL.
    pub fn parse(text: &str) -> Result<Self, BadUrl> {
        let uri: hyper::Uri = text.parse().map_err(|_| BadUrl::Syntax)?;
        match uri.scheme_str() {
            Some("http" | "ws") => {}
            Some("https" | "wss") => return Err(BadUrl::Tls),
            _ => return Err(BadUrl::Syntax),
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(BadUrl::Syntax)?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self { host: host.to_owned(), port: uri.port_u16().unwrap_or(80), path: path.to_owned() })
    }

    /// `host:port`.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The same place as a WebSocket.
    pub fn websocket(&self) -> String {
        format!("ws://{}{}", self.authority(), self.path)
    }

    /// Opens a TCP connection.
    ///
    /// # Errors
    /// [`ClientError::Connect`] or [`ClientError::TimedOut`].
    pub async fn connect(&self, patience: Duration) -> Result<TcpStream, ClientError> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let connecting = tokio::time::timeout(patience, TcpStream::connect((host, self.port))).await;
        let stream = connecting
            .map_err(|_| ClientError::TimedOut(self.authority(), patience))?
            .and_then(|stream| stream.set_nodelay(true).map(|()| stream));
        stream.map_err(|error| ClientError::Connect(self.authority(), error))
    }
}

// === impl Client ===

impl Client {
    /// A client that is not connected yet.
    pub fn new(url: Url) -> Self {
        Self { url, sender: None }
    }

    /// GET.
    ///
    /// # Errors
    /// If there is no answer within `patience`; any status is an answer.
    pub async fn get(&mut self, patience: Duration) -> Result<Answer, ClientError> {
        self.ask(&Method::GET, &Bytes::new(), "", patience).await
    }

    /// POST of JSON. `cookies` is the header, or empty.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post(
        &mut self,
        json: &Bytes,
        cookies: &str,
        patience: Duration,
    ) -> Result<Answer, ClientError> {
        self.ask(&Method::POST, json, cookies, patience).await
    }

    async fn ask(
        &mut self,
        method: &Method,
        body: &Bytes,
        cookies: &str,
        patience: Duration,
    ) -> Result<Answer, ClientError> {
        let asking = Box::pin(self.try_ask(method, body, cookies, patience));
        let answered = tokio::time::timeout(patience, asking).await;
        answered.unwrap_or_else(|_| Err(ClientError::TimedOut(self.url.authority(), patience)))
    }

    async fn try_ask(
        &mut self,
        method: &Method,
        body: &Bytes,
        cookies: &str,
        patience: Duration,
    ) -> Result<Answer, ClientError> {
        let broken = |url: &Url, error: Box<dyn std::error::Error + Send + Sync>| {
            ClientError::Broken(url.authority(), error)
        };
        loop {
            let reused = self.sender.is_some();
            let mut sender = match self.sender.take() {
                Some(sender) => sender,
                None => self.open(patience).await?,
            };
            let mut request = Request::builder()
                .method(method)
                .uri(&self.url.path)
                .header(HOST, self.url.authority())
                .header(ACCEPT, "*/*");
            if method == Method::POST {
                request = request.header(CONTENT_TYPE, "application/json;charset=UTF-8");
            }
            if !cookies.is_empty() {
                request = request.header(COOKIE, cookies);
            }
            let request = request.body(Full::new(body.clone())).map_err(|e| broken(&self.url, e.into()))?;
            let sent = match sender.ready().await {
                Ok(()) => sender.send_request(request).await,
                Err(error) => Err(error),
            };
            let response = match sent {
                Ok(response) => response,
                // The server had closed an idle connection before the request was on its way.
                Err(error) if reused && (error.is_canceled() || error.is_closed()) => continue,
                Err(error) => return Err(broken(&self.url, error.into())),
            };
            let status = response.status().as_u16();
            let cookies = response.headers().get_all(SET_COOKIE).iter();
            let cookies = cookies.filter_map(|value| value.to_str().ok()?.split(';').next());
            let cookies = cookies.map(|cookie| cookie.trim().to_owned()).collect();
            let body = Limited::new(response.into_body(), BODY_BYTES).collect().await;
            let body = body.map_err(|error| broken(&self.url, error))?.to_bytes();
            self.sender = Some(sender);
            return Ok(Answer { status, cookies, body });
        }
    }

    async fn open(&self, patience: Duration) -> Result<SendRequest<Full<Bytes>>, ClientError> {
        let io = Io::new(self.url.connect(patience).await?, patience);
        let (sender, connection) = http1::handshake(io)
            .await
            .map_err(|error| ClientError::Broken(self.url.authority(), error.into()))?;
        // Ends with its sender; how is told there.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
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
        assert_eq!(Url::parse("http://h").unwrap().path, "/");
        assert_eq!(Url::parse("https://h/"), Err(BadUrl::Tls));
        for bad in ["", "h", "/cometd", "ftp://h/", "http://", "localhost:8080"] {
            assert_eq!(Url::parse(bad), Err(BadUrl::Syntax), "{bad}");
        }
    }
}
