//! Requests: from the bytes of a body or frame to checked messages.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Channel, ConnectionType, Error, Ext, Pattern};

/// Bounds on what a request may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Messages in one body or frame.
    pub batch: usize,
    /// Nesting of arrays and objects.
    pub depth: usize,
    /// Bytes of a channel name or pattern.
    pub channel: usize,
}

/// Bytes of a message's id. Clients count, or use UUIDs.
const LONGEST_ID: usize = 1024;

/// Why a body or frame holds no messages at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not UTF-8 (RFC 8259 §8.1).
    #[error("the body is not UTF-8")]
    Utf8,
    /// Not JSON, or not an array of objects.
    #[error("the body is not a JSON array of messages: {0}")]
    Json(String),
    /// Nested deeper than [`Limits::depth`].
    #[error("the body is nested too deeply")]
    Depth,
    /// More messages than [`Limits::batch`].
    #[error("the body holds too many messages")]
    Batch,
}

/// One request message. What a reply echoes is kept as it came; everything else is checked.
#[derive(Clone, Debug)]
pub struct Message {
    /// `channel` as it came, for the reply; empty if it was missing.
    pub channel: Box<str>,
    /// `id`, the JSON text of a string or number, echoed verbatim.
    pub id: Option<Bytes>,
    /// The session that the message claims.
    pub client_id: Option<Box<str>>,
    /// What is asked.
    pub body: Body,
    /// What its `ext` asks for, if anything that Halley knows.
    pub ext: Option<Box<Ext>>,
}

impl Message {
    /// About how many bytes the message holds, for bounds.
    pub fn size(&self) -> usize {
        let content = match &self.body {
            Body::Subscribe(it) | Body::Unsubscribe(it) => {
                it.raw.len() + it.patterns.len() * size_of::<Result<Pattern, Error>>()
            }
            Body::Publish { data, .. } => data.len(),
            _ => 0,
        };
        let id = self.id.as_ref().map_or(0, Bytes::len);
        let client_id = self.client_id.as_ref().map_or(0, |it| it.len());
        let ext =
            self.ext.as_ref().map_or(0, |ext| size_of::<Ext>() + ext.binary.as_ref().map_or(0, Bytes::len));
        size_of::<Self>() + self.channel.len() + id + client_id + content + ext
    }
}

/// What a message asks for.
#[derive(Clone, Debug)]
pub enum Body {
    /// `/meta/handshake`.
    Handshake {
        /// `supportedConnectionTypes`, those that are known; `None` if the field is missing.
        types: Option<Vec<ConnectionType>>,
    },
    /// `/meta/connect`.
    Connect {
        /// `connectionType`, if it is known. Clients confuse them (one says `long-polling` on a WebSocket), so little depends on it.
        kind: Option<ConnectionType>,
        /// The hold time that the client asks for.
        timeout: Option<Duration>,
        /// The pause that the client announces.
        interval: Option<Duration>,
    },
    /// `/meta/subscribe`.
    Subscribe(Subscription),
    /// `/meta/unsubscribe`.
    Unsubscribe(Subscription),
    /// `/meta/disconnect`.
    Disconnect,
    /// Anything outside `/meta`.
    Publish {
        /// Where.
        channel: Channel,
        /// `data`, the bytes as they came.
        data: Bytes,
    },
    /// A message that can only be refused.
    Refused(Error),
}

/// The `subscription` of a (un)subscribe.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// The field as it came, echoed in the reply (R43).
    pub raw: Bytes,
    /// The patterns, left to right, each checked by itself: an array stops at its first bad one.
    pub patterns: Vec<Result<Pattern, Error>>,
}

/// Reads a body or frame: an array of messages, or one bare message (R30). `[]` is no message, no error.
///
/// Nothing in the result keeps `body` in memory, but for a publish's `data` that makes up most of it.
///
/// # Errors
/// If the whole cannot be read. What is wrong with one message is told in that message, as [`Body::Refused`].
pub fn parse(body: &Bytes, limits: &Limits) -> Result<Vec<Message>, ParseError> {
    let text = std::str::from_utf8(body).map_err(|_| ParseError::Utf8)?;
    scan(body, limits)?;
    let json = |error: serde_json::Error| ParseError::Json(error.to_string());
    let raws: Vec<Object<'_>> = if text.trim_ascii_start().starts_with('[') {
        serde_json::from_str(text).map_err(json)?
    } else {
        vec![serde_json::from_str(text).map_err(json)?]
    };
    Ok(raws.into_iter().map(|Object(raw)| raw.check(body, limits)).collect())
}

