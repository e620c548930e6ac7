//! Replies, written straight to JSON. Nothing beside the fields of the protocol (some clients end on unknown ones).

use std::io::Write as _;
use std::time::Duration;

use super::{ConnectionType, Error, Message, ReplyExt};

/// What a client is to do next (Bayeux 1.0 §5). Always complete: some clients replace earlier advice as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// Whether and how to come back.
    pub reconnect: Reconnect,
    /// Pause between a connect's end and the next connect.
    pub interval: Duration,
    /// How long the gateway holds a connect; left out where it says nothing.
    pub timeout: Option<Duration>,
    /// Whether other sessions of the browser are why it is so (R39).
    pub multiple_clients: bool,
}

/// `advice.reconnect` (R37).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconnect {
    /// Connect again with the same session.
    Retry,
    /// The session is gone: handshake. Only ever on an unsuccessful connect.
    Handshake,
    /// Do not come back.
    None,
}

impl Advice {
    /// The session is gone: begin anew, at once. Only ever on an unsuccessful connect.
    pub const HANDSHAKE: Self = Self {
        reconnect: Reconnect::Handshake,
        interval: Duration::ZERO,
        timeout: None,
        multiple_clients: false,
    };

    /// Do not come back.
    pub const NONE: Self =
        Self { reconnect: Reconnect::None, interval: Duration::ZERO, timeout: None, multiple_clients: false };
}

/// A reply under construction: `channel`, `id` and `subscription` as they came, then what it has to say.
#[derive(Debug)]
pub struct Reply {
    json: Vec<u8>,
}

/// Writes `text` as a JSON string.
fn put_string(json: &mut Vec<u8>, text: &str) {
    // Writing a str to a Vec cannot fail.
    let _ = serde_json::to_writer(json, text);
}

impl Reply {
    /// A good reply to `message`.
    pub fn ok(message: &Message) -> Self {
        Self::begin(message, true)
    }

    /// A refusal of `message`.
    pub fn failed(message: &Message, error: &Error) -> Self {
        let mut reply = Self::begin(message, false);
        reply.put_error(error);
        reply
    }

    /// A refusal of `message` if there is an error, else a good reply.
    pub fn of(message: &Message, error: Option<&Error>) -> Self {
        match error {
            None => Self::ok(message),
            Some(error) => Self::failed(message, error),
        }
    }

