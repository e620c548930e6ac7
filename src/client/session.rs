//! The protocol of a client: handshake, subscriptions, connects, publishes. Pure: time is a parameter, messages are values.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use super::message::{Incoming, Outgoing, TimeoutAdvice};

/// How long a reply may take, beyond what the server holds a connect.
const REPLY: Duration = Duration::from_secs(10);
/// How long a server holds a connect, until it says so.
const HOLD: Duration = Duration::from_mins(1);
/// No advice is followed further than this.
const LONGEST: Duration = Duration::from_hours(1);
/// Pause before what failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// What has happened.
#[derive(Debug)]
pub enum News {
    /// The server confirmed a subscription; again after a new handshake.
    Subscribed(String),
    /// An event.
    Event {
        /// The channel that it was published on.
        channel: String,
        /// Its data as the server wrote it.
        data: Box<RawValue>,
    },
    /// The server confirmed the publish of this number.
    Published(u64),
    /// The server refused the publish of this number, or it is not known what became of it.
    Refused(u64, String),
    /// The connection or the session was lost, for this reason; the client tries again.
    Lost(String),
    /// The session ended as it was asked to.
    Closed,
}

/// A message on its way out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Out {
    /// The message as JSON.
    pub text: String,
    /// Whether the server may hold the reply: a `/meta/connect`.
    pub held: bool,
}

#[derive(Debug)]
enum Awaited {
    Handshake,
    Connect,
    Subscribe(String),
    Publish(Publish),
    Disconnect,
}

#[derive(Debug)]
struct Publish {
    number: u64,
    channel: String,
    data: Box<RawValue>,
}

/// A session with a server, as its client sees it.
#[derive(Debug)]
pub(super) struct Session {
    transport: &'static str,
    channels: Vec<String>,
    client_id: Option<String>,
    /// Whether a handshake succeeded once: then failures pass.
    proven: bool,
    last_id: u64,
    last_publish: u64,
    awaited: BTreeMap<String, (Awaited, Instant)>,
    /// Publishes that wait for a session.
    waiting: VecDeque<Publish>,
    connect_at: Option<Instant>,
    handshake_at: Option<Instant>,
    first_connect: bool,
    hold: Duration,
    interval: Duration,
    out: VecDeque<Out>,
    news: VecDeque<News>,
}

// === impl Session ===

impl Session {
    /// A session that begins with a handshake and subscribes to `channels`. `transport` is the name of its connection type.
    pub fn new(transport: &'static str, channels: Vec<String>, now: Instant) -> Self {
        let mut session = Self {
            transport,
            channels,
            client_id: None,
            proven: false,
            last_id: 0,
            last_publish: 0,
            awaited: BTreeMap::new(),
            waiting: VecDeque::new(),
            connect_at: None,
            handshake_at: None,
            first_connect: true,
            hold: HOLD,
            interval: Duration::ZERO,
            out: VecDeque::new(),
            news: VecDeque::new(),
        };
        session.handshake(now);
        session
    }

    /// Whether the server has accepted the session.
    pub fn is_open(&self) -> bool {
        self.client_id.is_some()
    }

    /// What is to be sent next.
    pub fn outgoing(&mut self) -> Option<Out> {
        self.out.pop_front()
    }

    /// What has happened next.
    pub fn news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    /// Publishes; the number comes back in the news.
    pub fn publish(&mut self, channel: &str, data: Box<RawValue>, now: Instant) -> u64 {
        self.last_publish += 1;
        let number = self.last_publish;
        self.send_publish(Publish { number, channel: channel.to_owned(), data }, now);
        number
    }

    /// Ends the session; [`News::Closed`] when the server has confirmed it.
    pub fn disconnect(&mut self, now: Instant) {
        self.connect_at = None;
        self.handshake_at = None;
        if self.client_id.is_some() {
            let message = Outgoing { channel: "/meta/disconnect", ..Outgoing::default() };
            self.send(message, Awaited::Disconnect, now + REPLY);
        } else {
            self.news.push_back(News::Closed);
        }
    }