/// Bounds nesting and the number of messages before anything is built of them.
fn scan(body: &[u8], limits: &Limits) -> Result<(), ParseError> {
    let (mut depth, mut messages) = (0_usize, 0_usize);
    let mut rest = body;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'"' => rest = behind_string(rest),
            b'[' | b'{' => {
                messages += usize::from(depth == 1 && *byte == b'{');
                depth += 1;
                if depth > limits.depth {
                    return Err(ParseError::Depth);
                }
                // A bare object counts its own nested objects; it is one message all the same.
                if messages > limits.batch && body.trim_ascii_start().first() == Some(&b'[') {
                    return Err(ParseError::Batch);
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// What is left of `json` behind the string that it stands in.
fn behind_string(mut json: &[u8]) -> &[u8] {
    while let Some(at) = memchr::memchr2(b'"', b'\\', json) {
        let escapes = json.get(at) == Some(&b'\\');
        json = json.get(at + 1 + usize::from(escapes)..).unwrap_or_default();
        if !escapes {
            return json;
        }
    }
    &[]
}

/// A message as serde sees it: fields of any type, so that one bad field does not lose the whole array.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw<'a> {
    #[serde(borrow, default)]
    channel: Option<&'a RawValue>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    client_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    subscription: Option<&'a RawValue>,
    #[serde(borrow, default)]
    supported_connection_types: Option<&'a RawValue>,
    #[serde(borrow, default)]
    connection_type: Option<&'a RawValue>,
    #[serde(borrow, default)]
    advice: Option<&'a RawValue>,
    #[serde(borrow, default)]
    ext: Option<&'a RawValue>,
    // JSON null is data too.
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
}

/// A JSON object. By itself, serde would also fill [`Raw`] by position, from an array.
struct Object<'a>(Raw<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<'a>(PhantomData<&'a ()>);

        impl<'de: 'a, 'a> Visitor<'de> for Fields<'a> {
            type Value = Object<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a message")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<'a>, A::Error> {
                Raw::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(Fields(PhantomData))
    }
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl Raw<'_> {
    fn check(&self, body: &Bytes, limits: &Limits) -> Message {
        let channel: Box<str> = self.channel.and_then(text).unwrap_or_default();
        let id = self.id.map(|raw| part(body, raw));
        let id_ok = id
            .as_ref()
            .is_none_or(|id| matches!(id.first(), Some(b'"' | b'-' | b'0'..=b'9')) && id.len() <= LONGEST_ID);
        let asked = if channel.is_empty() {
            Body::Refused(Error::CHANNEL_MISSING)
        } else if !id_ok {
            Body::Refused(Error::ID_INVALID)
        } else {
            self.body(&channel, body, limits).unwrap_or_else(Body::Refused)
        };
        let client_id = self.client_id.and_then(text);
        let ext = self.ext.and_then(|ext| Ext::read(ext, body));
        Message { channel, id: id.filter(|_| id_ok), client_id, body: asked, ext }
    }

    fn body(&self, channel: &str, body: &Bytes, limits: &Limits) -> Result<Body, Error> {
        // Exact names only, never by prefix (R28).
        Ok(match channel {
            "/meta/handshake" => Body::Handshake { types: self.supported_connection_types.map(types) },
            "/meta/connect" => {
                // An array would fill a struct by position.
                let object = self.advice.filter(|raw| raw.get().starts_with('{'));
                let advice: RawAdvice<'_> =
                    object.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
                let kind = self.connection_type.and_then(|raw| ConnectionType::parse(&text(raw)?));
                Body::Connect { kind, timeout: advice.timeout(), interval: advice.interval() }
            }
            "/meta/subscribe" => Body::Subscribe(self.subscription(body, limits)?),
            "/meta/unsubscribe" => Body::Unsubscribe(self.subscription(body, limits)?),
            "/meta/disconnect" => Body::Disconnect,
            _ if channel.len() > limits.channel => return Err(Error::CHANNEL_INVALID),
            _ => {
                let name = Channel::parse(channel).map_err(|_| Error::CHANNEL_INVALID)?;
                if name.is_meta() {
                    return Err(Error::about(403, channel, "channel_create_denied"));
                }
                let data = self.data.ok_or(Error::DATA_MISSING)?;
                Body::Publish { channel: name, data: part(body, data) }
            }
        })
    }

    fn subscription(&self, body: &Bytes, limits: &Limits) -> Result<Subscription, Error> {
        let raw = self.subscription.ok_or(Error::SUBSCRIPTION_MISSING)?;
        let names: Vec<String> = match raw.get().as_bytes().first() {
            Some(b'"') => text(raw).map(|name| vec![name.into()]),
            Some(b'[') => serde_json::from_str(raw.get()).ok(),
            _ => None,
        }
        .unwrap_or_default();
        let pattern = |name: &String| {
            if name.len() > limits.channel {
                return Err(Error::SUBSCRIPTION_INVALID);
            }
            Pattern::parse(name).map_err(|_| Error::SUBSCRIPTION_INVALID)
        };
        let mut patterns: Vec<_> = names.iter().map(pattern).collect();
        // Neither a name nor names: refused, but echoed all the same.
        if patterns.is_empty() {
            patterns.push(Err(Error::SUBSCRIPTION_INVALID));
        }
        Ok(Subscription { patterns, raw: part(body, raw) })
    }
}

/// A part of `body`. What waits must not hold on to a request that is much larger, or bounds on what waits would mean nothing.
pub(super) fn part(body: &Bytes, raw: &RawValue) -> Bytes {
    let raw = raw.get().as_bytes();
    if raw.len() * 2 >= body.len() { body.slice_ref(raw) } else { Bytes::copy_from_slice(raw) }
}

fn text(raw: &RawValue) -> Option<Box<str>> {
    serde_json::from_str(raw.get()).ok()
}

fn types(raw: &RawValue) -> Vec<ConnectionType> {
    let names: Vec<String> = serde_json::from_str(raw.get()).unwrap_or_default();
    names.iter().filter_map(|name| ConnectionType::parse(name)).collect()
}

/// What of a client's advice counts (R36). Times are ms; negative or odd ones are ignored.
#[derive(Deserialize, Default)]
struct RawAdvice<'a> {
    #[serde(borrow, default)]
    timeout: Option<&'a RawValue>,
    #[serde(borrow, default)]
    interval: Option<&'a RawValue>,
}

