//! What holds for every input. Each target is also run over its corpus by `tests/fuzz.rs` of the gateway, so it names only `halley`.

use std::fmt::Write as _;

use bytes::Bytes;
use halley::bayeux::{self, Channel, Limits, Pattern};
use halley::stream::compressed_text_frame;
use halley::transport::body::Content;
use halley::transport::websocket::decoder::Decoder;
use halley::transport::websocket::frame::{Message, Violation};
use serde::de::IgnoredAny;
use serde_json::Value;

/// Panics if something does not hold for an input.
pub type Target = fn(&[u8]);

/// The targets by the names of their corpora.
pub const TARGETS: &[(&str, Target)] = &[
    ("message", message),
    ("channel", channel),
    ("frames", frames),
    ("compression", compression),
    ("form", form),
];

/// A body or frame: as many messages as it has objects, within the limits, each part of them as it came.
pub fn message(input: &[u8]) {
    const LIMITS: Limits = Limits { batch: 4, depth: 8, channel: 40 };
    let body = Bytes::copy_from_slice(input);
    let Ok(messages) = bayeux::parse(&body, &LIMITS) else { return };
    assert!(serde_json::from_slice::<IgnoredAny>(input).is_ok(), "only JSON is read");
    for message in &messages {
        assert!(message.size() > 0);
        if let bayeux::Body::Publish { channel, data } = &message.body {
            assert!(channel.as_str() == &*message.channel && channel.as_str().len() <= LIMITS.channel);
            assert!(serde_json::from_slice::<IgnoredAny>(data).is_ok());
        }
    }
    // Not every JSON is a `Value`: numbers may be too large for it, and halves of surrogate pairs stand alone.
    let values = match serde_json::from_slice(input) {
        Ok(Value::Array(values)) => values,
        Ok(value @ Value::Object(_)) => vec![value],
        Ok(other) => panic!("no messages: {other}"),
        Err(_) => return,
    };
    assert_eq!(messages.len(), values.len());
    assert!(messages.len() <= LIMITS.batch);
    for (message, value) in messages.iter().zip(&values) {
        assert!(value.is_object() && depth(value) <= LIMITS.depth, "{value}");
        assert_eq!(&*message.channel, value["channel"].as_str().unwrap_or_default());
        assert_eq!(message.client_id.as_deref(), value["clientId"].as_str());
        if let Some(id) = &message.id {
            assert!(value["id"].is_string() || value["id"].is_number());
            assert_eq!(serde_json::from_slice::<Value>(id).unwrap(), value["id"]);
        }
        if let bayeux::Body::Publish { data, .. } = &message.body {
            assert_eq!(serde_json::from_slice::<Value>(data).unwrap(), value["data"]);
        }
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

/// A pattern and a channel, a line each: what is accepted stays as it came, and matches as the protocol says.
pub fn channel(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (pattern, name) = text.split_once('\n').unwrap_or((text, text));
    let channel = Channel::parse(name);
    if let Ok(channel) = &channel {
        assert_eq!(channel.as_str(), name);
        assert_eq!(channel.segments().fold(String::new(), |all, part| all + "/" + part), name);
        assert_eq!(Pattern::parse(name).unwrap().as_channel().as_ref(), Some(channel));
        assert!(!name.contains('*') && !name.contains("//"));
    }
    let Ok(parsed) = Pattern::parse(pattern) else { return };
    assert_eq!(parsed.as_str(), pattern);
    assert_eq!(parsed.as_channel().is_some(), !pattern.contains('*'));
    let Ok(channel) = channel else { return };
    let (wanted, found): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), name.split('/').collect());
    let (last, before) = wanted.split_last().unwrap();
    let begins = found.len() >= wanted.len() && found.starts_with(before);
    let expected = match *last {
        "**" => begins,
        "*" => begins && found.len() == wanted.len(),
        _ => found == wanted,
    };
    assert_eq!(parsed.matches(&channel), expected);
}

