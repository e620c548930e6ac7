//! Values: what clients see of them, and what their `data` becomes.

use std::borrow::Cow;
use std::fmt;

use super::{CodecError, binary, json};

/// How the bytes of values are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ValueFormat {
    /// JSON; passes byte for byte in both directions.
    #[default]
    Json,
    /// UTF-8; a JSON string to clients.
    Text,
    /// Any; a message of the binary extension to clients.
    Bytes,
}

/// Checks a value once, so that [`decode_value`] cannot fail. A tombstone always passes.
pub fn check_value(format: ValueFormat, value: Option<&[u8]>) -> Result<(), CodecError> {
    match (format, value) {
        (_, None) | (ValueFormat::Bytes, _) => Ok(()),
        (ValueFormat::Json, Some(value)) => json::check(value).map(|_| ()),
        (ValueFormat::Text, Some(value)) => {
            std::str::from_utf8(value).map(|_| ()).map_err(|_| CodecError::NotUtf8)
        }
    }
}

/// Appends the JSON that clients see of a value that passed [`check_value`]; a tombstone is `null`.
pub fn decode_value(format: ValueFormat, value: Option<&[u8]>, out: &mut Vec<u8>) {
    match (format, value) {
        (_, None) => out.extend_from_slice(b"null"),
        (ValueFormat::Json, Some(value)) => out.extend_from_slice(value),
        (ValueFormat::Text, Some(value)) => json::put_string(&String::from_utf8_lossy(value), out),
        (ValueFormat::Bytes, Some(value)) => binary::put_message(value, None, out),
    }
}

/// The value that a published `data` becomes. `null` is a tombstone, as it is when records are read.
///
/// The result is `data` itself wherever the bytes need no change.
pub fn encode_value(format: ValueFormat, data: &[u8]) -> Result<Option<Cow<'_, [u8]>>, CodecError> {
    let text = json::check(data)?;
    if text.trim_ascii() == "null" {
        return Ok(None);
    }
    Ok(Some(match format {
        ValueFormat::Json => Cow::Borrowed(data),
        ValueFormat::Bytes => Cow::Owned(binary::decode(text)?),
        ValueFormat::Text => {
            let text = text.trim_ascii();
            if !text.starts_with('"') {
                return Err(CodecError::NotString);
            }
            match json::string(text)? {
                Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            }
        }
    }))
}

// === impl ValueFormat ===

impl ValueFormat {
    /// All of them, as mapping files write them.
    pub const NAMES: &[&str] = &["json", "text", "bytes"];

    /// By the name in mapping files.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "json" => Some(Self::Json),
            "text" => Some(Self::Text),
            "bytes" => Some(Self::Bytes),
            _ => None,
        }
    }
}

impl fmt::Display for ValueFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Json => "json",
            Self::Text => "text",
            Self::Bytes => "bytes",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(format: ValueFormat, value: Option<&[u8]>) -> String {
        check_value(format, value).unwrap();
        let mut out = Vec::new();
        decode_value(format, value, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_passes_byte_for_byte_and_text_is_a_string() {
        let json = r#" {"n": 12345678901234567890.10, "a":[1 ,2]} "#;
        assert_eq!(decoded(ValueFormat::Json, Some(json.as_bytes())), json);
        let data = encode_value(ValueFormat::Json, json.as_bytes()).unwrap();
        assert!(matches!(data, Some(Cow::Borrowed(bytes)) if bytes == json.as_bytes()));
        assert_eq!(decoded(ValueFormat::Text, Some("a\"\n\u{2028}é".as_bytes())), "\"a\\\"\\n\u{2028}é\"");
        assert_eq!(encode_value(ValueFormat::Text, br#""a\"\nb""#).unwrap().unwrap(), b"a\"\nb".as_slice());
        assert_eq!(encode_value(ValueFormat::Text, b"1"), Err(CodecError::NotString));
    }

    #[test]
    fn null_is_a_tombstone_in_both_directions() {
        for format in [ValueFormat::Json, ValueFormat::Text, ValueFormat::Bytes] {
            assert_eq!(decoded(format, None), "null");
            assert_eq!(encode_value(format, b" null "), Ok(None));
        }
    }

    proptest! {
        #[test]
        fn texts_lead_back(text: String) {
            let json = decoded(ValueFormat::Text, Some(text.as_bytes()));
            let back = encode_value(ValueFormat::Text, json.as_bytes()).unwrap().unwrap();
            prop_assert_eq!(back, text.as_bytes());
        }

        #[test]
        fn bytes_lead_back(bytes: Vec<u8>) {
            let json = decoded(ValueFormat::Bytes, Some(&bytes));
            let back = encode_value(ValueFormat::Bytes, json.as_bytes()).unwrap().unwrap();
            prop_assert_eq!(back, bytes);
        }
    }
}