    /// A refused connect that nobody sent, as an array of its own: the session is gone, for a client that is told without asking.
    pub fn session_gone(error: &Error) -> bytes::Bytes {
        let mut reply = Self { json: br#"[{"channel":"/meta/connect","successful":false"#.to_vec() };
        reply.put_error(error);
        let mut array = reply.advice(Advice::HANDSHAKE).json;
        array.extend_from_slice(b"}]");
        array.into()
    }

    fn put_error(&mut self, error: &Error) {
        self.json.extend_from_slice(br#","error":"#);
        put_string(&mut self.json, &error.to_string());
    }

    fn begin(message: &Message, successful: bool) -> Self {
        let mut json = Vec::with_capacity(160);
        json.push(b'{');
        if !message.channel.is_empty() {
            json.extend_from_slice(br#""channel":"#);
            put_string(&mut json, &message.channel);
            json.push(b',');
        }
        if let Some(id) = &message.id {
            json.extend_from_slice(br#""id":"#);
            json.extend_from_slice(id);
            json.push(b',');
        }
        json.extend_from_slice(if successful { br#""successful":true"# } else { br#""successful":false"# });
        if let super::Body::Subscribe(subscription) | super::Body::Unsubscribe(subscription) = &message.body {
            json.extend_from_slice(br#","subscription":"#);
            json.extend_from_slice(&subscription.raw);
        }
        Self { json }
    }

    /// Adds advice.
    #[must_use]
    pub fn advice(mut self, advice: Advice) -> Self {
        let reconnect = match advice.reconnect {
            Reconnect::Retry => "retry",
            Reconnect::Handshake => "handshake",
            Reconnect::None => "none",
        };
        // Writing to a Vec cannot fail.
        let _ = write!(self.json, r#","advice":{{"reconnect":"{reconnect}""#);
        if advice.reconnect != Reconnect::None {
            let _ = write!(self.json, r#","interval":{}"#, advice.interval.as_millis());
        }
        if let Some(timeout) = advice.timeout {
            let _ = write!(self.json, r#","timeout":{}"#, timeout.as_millis());
        }
        if advice.multiple_clients {
            self.json.extend_from_slice(br#","multiple-clients":true"#);
        }
        self.json.push(b'}');
        self
    }

    /// Adds what a good handshake reply must have (R49): version, connection types, and the session.
    #[must_use]
    pub fn session(mut self, client_id: &str, types: &[ConnectionType]) -> Self {
        self = self.versions(types);
        self.json.extend_from_slice(br#","clientId":"#);
        put_string(&mut self.json, client_id);
        self
    }

    /// Adds version and connection types, which a failed handshake reply may have too (R51).
    #[must_use]
    pub fn versions(mut self, types: &[ConnectionType]) -> Self {
        self.json
            .extend_from_slice(br#","version":"1.0","minimumVersion":"1.0","supportedConnectionTypes":["#);
        for (n, kind) in types.iter().enumerate() {
            if n > 0 {
                self.json.push(b',');
            }
            put_string(&mut self.json, kind.name());
        }
        self.json.push(b']');
        self
    }

    /// Adds what extensions have to say.
    #[must_use]
    pub fn ext(mut self, ext: &ReplyExt) -> Self {
        ext.write(&mut self.json);
        self
    }

    /// About how long it is by now.
    pub fn size(&self) -> usize {
        self.json.len()
    }

    /// The finished JSON object.
    pub fn finish(mut self) -> bytes::Bytes {
        self.json.push(b'}');
        self.json.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bayeux::{Limits, parse};
    use bytes::Bytes;

    fn message(text: &'static str) -> Message {
        let limits = Limits { batch: 9, depth: 9, channel: 99 };
        parse(&Bytes::from_static(text.as_bytes()), &limits).unwrap().remove(0)
    }

    #[test]
    fn ids_and_subscriptions_are_echoed_verbatim() {
        let asked = message(r#"{"channel":"/meta/subscribe","id":"a\u0041","subscription":["/x", "/y"]}"#);
        let reply = Reply::failed(&asked, &Error::unknown_channel("/x")).finish();
        assert_eq!(
            reply,
            r#"{"channel":"/meta/subscribe","id":"a\u0041","successful":false,"subscription":["/x", "/y"],"error":"404:/x:unknown_channel"}"#
        );
        let asked = message(r#"{"channel":"/x","id":13,"data":{}}"#);
        assert_eq!(Reply::ok(&asked).finish(), r#"{"channel":"/x","id":13,"successful":true}"#);
    }

    #[test]
    fn advice_is_complete() {
        let asked = message(r#"{"channel":"/meta/connect"}"#);
        let advice = Advice {
            reconnect: Reconnect::Retry,
            interval: Duration::ZERO,
            timeout: Some(Duration::from_secs(30)),
            multiple_clients: false,
        };
        assert_eq!(
            Reply::ok(&asked).advice(advice).finish(),
            r#"{"channel":"/meta/connect","successful":true,"advice":{"reconnect":"retry","interval":0,"timeout":30000}}"#
        );
    }

    #[test]
    fn a_handshake_reply_has_all_that_clients_need() {
        let asked = message(r#"{"channel":"/meta/handshake","id":"1"}"#);
        let types = [ConnectionType::WebSocket, ConnectionType::LongPolling];
        assert_eq!(
            Reply::ok(&asked).session("abc", &types).finish(),
            r#"{"channel":"/meta/handshake","id":"1","successful":true,"version":"1.0","minimumVersion":"1.0","supportedConnectionTypes":["websocket","long-polling"],"clientId":"abc"}"#
        );
    }

    #[test]
    fn hostile_names_stay_inside_their_strings() {
        let asked = message(r#"{"channel":"/a\"<b>","data":1}"#);
        assert_eq!(
            Reply::failed(&asked, &Error::CHANNEL_INVALID).finish(),
            r#"{"channel":"/a\"<b>","successful":false,"error":"405::channel_invalid"}"#
        );
    }
}
