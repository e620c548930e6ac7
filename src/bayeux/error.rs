//! Errors as clients see them: `NNN:args:text` (Bayeux 1.0 §3.9, R21).

use std::borrow::Cow;
use std::fmt;

/// An error of a reply. Its text form has exactly two colons before the text, which some clients parse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    code: u16,
    args: Cow<'static, str>,
    text: Cow<'static, str>,
}

impl Error {
    /// An error without arguments.
    pub const fn new(code: u16, text: &'static str) -> Self {
        Self { code, args: Cow::Borrowed(""), text: Cow::Borrowed(text) }
    }

    /// An error about something, mostly a channel. Colons in `about` are dropped, since clients split at them.
    pub fn about(code: u16, about: &str, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, args: about.replace(':', "").into(), text: text.into() }
    }

    /// The three-digit code.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The text behind the second colon.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// No such session: expired, never there, or not this browser's.
    pub const SESSION_UNKNOWN: Self = Self::new(402, "session_unknown");
    /// The message names no channel.
    pub const CHANNEL_MISSING: Self = Self::new(400, "channel_missing");
    /// The channel does not follow the grammar.
    pub const CHANNEL_INVALID: Self = Self::new(405, "channel_invalid");
    /// The message's id is neither a string nor a number.
    pub const ID_INVALID: Self = Self::new(405, "message_id_invalid");
    /// A subscribe without subscription.
    pub const SUBSCRIPTION_MISSING: Self = Self::new(403, "subscription_missing");
    /// A subscription that is no channel or pattern.
    pub const SUBSCRIPTION_INVALID: Self = Self::new(403, "subscription_invalid");
    /// The session ended while it subscribed.
    pub const SUBSCRIBE_FAILED: Self = Self::new(403, "subscribe_failed");
    /// A publish without data (R42).
    pub const DATA_MISSING: Self = Self::new(400, "data_missing");
    /// None of the connection types asked for is offered (R50).
    pub const NO_COMMON_TYPE: Self = Self::new(301, "connection_types_not_supported");
    /// As many sessions as the client's address may have.
    pub const TOO_MANY_SESSIONS: Self = Self::new(503, "too_many_sessions");
    /// Other sessions of the browser hold as many polls as may be.
    pub const MULTIPLE_CLIENTS: Self = Self::new(403, "multiple_clients");
    /// The gateway is going down; another takes over.
    pub const DRAINING: Self = Self::new(503, "draining");

    /// No route has such channels.
    pub fn unknown_channel(channel: &str) -> Self {
        Self::about(404, channel, "unknown_channel")
    }

    /// Too much of it is waiting already.
    pub fn busy(channel: &str) -> Self {
        Self::about(503, channel, "busy")
    }
}

impl Error {
    /// Whether it is [`Error::busy`].
    pub fn is_busy(&self) -> bool {
        self.code == 503 && self.text == "busy"
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03}:{}:{}", self.code, self.args, self.text)
    }
}