impl RawAdvice<'_> {
    fn timeout(&self) -> Option<Duration> {
        self.timeout.and_then(millis)
    }

    fn interval(&self) -> Option<Duration> {
        self.interval.and_then(millis)
    }
}

fn millis(raw: &RawValue) -> Option<Duration> {
    let ms: f64 = serde_json::from_str(raw.get()).ok()?;
    Duration::try_from_secs_f64(ms / 1000.0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { batch: 3, depth: 6, channel: 40 };

    fn parse_text(text: &'static str) -> Result<Vec<Message>, ParseError> {
        parse(&Bytes::from_static(text.as_bytes()), &LIMITS)
    }

    fn one(text: &'static str) -> Message {
        parse_text(text).unwrap().remove(0)
    }

    fn refusal(text: &'static str) -> String {
        match one(text).body {
            Body::Refused(error) => error.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn arrays_and_bare_objects_are_read() {
        assert_eq!(parse_text("[]").unwrap().len(), 0);
        assert_eq!(
            parse_text(r#" [{"channel":"/meta/connect"},{"channel":"/a","data":1}]"#).unwrap().len(),
            2
        );
        assert!(matches!(one(r#"{"channel":"/meta/disconnect"}"#).body, Body::Disconnect));
    }

    #[test]
    fn data_and_id_stay_the_bytes_that_came() {
        let message =
            one(r#"[{"id": 7, "channel":"/a\u002fb","data": {"n":1.10,"b":null } ,"clientId":"x"}]"#);
        assert_eq!(message.id.as_deref(), Some(&b"7"[..]));
        assert_eq!(message.client_id.as_deref(), Some("x"));
        let Body::Publish { channel, data } = message.body else { panic!() };
        assert_eq!(channel.as_str(), "/a/b");
        assert_eq!(data, &br#"{"n":1.10,"b":null }"#[..]);
    }

    #[test]
    fn a_part_of_a_large_request_does_not_keep_all_of_it() {
        let body = format!(
            r#"[{{"channel":"/a","id":"1","data":"small"}},{{"channel":"/a","data":"{}"}},{{"channel":"/a","id":"{}","data":1}}]"#,
            "x".repeat(9_000),
            "y".repeat(1_025)
        );
        let body = Bytes::from(body);
        let inside = |part: &Bytes| body.as_ptr_range().contains(&part.as_ptr());
        let messages = parse(&body, &LIMITS).unwrap();
        let data = |n: usize| match &messages[n].body {
            Body::Publish { data, .. } => data,
            other => panic!("{other:?}"),
        };
        assert!(!inside(messages[0].id.as_ref().unwrap()) && !inside(data(0)) && inside(data(1)));
        assert_eq!(data(0), "\"small\"");
        assert!(matches!(&messages[2].body, Body::Refused(error) if *error == Error::ID_INVALID));
    }

    #[test]
    fn null_is_data_and_absence_is_an_error() {
        assert!(
            matches!(one(r#"{"channel":"/a","data":null}"#).body, Body::Publish { data, .. } if data == "null")
        );
        assert_eq!(refusal(r#"{"channel":"/a"}"#), "400::data_missing");
    }

    #[test]
    fn one_bad_message_does_not_spoil_its_neighbours() {
        let messages =
            parse_text(r#"[{"channel":7},{"id":{},"channel":"/a","data":0},{"channel":"/meta/connect"}]"#);
        let messages = messages.unwrap();
        assert!(matches!(&messages[0].body, Body::Refused(e) if *e == Error::CHANNEL_MISSING));
        assert!(matches!(&messages[1].body, Body::Refused(e) if *e == Error::ID_INVALID));
        assert!(messages[1].id.is_none());
        assert!(matches!(&messages[2].body, Body::Connect { timeout: None, .. }));
    }

    #[test]
    fn meta_names_are_exact_and_never_published_to() {
        assert_eq!(
            refusal(r#"{"channel":"/meta/connect/x","data":1}"#),
            "403:/meta/connect/x:channel_create_denied"
        );
        assert_eq!(refusal(r#"{"channel":"/a/*","data":1}"#), "405::channel_invalid");
        assert_eq!(refusal(r#"{"channel":"/meta/subscribe"}"#), "403::subscription_missing");
    }

    #[test]
    fn a_subscription_of_another_type_is_kept_for_the_reply() {
        for (text, raw) in [
            (r#"{"channel":"/meta/subscribe","subscription":[]}"#, "[]"),
            (r#"{"channel":"/meta/subscribe","subscription":3}"#, "3"),
            (r#"{"channel":"/meta/subscribe","subscription":["/a",3]}"#, r#"["/a",3]"#),
        ] {
            let Body::Subscribe(subscription) = one(text).body else { panic!() };
            assert_eq!(subscription.raw, raw);
            assert_eq!(subscription.patterns, [Err(Error::SUBSCRIPTION_INVALID)]);
        }
    }

    #[test]
    fn an_array_subscription_keeps_its_good_part() {
        let message = one(r#"{"channel":"/meta/subscribe","subscription":["/a/*","/b/*/c"]}"#);
        let Body::Subscribe(subscription) = message.body else { panic!() };
        assert_eq!(subscription.raw, &br#"["/a/*","/b/*/c"]"#[..]);
        assert!(subscription.patterns[0].is_ok() && subscription.patterns[1].is_err());
    }

    #[test]
    fn advice_is_taken_in_milliseconds_and_nonsense_ignored() {
        let advice = |text| match one(text).body {
            Body::Connect { timeout, interval, .. } => (timeout, interval),
            other => panic!("{other:?}"),
        };
        let (timeout, interval) =
            advice(r#"{"channel":"/meta/connect","advice":{"timeout":0,"interval":1500}}"#);
        assert_eq!((timeout, interval), (Some(Duration::ZERO), Some(Duration::from_millis(1500))));
        assert_eq!(advice(r#"{"channel":"/meta/connect","advice":{"timeout":-5}}"#), (None, None));
        assert_eq!(advice(r#"{"channel":"/meta/connect","advice":[1]}"#), (None, None));
        assert_eq!(
            advice(r#"{"channel":"/meta/connect","advice":{"timeout":0,"interval":"soon"}}"#),
            (Some(Duration::ZERO), None)
        );
    }

    #[test]
    fn bounds_hold_before_anything_is_built() {
        assert_eq!(parse_text("[{},{},{},{}]").unwrap_err(), ParseError::Batch);
        assert_eq!(parse_text(r#"{"a":{},"b":{},"c":{},"d":{},"channel":"/a","data":0}"#).unwrap().len(), 1);
        assert_eq!(parse_text(r#"[{"channel":"/a","data":[[[[[1]]]]]}]"#).unwrap_err(), ParseError::Depth);
        assert!(parse_text(r#"[{"channel":"/a","data":"[[[[[[[[\"[["}]"#).is_ok());
        for text in ["[1]", "[[]]", r#"[["/a"]]"#, r#"["/a"]"#, "null"] {
            assert!(matches!(parse_text(text), Err(ParseError::Json(_))), "{text}");
        }
        assert!(matches!(parse_text("{"), Err(ParseError::Json(_))));
        assert_eq!(parse(&Bytes::from_static(b"[\"\xff\"]"), &LIMITS).unwrap_err(), ParseError::Utf8);
        let deep = Bytes::from("[".repeat(1_000_000));
        assert_eq!(parse(&deep, &LIMITS).unwrap_err(), ParseError::Depth);
    }
}
