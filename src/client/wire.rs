//! The two transports: texts of messages in, messages out. Tasks of their own do the waiting.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_websockets::{ClientBuilder, Limits, Message, WebSocketStream};

use super::message::{self, Incoming};
use super::session::Out;
use crate::net;

/// Messages on their way. A session sends no more at a time: publishes are windowed by their caller.
const QUEUE: usize = 1024;
/// What came and was not looked at yet, in messages of the transport; past it the server has to wait.
const UNSEEN: usize = 4;
/// Bytes of a WebSocket message that are taken at most.
const MESSAGE_BYTES: usize = 64 << 20;
/// How long a connection may take to open.
const OPEN: Duration = Duration::from_secs(10);
/// How long a reply may take on the wire. The session is stricter, by what the server advises.
const ANSWER: Duration = Duration::from_hours(1);
/// How long a WebSocket may take to close.
const CLOSE: Duration = Duration::from_secs(2);

/// A way to a Bayeux server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// One socket.
    WebSocket,
    /// One HTTP request that the server holds, another for everything else.
    LongPolling,
}

/// What came: messages, or why no more will.
pub(super) type Received = Result<Vec<Incoming>, String>;

/// A connection to a server. Dropped, it ends.
#[derive(Debug)]
pub(super) struct Wire {
    /// For `/meta/connect`, and for everything else.
    held: mpsc::Sender<String>,
    other: mpsc::Sender<String>,
    received: mpsc::Receiver<Received>,
    task: Option<JoinHandle<()>>,
}

// === impl Transport ===

impl Transport {
    /// The name of its connection type.
    pub fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::LongPolling => "long-polling",
        }
    }
}

// === impl Wire ===

impl Wire {
    /// Connects.
    ///
    /// # Errors
    /// If there is no such server there, or it speaks no WebSocket.
    pub async fn open(transport: Transport, target: &net::Target) -> Result<Self, String> {
        let (received_by, received) = mpsc::channel(UNSEEN);
        let (other, others) = mpsc::channel(QUEUE);
        match transport {
            Transport::WebSocket => {
                let socket = websocket(target).await?;
                let task = Some(tokio::spawn(drive(socket, others, received_by)));
                Ok(Self { held: other.clone(), other, received, task })
            }
            Transport::LongPolling => {
                let (held, helds) = mpsc::channel(QUEUE);
                let cookies = Arc::<Mutex<Vec<String>>>::default();
                tokio::spawn(poll(
                    net::Client::new(target.clone()),
                    helds,
                    received_by.clone(),
                    cookies.clone(),
                ));
                tokio::spawn(poll(net::Client::new(target.clone()), others, received_by, cookies));
                Ok(Self { held, other, received, task: None })
            }
        }
    }

    /// Sends, without waiting.
    ///
    /// # Errors
    /// If the connection is lost, or takes nothing any more.
    pub fn send(&self, out: Out) -> Result<(), String> {
        let queue = if out.held { &self.held } else { &self.other };
        queue.try_send(out.text).map_err(|_| "the connection takes no more messages".to_owned())
    }

    /// What comes next.
    pub async fn receive(&mut self) -> Received {
        self.received.recv().await.unwrap_or_else(|| Err("the connection is closed".to_owned()))
    }

    /// Closes, and waits a little for it.
    pub async fn close(self) {
        let Self { held, other, received, task } = self;
        drop((held, other, received));
        if let Some(task) = task {
            let _ = tokio::time::timeout(CLOSE, task).await;
        }
    }
}

async fn websocket(target: &net::Target) -> Result<WebSocketStream<net::Stream>, String> {
    let url = target.url();
    let stream = target.connect(OPEN).await.map_err(|error| error.to_string())?;
    let mut builder = ClientBuilder::new()
        .uri(&url.websocket())
        .map_err(|error| error.to_string())?
        .limits(Limits::default().max_payload_len(Some(MESSAGE_BYTES)));
    for (name, value) in target.headers() {
        builder = builder.add_header(name, value).map_err(|error| error.to_string())?;
    }
    let opening = tokio::time::timeout(OPEN, builder.connect_on(stream)).await;
    match opening {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(error)) => Err(format!("{} opens no WebSocket: {error}", url.authority())),
        Err(_) => Err(format!("{} opens no WebSocket within {OPEN:?}", url.authority())),
    }
}

/// Carries a WebSocket until either side ends it.
async fn drive(
    mut socket: WebSocketStream<net::Stream>,
    mut outgoing: mpsc::Receiver<String>,
    received: mpsc::Sender<Received>,
) {
    let why = loop {
        tokio::select! {
            text = outgoing.recv() => {
                let Some(text) = text else {
                    let _ = socket.close().await;
                    return;
                };
                if let Err(error) = socket.send(Message::text(text)).await {
                    break error.to_string();
                }
            }
            message = socket.next() => match message {
                Some(Ok(message)) if message.is_text() => {
                    let parsed = message::parse(message.as_payload()).map_err(|error| not_bayeux(&error));
                    if received.send(parsed).await.is_err() {
                        let _ = socket.close().await;
                        return;
                    }
                }
                Some(Ok(message)) => {
                    if let Some((code, reason)) = message.as_close() {
                        break format!("the server closed the WebSocket: {} {reason}", u16::from(code));
                    }
                }
                Some(Err(error)) => break error.to_string(),
                None => break "the server closed the WebSocket".to_owned(),
            }
        }
    };
    let _ = received.send(Err(why)).await;
}

/// Carries requests, one after the other, until nobody sends or takes any more.
async fn poll(
    mut http: net::Client,
    mut outgoing: mpsc::Receiver<String>,
    received: mpsc::Sender<Received>,
    cookies: Arc<Mutex<Vec<String>>>,
) {
    loop {
        let text = tokio::select! {
            text = outgoing.recv() => text,
            () = received.closed() => None,
        };
        let Some(text) = text else { return };
        let cookie = cookies.lock().unwrap_or_else(PoisonError::into_inner).join("; ");
        let text = Bytes::from(text);
        let answer = tokio::select! {
            answer = http.post(&text, &cookie, ANSWER) => answer,
            () = received.closed() => return,
        };
        let result = match answer {
            Ok(answer) if answer.status == 200 => {
                keep(&cookies, answer.cookies);
                message::parse(&answer.body).map_err(|error| not_bayeux(&error))
            }
            Ok(answer) => {
                Err(format!("HTTP status {}: is a Bayeux server mounted at this path?", answer.status))
            }
            Err(error) => Err(error.to_string()),
        };
        let failed = result.is_err();
        if received.send(result).await.is_err() || failed {
            return;
        }
    }
}

/// Keeps cookies as a browser does: the last value of each name.
fn keep(cookies: &Mutex<Vec<String>>, new: Vec<String>) {
    let name = |cookie: &str| cookie.split('=').next().unwrap_or_default().to_owned();
    let mut cookies = cookies.lock().unwrap_or_else(PoisonError::into_inner);
    for cookie in new {
        cookies.retain(|known| name(known) != name(&cookie));
        cookies.push(cookie);
    }
}

fn not_bayeux(error: &serde_json::Error) -> String {
    format!("what the server sent is no Bayeux message: {error}")
}
