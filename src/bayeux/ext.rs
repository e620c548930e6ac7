//! `ext`: what Halley understands of the extensions that clients add to messages (R44), and what its replies say of them.
//!
//! A client may put anything into `ext`; what is not understood is passed over in silence. A message with nothing of ours in it
//! holds nothing for it.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::message::part;

/// What of a message's `ext` counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ext {
    /// Reliable delivery.
    pub ack: Option<Ack>,
    /// The client's clock, which wants to know the gateway's.
    pub timesync: Option<Timesync>,
    /// `binary` as it came: the publish's `data` holds bytes.
    pub binary: Option<Bytes>,
}

/// `ext.ack` of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// `true`, in a handshake: the client wants to acknowledge.
    Wanted,
    /// A number, in a connect: the last batch that the client has. Old clients begin with -1, which counts as 0.
    Batch(u64),
}

/// `ext.timesync` of a request. Times in ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timesync {
    /// The client's clock as it sent the message.
    pub tc: i64,
    /// The client's notion of lag and offset, added up; `None` in the old form, which has neither.
    pub lag_and_offset: Option<i64>,
    /// The gateway's clock when the message came, ms since 1970; for whoever keeps the message until it is answered.
    pub arrived: i64,
}

/// `ext` of a reply; written only where there is something to say (W27).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplyExt {
    /// `ext.ack`.
    pub ack: Option<AckReply>,
    /// `ext.timesync`.
    pub timesync: Option<TimesyncReply>,
}

/// `ext.ack` of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckReply {
    /// `true`, in a handshake's: so be it.
    Granted,
    /// The number of the batch that a connect's reply closes.
    Batch(u64),
}

/// `ext.timesync` of a reply. Times in ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimesyncReply {
    /// The request's.
    pub tc: i64,
    /// The gateway's clock, ms since 1970.
    pub ts: i64,
    /// How long the request took, its hold included.
    pub p: i64,
    /// How far the client is off with what it thinks; `None` for the old form.
    pub a: Option<i64>,
}

#[derive(Deserialize, Default)]
struct RawExt<'a> {
    #[serde(borrow, default)]
    ack: Option<&'a RawValue>,
    #[serde(borrow, default)]
    timesync: Option<&'a RawValue>,
    #[serde(borrow, default)]
    binary: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawTimesync {
    tc: i64,
    #[serde(default)]
    l: Option<i64>,
    #[serde(default)]
    o: Option<i64>,
}

impl Ext {
    /// What counts of `ext`, a part of `body`; `None` if nothing does.
    pub(super) fn read(ext: &RawValue, body: &Bytes) -> Option<Box<Self>> {
        let raw: RawExt<'_> = object(ext)?;
        let ack = raw.ack.and_then(|ack| match ack.get() {
            "true" => Some(Ack::Wanted),
            number => number.parse().ok().map(|number: i64| Ack::Batch(u64::try_from(number).unwrap_or(0))),
        });
        let timesync = raw.timesync.and_then(object).map(|RawTimesync { tc, l, o }| Timesync {
            tc,
            lag_and_offset: l.map(|lag| lag.saturating_add(o.unwrap_or(0))),
            arrived: 0,
        });
        // An object, in clients that are known; those look no further than whether it is true.
        let binary = raw.binary.filter(|binary| !matches!(binary.get(), "null" | "false"));
        let binary = binary.map(|binary| part(body, binary));
        let ext = Self { ack, timesync, binary };
        (ext != Self::default()).then(|| Box::new(ext))
    }
}

/// Reads an object; an array would fill a struct by position.
fn object<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Option<T> {
    raw.get().starts_with('{').then(|| serde_json::from_str(raw.get()).ok())?
}

impl Timesync {
    /// What to reply at `ts`, the gateway's clock in ms since 1970.
    pub fn reply(&self, ts: i64) -> TimesyncReply {
        let thought = |it: i64| self.tc.saturating_add(it);
        TimesyncReply {
            tc: self.tc,
            ts,
            // A clock that was put back in between makes no negative time.
            p: ts.saturating_sub(self.arrived).max(0),
            a: self.lag_and_offset.map(|it| thought(it).saturating_sub(ts)),
        }
    }
}

