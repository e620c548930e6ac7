//! Selectors: where in a record something is.

use std::borrow::Cow;
use std::fmt;

use crate::codec::{self, CodecError, KeyFormat, Pointer, ValueFormat};
use crate::stream::RawRecord;

/// One place in a record, or a constant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Selector {
    Topic,
    Partition,
    Offset,
    Timestamp,
    Key,
    KeyAt(Pointer),
    Header(Box<str>),
    Value,
    ValueAt(Pointer),
    Literal(Box<str>),
}

/// A record as selectors see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'v> {
    pub(super) record: &'v RawRecord<'v>,
    /// The key, decoded.
    pub(super) key: Option<&'v [u8]>,
    pub(super) key_format: KeyFormat,
    pub(super) value_format: ValueFormat,
}

// === impl Selector ===

impl Selector {
    /// By its text in a mapping file; the error says what is wrong.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let pointer = |text: &str| {
            Pointer::parse(text).ok_or_else(|| format!("{text:?} is not a JSON pointer, such as /a/b"))
        };
        Ok(match text {
            "topic" => Self::Topic,
            "partition" => Self::Partition,
            "offset" => Self::Offset,
            "timestamp" => Self::Timestamp,
            "key" => Self::Key,
            "value" => Self::Value,
            _ => match (text.split_once(':'), text.strip_prefix('=')) {
                (_, Some(literal)) => Self::Literal(literal.into()),
                (Some(("key", at)), _) => Self::KeyAt(pointer(at)?),
                (Some(("value", at)), _) => Self::ValueAt(pointer(at)?),
                (Some(("header", "")), _) => return Err("the header has no name".to_owned()),
                (Some(("header", name)), _) => Self::Header(name.into()),
                _ => return Err(format!("{text:?} is not a selector")),
            },
        })
    }

    pub(super) fn uses_headers(&self) -> bool {
        matches!(self, Self::Header(_))
    }

    pub(super) fn uses_key(&self) -> bool {
        matches!(self, Self::Key | Self::KeyAt(_))
    }

    /// One text for a variable; `None` if the record has no such thing.
    pub(super) fn text<'v>(&'v self, view: View<'v>) -> Result<Option<Cow<'v, [u8]>>, CodecError> {
        let number = |number: i64| Cow::Owned(number.to_string().into_bytes());
        let scalar = |text: Cow<'v, str>| match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        Ok(match self {
            Self::Topic => Some(Cow::Borrowed(view.record.topic.as_bytes())),
            Self::Partition => Some(number(view.record.partition.into())),
            Self::Offset => Some(number(view.record.offset)),
            Self::Timestamp => view.record.timestamp.map(number),
            Self::Key => view.key.map(Cow::Borrowed),
            Self::KeyAt(pointer) => match view.record.key {
                Some(key) => pointer.find_scalar(codec::check_json(key)?)?.map(scalar),
                None => None,
            },
            Self::Header(name) => view.record.header(name).map(Cow::Borrowed),
            Self::Value | Self::ValueAt(_) => match (self, view.value_format, view.record.value) {
                (_, _, None) => None,
                (Self::ValueAt(pointer), _, Some(value)) => {
                    pointer.find_scalar(codec::check_json(value)?)?.map(scalar)
                }
                (_, ValueFormat::Text | ValueFormat::Bytes, Some(value)) => Some(Cow::Borrowed(value)),
                (_, ValueFormat::Json, Some(value)) => {
                    Some(scalar(codec::json_scalar(codec::check_json(value)?)?))
                }
            },
            Self::Literal(text) => Some(Cow::Borrowed(text.as_bytes())),
        })
    }

    /// Appends the JSON of it; `null` if the record has no such thing.
    pub(super) fn json(&self, view: View<'_>, out: &mut Vec<u8>) {
        let number = |number: i64, out: &mut Vec<u8>| out.extend_from_slice(number.to_string().as_bytes());
        match self {
            Self::Topic => codec::put_string(view.record.topic, out),
            Self::Partition => number(view.record.partition.into(), out),
            Self::Offset => number(view.record.offset, out),
            Self::Timestamp => match view.record.timestamp {
                Some(timestamp) => number(timestamp, out),
                None => out.extend_from_slice(b"null"),
            },
            Self::Key => match (view.key_format, view.record.key, view.key) {
                (KeyFormat::Json, Some(key), _) => out.extend_from_slice(key),
                (KeyFormat::Long | KeyFormat::Int, _, Some(digits)) => out.extend_from_slice(digits),
                (KeyFormat::Bytes, _, Some(bytes)) => {
                    let mut text = String::new();
                    super::escape::encode(bytes, &[], None, &mut text);
                    codec::put_string(&text, out);
                }
                (_, _, Some(text)) => codec::put_string(&String::from_utf8_lossy(text), out),
                (_, _, None) => out.extend_from_slice(b"null"),
            },
            Self::KeyAt(pointer) => put_at(pointer, view.record.key, out),
            Self::Header(name) => match view.record.header(name) {
                Some(value) => codec::put_string(&String::from_utf8_lossy(value), out),
                None => out.extend_from_slice(b"null"),
            },
            Self::Value => match (view.value_format, view.record.value) {
                // Within other JSON nothing tells that it is bytes: they are a string there.
                (ValueFormat::Bytes, Some(bytes)) => codec::put_bytes(bytes, out),
                _ => codec::decode_value(view.value_format, view.record.value, out),
            },
            Self::ValueAt(pointer) => put_at(pointer, view.record.value, out),
            Self::Literal(text) => codec::put_string(text, out),
        }
    }
}

/// Appends the source text of what `pointer` leads to.
fn put_at(pointer: &Pointer, json: Option<&[u8]>, out: &mut Vec<u8>) {
    let json = json.and_then(|json| std::str::from_utf8(json).ok());
    let found = json.and_then(|json| pointer.find(json).ok().flatten());
    out.extend_from_slice(found.unwrap_or("null").as_bytes());
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic => f.write_str("topic"),
            Self::Partition => f.write_str("partition"),
            Self::Offset => f.write_str("offset"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Key => f.write_str("key"),
            Self::KeyAt(pointer) => write!(f, "key:{pointer}"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Value => f.write_str("value"),
            Self::ValueAt(pointer) => write!(f, "value:{pointer}"),
            Self::Literal(text) => write!(f, "={text}"),
        }
    }
}
