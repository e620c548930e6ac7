//! An HTTP/1.1 client for one server: one connection, opened when it is needed.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT, CONTENT_TYPE, COOKIE, HOST, SET_COOKIE};
use hyper::{Method, Request};

use super::Io;
use super::target::Target;
use super::url::Url;

/// Bytes of an answer's body that are read at most.
const BODY_BYTES: usize = 64 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection.
    #[error("cannot connect to {0}: {1}")]
    Connect(String, std::io::Error),
    /// TLS allows none: the server cannot be trusted, or speaks no TLS.
    #[error("no TLS with {0}: {1} (--ca FILE names another authority to trust)")]
    Tls(String, std::io::Error),
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
    target: Target,
    sender: Option<SendRequest<Full<Bytes>>>,
}

// === impl Client ===

impl Client {
    /// A client that is not connected yet.
    pub fn new(target: Target) -> Self {
        Self { target, sender: None }
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
        answered.unwrap_or_else(|_| Err(ClientError::TimedOut(self.target.url().authority(), patience)))
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
                .uri(self.target.url().path())
                .header(HOST, self.target.url().authority())
                .header(ACCEPT, "*/*");
            if method == Method::POST {
                request = request.header(CONTENT_TYPE, "application/json;charset=UTF-8");
            }
            for (name, value) in self.target.headers() {
                request = request.header(name, value);
            }
            if !cookies.is_empty() {
                request = request.header(COOKIE, cookies);
            }
            let request =
                request.body(Full::new(body.clone())).map_err(|e| broken(self.target.url(), e.into()))?;
            let sent = match sender.ready().await {
                Ok(()) => sender.send_request(request).await,
                Err(error) => Err(error),
            };
            let response = match sent {
                Ok(response) => response,
                // The server had closed an idle connection before the request was on its way.
                Err(error) if reused && (error.is_canceled() || error.is_closed()) => continue,
                Err(error) => return Err(broken(self.target.url(), error.into())),
            };
            let status = response.status().as_u16();
            let cookies = response.headers().get_all(SET_COOKIE).iter();
            let cookies = cookies.filter_map(|value| value.to_str().ok()?.split(';').next());
            let cookies = cookies.map(|cookie| cookie.trim().to_owned()).collect();
            let body = Limited::new(response.into_body(), BODY_BYTES).collect().await;
            let body = body.map_err(|error| broken(self.target.url(), error))?.to_bytes();
            self.sender = Some(sender);
            return Ok(Answer { status, cookies, body });
        }
    }

    async fn open(&self, patience: Duration) -> Result<SendRequest<Full<Bytes>>, ClientError> {
        let io = Io::new(self.target.connect(patience).await?, patience);
        let (sender, connection) = http1::handshake(io)
            .await
            .map_err(|error| ClientError::Broken(self.target.url().authority(), error.into()))?;
        // Ends with its sender; how is told there.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }
}