    /// When [`Session::tick`] is due.
    pub fn wake(&self) -> Option<Instant> {
        let due = self.awaited.values().map(|(_, due)| *due);
        due.chain(self.connect_at).chain(self.handshake_at).min()
    }

    /// Sends what is due.
    ///
    /// # Errors
    /// If a reply is overdue: the connection is of no use any more.
    pub fn tick(&mut self, now: Instant) -> Result<(), String> {
        if let Some((awaited, _)) = self.awaited.values().find(|(_, due)| *due <= now) {
            return Err(format!("no reply to {} in time", awaited.channel()));
        }
        if self.handshake_at.is_some_and(|at| at <= now) {
            self.handshake(now);
        }
        if self.connect_at.is_some_and(|at| at <= now) {
            self.connect(now);
        }
        Ok(())
    }

    /// Begins again on another connection.
    pub fn restart(&mut self, now: Instant) {
        for (_, (awaited, _)) in std::mem::take(&mut self.awaited) {
            if let Awaited::Publish(publish) = awaited {
                let why = "the connection was lost before the reply: it may have been published or not";
                self.news.push_back(News::Refused(publish.number, why.to_owned()));
            }
        }
        self.out.clear();
        self.connect_at = None;
        self.handshake(now);
    }

    /// Takes what the server has sent.
    ///
    /// # Errors
    /// If the server wants no more of this client, in its words.
    pub fn received(&mut self, messages: Vec<Incoming>, now: Instant) -> Result<(), String> {
        for message in messages {
            self.advised(&message);
            let meta = message.channel.starts_with("/meta/");
            if !meta && message.successful.is_none() {
                if let Some(data) = message.data {
                    self.news.push_back(News::Event { channel: message.channel, data });
                }
                continue;
            }
            match message.id().and_then(|id| self.awaited.remove(&id)) {
                Some((awaited, _)) => self.reply(awaited, &message, now)?,
                // Of the server's own accord.
                None if message.channel == "/meta/disconnect" => {
                    return Err("the server has ended the session".to_owned());
                }
                // To something from before a new handshake.
                None => {}
            }
        }
        Ok(())
    }

    fn advised(&mut self, message: &Incoming) {
        let Some(advice) = &message.advice else { return };
        let of = |millis: Option<f64>| {
            let millis = millis.filter(|millis| millis.is_finite())?.max(0.0);
            Some(Duration::try_from_secs_f64(millis / 1000.0).unwrap_or(LONGEST).min(LONGEST))
        };
        if let Some(interval) = of(advice.interval) {
            self.interval = interval;
        }
        if let Some(hold) = of(advice.timeout) {
            self.hold = hold;
        }
    }

    fn reply(&mut self, awaited: Awaited, message: &Incoming, now: Instant) -> Result<(), String> {
        let good = message.successful == Some(true);
        match awaited {
            Awaited::Handshake => return self.handshaken(good, message, now),
            Awaited::Connect if good && message.reconnect() != Some("none") => {
                if message.reconnect() == Some("handshake") {
                    self.renew("the server asks for a new handshake", now);
                } else {
                    self.connect_at = Some(now + self.interval);
                }
            }
            Awaited::Connect if message.reconnect() == Some("none") => {
                // Also the reply to a connect that a disconnect of ours let go.
                let leaving = self.awaited.values().any(|(a, _)| matches!(a, Awaited::Disconnect));
                if !leaving {
                    return Err(if good {
                        "the server has ended the session".into()
                    } else {
                        message.error()
                    });
                }
            }
            Awaited::Connect if message.is_unknown_session() || message.reconnect() == Some("handshake") => {
                self.renew(&message.error(), now);
            }
            Awaited::Connect => self.connect_at = Some(now + self.interval.max(AGAIN)),
            Awaited::Subscribe(channel) if good => self.news.push_back(News::Subscribed(channel)),
            Awaited::Publish(publish) if good => self.news.push_back(News::Published(publish.number)),
            Awaited::Subscribe(_) if message.is_unknown_session() => self.renew(&message.error(), now),
            Awaited::Subscribe(channel) => return Err(format!("{channel}: {}", message.error())),
            Awaited::Publish(publish) if message.is_unknown_session() => {
                // A session that is not known has published nothing.
                self.waiting.push_back(publish);
                self.renew(&message.error(), now);
            }
            Awaited::Publish(publish) => {
                self.news.push_back(News::Refused(publish.number, message.error()));
            }
            Awaited::Disconnect => {
                self.client_id = None;
                self.connect_at = None;
                self.news.push_back(News::Closed);
            }
        }
        Ok(())
    }

