//! A session over a wire, and over another one when that breaks.

use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use super::session::{News, Session};
use super::wire::{Transport, Wire};
use crate::net;

/// Pauses before a new connection, the first and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long a server may take to confirm the end.
const FAREWELL: Duration = Duration::from_secs(3);

/// Why a client gives up: one line for people.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

/// A Bayeux client.
#[derive(Debug)]
pub struct Client {
    target: net::Target,
    transport: Transport,
    session: Session,
    wire: Option<Wire>,
    reconnect_at: Instant,
    pause: Duration,
}

// === impl Client ===

impl Client {
    /// Connects, handshakes and subscribes to `channels`; how that went is in the news. Without `transport` it tries a
    /// WebSocket and falls back to long-polling.
    ///
    /// # Errors
    /// If the server cannot be reached or refuses the handshake.
    pub async fn open(
        target: &net::Target,
        transport: Option<Transport>,
        channels: &[String],
    ) -> Result<Self, Error> {
        match transport {
            Some(transport) => Self::open_with(target, transport, channels).await,
            None => match Self::open_with(target, Transport::WebSocket, channels).await {
                Ok(client) => Ok(client),
                Err(_) => Self::open_with(target, Transport::LongPolling, channels).await,
            },
        }
    }

    async fn open_with(
        target: &net::Target,
        transport: Transport,
        channels: &[String],
    ) -> Result<Self, Error> {
        let now = Instant::now();
        let mut client = Self {
            target: target.clone(),
            transport,
            session: Session::new(transport.name(), channels.to_vec(), now),
            wire: Some(Wire::open(transport, target).await.map_err(Error)?),
            reconnect_at: now,
            pause: FIRST_PAUSE,
        };
        while !client.session.is_open() {
            if let Err(lost) = client.step().await? {
                return Err(Error(lost));
            }
        }
        Ok(client)
    }

    /// The transport that it has come to.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Publishes; the number comes back in the news. Ask for the news before the next hundred.
    pub fn publish(&mut self, channel: &str, data: Box<RawValue>) -> u64 {
        self.session.publish(channel, data, Instant::now())
    }

    /// Waits for what happens next. Nothing is lost if the wait is given up.
    ///
    /// # Errors
    /// If the server wants no more of this client.
    pub async fn news(&mut self) -> Result<News, Error> {
        loop {
            if let Some(news) = self.session.news() {
                return Ok(news);
            }
            if self.wire.is_none() {
                tokio::time::sleep_until(self.reconnect_at.into()).await;
                match Wire::open(self.transport, &self.target).await {
                    Ok(wire) => {
                        self.wire = Some(wire);
                        self.session.restart(Instant::now());
                    }
                    Err(why) => return Ok(self.lost(why)),
                }
            }
            if let Err(lost) = self.step().await? {
                return Ok(self.lost(lost));
            }
        }
    }

    /// Ends the session, and waits a little for the server to confirm it. Events that still come are dropped.
    pub async fn close(mut self) {
        self.session.disconnect(Instant::now());
        let farewell = async {
            while let Ok(news) = self.news().await {
                if matches!(news, News::Closed | News::Lost(_)) {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
        if let Some(wire) = self.wire {
            wire.close().await;
        }
    }

    fn lost(&mut self, why: String) -> News {
        self.wire = None;
        self.reconnect_at = Instant::now() + self.pause;
        self.pause = LONGEST_PAUSE.min(self.pause * 2);
        News::Lost(why)
    }

    /// Sends what is to be sent, then waits for one thing to come or to be due. The inner error is why the connection is lost.
    async fn step(&mut self) -> Result<Result<(), String>, Error> {
        let Some(wire) = &mut self.wire else { return Ok(Ok(())) };
        while let Some(out) = self.session.outgoing() {
            if let Err(lost) = wire.send(out) {
                return Ok(Err(lost));
            }
        }
        let wake = self.session.wake().unwrap_or_else(|| Instant::now() + LONGEST_PAUSE);
        tokio::select! {
            received = wire.receive() => match received {
                Ok(messages) => {
                    self.session.received(messages, Instant::now()).map_err(Error)?;
                    if self.session.is_open() {
                        self.pause = FIRST_PAUSE;
                    }
                }
                Err(lost) => return Ok(Err(lost)),
            },
            () = tokio::time::sleep_until(wake.into()) => {
                if let Err(overdue) = self.session.tick(Instant::now()) {
                    return Ok(Err(overdue));
                }
            }
        }
        Ok(Ok(()))
    }
}