/// A client's bytes on a WebSocket: cut anywhere, they are the same messages, or wrong for the same reason. The first byte says how they
/// are cut, and whether they may be compressed.
pub fn frames(input: &[u8]) {
    let Some((options, input)) = input.split_first() else { return };
    let inflates = options & 1 == 1;
    let cut = usize::from(options >> 1) % 16 + 1;
    let whole = decode(inflates, input, input.len().max(1));
    assert_eq!(decode(inflates, input, cut), whole);
    // What was compressed is refused where that was not agreed.
    if !inflates && whole.1.is_none() {
        assert_eq!(decode(true, input, input.len().max(1)), whole);
    }
}

const LONGEST: usize = 3000;

fn decode(inflates: bool, input: &[u8], cut: usize) -> (Vec<Message>, Option<Violation>) {
    let mut decoder = Decoder::new(LONGEST, inflates);
    let mut messages = Vec::new();
    for mut part in input.chunks(cut) {
        loop {
            match decoder.decode(&mut part) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(violation) => return (messages, Some(violation)),
            }
        }
        assert!(part.is_empty() && decoder.held() <= 2 * LONGEST + 512);
    }
    for message in &messages {
        match message {
            Message::Text(text) => assert!(text.len() <= LONGEST && std::str::from_utf8(text).is_ok()),
            Message::Binary(bytes) => assert!(bytes.len() <= LONGEST),
            Message::Ping(payload) => assert!(payload.len() <= 125),
            Message::Pong | Message::Close(_) => {}
        }
    }
    (messages, None)
}

/// An event, compressed by the gateway and read by its own decoder: the same again. The first byte says how often the rest is repeated.
pub fn compression(input: &[u8]) {
    let Some((times, unit)) = input.split_first() else { return };
    let payload = unit.repeat(usize::from(*times));
    let Some(frame) = compressed_text_frame(&payload) else { return };
    let short = frame[1];
    let header = match short {
        127 => 10,
        126 => 4,
        _ => 2,
    };
    assert!(frame[0] == 0xC1 && frame.len() - header < payload.len());
    // As a client would send it: with a mask, here of zeros, and as binary, since it need not be text.
    let sent = [&[0xC2, 0x80 | short], &frame[2..header], &[0; 4], &frame[header..]].concat();
    let received = Decoder::new(payload.len(), true).decode(&mut &sent[..]);
    assert_eq!(received, Ok(Some(Message::Binary(payload.into()))));
}

/// A request's body: JSON as it is, or the decoded `message` fields of a form.
pub fn form(input: &[u8]) {
    match Content::of(Bytes::copy_from_slice(input)) {
        Ok(Content::Json(text)) => {
            assert_eq!(text, input);
            assert!(std::str::from_utf8(&text).is_ok());
            assert!(matches!(text.trim_ascii_start().first(), Some(b'[' | b'{')));
        }
        Ok(Content::Form(messages)) => {
            let fields = input.split(|byte| *byte == b'&').map(<[u8]>::trim_ascii);
            let fields: Vec<_> =
                fields.filter_map(|field| field.strip_prefix(b"message=")).map(plain).collect();
            assert_eq!(messages, fields);
        }
        Err(refused) => assert!(refused.status().is_client_error() && !refused.to_string().is_empty()),
    }
    let mut body = String::from("message=");
    for byte in input {
        let _ = write!(body, "%{byte:02x}");
    }
    let body = Bytes::from(body);
    assert_eq!(Content::of(body), Ok(Content::Form(vec![Bytes::copy_from_slice(input)])));
}

/// The text of a form's field: an escape that is none stands for itself.
fn plain(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < field.len() {
        let digits = field.get(at + 1..at + 3).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        match (field[at], digits) {
            (b'%', Some(digits)) => {
                let digits = std::str::from_utf8(digits).unwrap();
                out.push(u8::from_str_radix(digits, 16).unwrap());
                at += 2;
            }
            (b'+', _) => out.push(b' '),
            (other, _) => out.push(other),
        }
        at += 1;
    }
    out
}