    fn handshaken(&mut self, good: bool, message: &Incoming, now: Instant) -> Result<(), String> {
        let client_id = match &message.client_id {
            Some(client_id) if good => client_id.clone(),
            _ if self.proven && message.reconnect() != Some("none") => {
                self.handshake_at = Some(now + self.interval.max(AGAIN));
                return Ok(());
            }
            _ => return Err(format!("handshake: {}", message.error())),
        };
        let types = message.supported_connection_types.as_deref().unwrap_or_default();
        if !types.is_empty() && !types.iter().any(|name| name == self.transport) {
            return Err(format!("the server offers {}, not {}", types.join(", "), self.transport));
        }
        self.client_id = Some(client_id);
        self.proven = true;
        self.first_connect = true;
        for channel in self.channels.clone() {
            let message =
                Outgoing { channel: "/meta/subscribe", subscription: Some(&channel), ..Outgoing::default() };
            self.send(message, Awaited::Subscribe(channel.clone()), now + REPLY);
        }
        self.connect(now);
        for publish in std::mem::take(&mut self.waiting) {
            self.send_publish(publish, now);
        }
        Ok(())
    }

    /// The session is gone, the connection is not.
    fn renew(&mut self, why: &str, now: Instant) {
        if self.client_id.take().is_none() {
            return;
        }
        self.news.push_back(News::Lost(why.to_owned()));
        // Replies to publishes still come; they alone say what became of them.
        self.awaited.retain(|_, (awaited, _)| matches!(awaited, Awaited::Publish(_)));
        self.connect_at = None;
        self.handshake_at = Some(now + self.interval);
    }

    fn handshake(&mut self, now: Instant) {
        self.client_id = None;
        self.handshake_at = None;
        let message = Outgoing {
            channel: "/meta/handshake",
            version: Some("1.0"),
            supported_connection_types: Some([self.transport]),
            ..Outgoing::default()
        };
        self.send(message, Awaited::Handshake, now + REPLY);
    }

    fn connect(&mut self, now: Instant) {
        self.connect_at = None;
        // The first is answered at once, and tells what the server advises.
        let advice = std::mem::take(&mut self.first_connect).then_some(TimeoutAdvice { timeout: 0 });
        let message = Outgoing {
            channel: "/meta/connect",
            connection_type: Some(self.transport),
            advice,
            ..Outgoing::default()
        };
        let due = now + self.hold + REPLY;
        self.send(message, Awaited::Connect, due);
    }

    fn send_publish(&mut self, publish: Publish, now: Instant) {
        if self.client_id.is_none() {
            self.waiting.push_back(publish);
            return;
        }
        let (channel, data) = (publish.channel.clone(), publish.data.clone());
        let message = Outgoing { channel: &channel, data: Some(&data), ..Outgoing::default() };
        self.send(message, Awaited::Publish(publish), now + REPLY);
    }

    fn send(&mut self, message: Outgoing<'_>, awaited: Awaited, due: Instant) {
        self.last_id += 1;
        let id = self.last_id.to_string();
        let message = Outgoing { id: id.clone(), client_id: self.client_id.as_deref(), ..message };
        // Nothing in a message fails to be written as JSON.
        let text = serde_json::to_string(&[message]).unwrap_or_default();
        self.out.push_back(Out { text, held: matches!(awaited, Awaited::Connect) });
        self.awaited.insert(id, (awaited, due));
    }
}

// === impl Awaited ===

impl Awaited {
    fn channel(&self) -> &str {
        match self {
            Self::Handshake => "/meta/handshake",
            Self::Connect => "/meta/connect",
            Self::Subscribe(_) => "/meta/subscribe",
            Self::Publish(publish) => &publish.channel,
            Self::Disconnect => "/meta/disconnect",
        }
    }
}