impl ReplyExt {
    /// Appends `,"ext":{…}`, or nothing.
    pub(super) fn write(&self, json: &mut Vec<u8>) {
        use std::io::Write as _;
        if *self == Self::default() {
            return;
        }
        json.extend_from_slice(br#","ext":{"#);
        // Writing to a Vec cannot fail.
        let _ = match self.ack {
            Some(AckReply::Granted) => write!(json, r#""ack":true"#),
            Some(AckReply::Batch(number)) => write!(json, r#""ack":{number}"#),
            None => Ok(()),
        };
        if let Some(TimesyncReply { tc, ts, p, a }) = self.timesync {
            let comma = if self.ack.is_some() { "," } else { "" };
            let _ = write!(json, r#"{comma}"timesync":{{"tc":{tc},"ts":{ts},"p":{p}"#);
            if let Some(a) = a {
                let _ = write!(json, r#","a":{a}"#);
            }
            json.push(b'}');
        }
        json.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Ext> {
        let body = Bytes::copy_from_slice(text.as_bytes());
        let raw: &RawValue = serde_json::from_slice(&body).unwrap();
        Ext::read(raw, &body).map(|ext| *ext)
    }

    fn written(ext: ReplyExt) -> String {
        let mut json = Vec::new();
        ext.write(&mut json);
        String::from_utf8(json).unwrap()
    }

    #[test]
    fn an_ext_of_any_shape_is_tolerated() {
        for text in [
            "{}",
            "[]",
            "[true]",
            "null",
            "7",
            r#""ack""#,
            r#"{"ack":false}"#,
            r#"{"ack":"3"}"#,
            r#"{"ack":{"enabled":true}}"#,
            r#"{"ack":null,"timesync":null,"binary":null}"#,
            r#"{"timesync":7,"token":{"ack":true}}"#,
            r#"{"timesync":[1,2,3]}"#,
            r#"{"timesync":{"tc":"now"}}"#,
            r#"{"ack":true,"ack":true}"#,
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_ours_is_found_among_the_rest() {
        let ext = read(r#"{"token":"x","ack":true,"timesync":{"tc":5,"l":2,"o":-9}}"#).unwrap();
        let timesync = Timesync { tc: 5, lag_and_offset: Some(-7), arrived: 0 };
        assert_eq!(ext, Ext { ack: Some(Ack::Wanted), timesync: Some(timesync), binary: None });
        for (text, number) in [(r#"{"ack":-1}"#, 0), (r#"{"ack": 12}"#, 12)] {
            assert_eq!(read(text).unwrap().ack, Some(Ack::Batch(number)));
        }
        let ext = read(r#"{"binary": {"a": 1.0}}"#).unwrap();
        assert_eq!(ext.binary.unwrap(), r#"{"a": 1.0}"#);
    }

    #[test]
    fn clocks_are_compared_in_whole_milliseconds() {
        let asked = Timesync { tc: 1_000, lag_and_offset: Some(30), arrived: 5_000 };
        let reply = asked.reply(5_200);
        assert_eq!(reply, TimesyncReply { tc: 1_000, ts: 5_200, p: 200, a: Some(-4_170) });
        assert_eq!(asked.reply(4_000).p, 0);
        let old = Timesync { lag_and_offset: None, ..asked };
        assert_eq!(old.reply(5_000).a, None);
        let far = Timesync { tc: i64::MAX, lag_and_offset: Some(i64::MAX), arrived: i64::MIN };
        assert_eq!(far.reply(i64::MIN).a, Some(i64::MAX));
    }

    #[test]
    fn a_reply_says_no_more_than_it_has_to() {
        assert_eq!(written(ReplyExt::default()), "");
        let ack = Some(AckReply::Batch(3));
        assert_eq!(written(ReplyExt { ack, timesync: None }), r#","ext":{"ack":3}"#);
        let timesync = Some(TimesyncReply { tc: 1, ts: 2, p: 3, a: Some(-4) });
        assert_eq!(
            written(ReplyExt { ack: Some(AckReply::Granted), timesync }),
            r#","ext":{"ack":true,"timesync":{"tc":1,"ts":2,"p":3,"a":-4}}"#
        );
        let timesync = Some(TimesyncReply { tc: 1, ts: 2, p: 3, a: None });
        assert_eq!(written(ReplyExt { ack: None, timesync }), r#","ext":{"timesync":{"tc":1,"ts":2,"p":3}}"#);
    }
}
