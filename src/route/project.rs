//! What clients get as `data`.

use crate::codec::{self, KeyFormat, ValueFormat, decode_key};
use crate::stream::{RawRecord, Render};

use super::selector::{Selector, View};

/// JSON built from selectors.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Projection {
    Select(Selector),
    /// A JSON text.
    Constant(Box<str>),
    Object(Vec<(Box<str>, Projection)>),
    Array(Vec<Projection>),
}

/// Renders the records of one route.
#[derive(Debug)]
pub(super) struct Renderer {
    pub(super) key_format: KeyFormat,
    pub(super) value_format: ValueFormat,
    pub(super) data: Option<Projection>,
}

// === impl Projection ===

impl Projection {
    /// Whether some selector in it satisfies `wanted`.
    pub(super) fn any(&self, wanted: fn(&Selector) -> bool) -> bool {
        match self {
            Self::Select(selector) => wanted(selector),
            Self::Constant(_) => false,
            Self::Object(entries) => entries.iter().any(|(_, projection)| projection.any(wanted)),
            Self::Array(items) => items.iter().any(|projection| projection.any(wanted)),
        }
    }

    fn write(&self, view: View<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Select(selector) => selector.json(view, out),
            Self::Constant(json) => out.extend_from_slice(json.as_bytes()),
            Self::Object(entries) => {
                out.push(b'{');
                for (n, (key, projection)) in entries.iter().enumerate() {
                    if n > 0 {
                        out.push(b',');
                    }
                    codec::put_string(key, out);
                    out.push(b':');
                    projection.write(view, out);
                }
                out.push(b'}');
            }
            Self::Array(items) => {
                out.push(b'[');
                for (n, projection) in items.iter().enumerate() {
                    if n > 0 {
                        out.push(b',');
                    }
                    projection.write(view, out);
                }
                out.push(b']');
            }
        }
    }
}

// === impl Renderer ===

impl Render for Renderer {
    fn data(&self, record: &RawRecord<'_>, out: &mut Vec<u8>) {
        let Some(projection) = self.data.as_ref().filter(|_| record.value.is_some()) else {
            match (self.value_format, record.value) {
                (ValueFormat::Bytes, Some(bytes)) => {
                    codec::put_message(bytes, record.header(codec::BINARY_HEADER), out);
                }
                _ => codec::decode_value(self.value_format, record.value, out),
            }
            return;
        };
        let key = record.key.filter(|_| projection.any(Selector::uses_key));
        let key = key.and_then(|key| decode_key(self.key_format, key).ok());
        let (key_format, value_format) = (self.key_format, self.value_format);
        projection.write(View { record, key: key.as_deref(), key_format, value_format }, out);
    }

    fn ext(&self, record: &RawRecord<'_>, out: &mut Vec<u8>) {
        if self.data.is_some() || record.value.is_none() {
            return;
        }
        let mark = match self.value_format {
            ValueFormat::Bytes => Some(&b"{}"[..]),
            // Anybody may have written the header.
            ValueFormat::Json => {
                record.header(codec::BINARY_HEADER).filter(|mark| codec::check_json(mark).is_ok())
            }
            ValueFormat::Text => None,
        };
        if let Some(mark) = mark {
            codec::put_binary_ext(mark, out);
        }
    }
}
