//! Keys: bytes to the text that templates see, and back.

use std::borrow::Cow;
use std::fmt;

use super::CodecError;
use super::json;

/// How the bytes of keys are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyFormat {
    /// UTF-8.
    #[default]
    Text,
    /// A JSON string (its content counts) or number (its source text counts).
    Json,
    /// Kafka's `LongSerializer`: 8 bytes, big-endian.
    Long,
    /// Kafka's `IntegerSerializer`: 4 bytes, big-endian.
    Int,
    /// Kafka's `UUIDSerializer`: the 36 characters of the text form.
    Uuid,
    /// Any bytes.
    Bytes,
}

/// What templates and regular expressions see of a key.
///
/// All formats but `bytes` give UTF-8.
pub fn decode_key(format: KeyFormat, key: &[u8]) -> Result<Cow<'_, [u8]>, CodecError> {
    let text = |key| std::str::from_utf8(key).map_err(|_| CodecError::NotUtf8);
    Ok(match format {
        KeyFormat::Bytes => Cow::Borrowed(key),
        KeyFormat::Text => Cow::Borrowed(text(key)?.as_bytes()),
        KeyFormat::Uuid => Cow::Borrowed(uuid(key)?),
        KeyFormat::Json => match json::scalar(json::check(key)?)? {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        },
        KeyFormat::Long => Cow::Owned(i64::from_be_bytes(exactly(key)?).to_string().into_bytes()),
        KeyFormat::Int => Cow::Owned(i32::from_be_bytes(exactly(key)?).to_string().into_bytes()),
    })
}

/// Checks that a key is of the format, even where it has no text, such as a JSON object. No key always passes.
pub fn check_key(format: KeyFormat, key: Option<&[u8]>) -> Result<(), CodecError> {
    match (format, key) {
        (_, None) => Ok(()),
        (KeyFormat::Json, Some(key)) => json::check(key).map(|_| ()),
        (_, Some(key)) => decode_key(format, key).map(|_| ()),
    }
}

/// The key whose decoded form is `text`: the inverse of [`decode_key`].
///
/// JSON has two keys for the text of a number, `42` and `"42"`; the number is written.
pub fn encode_key(format: KeyFormat, text: &[u8]) -> Result<Vec<u8>, CodecError> {
    let utf8 = || std::str::from_utf8(text).map_err(|_| CodecError::NotUtf8);
    match format {
        KeyFormat::Bytes => Ok(text.to_vec()),
        KeyFormat::Text => Ok(utf8()?.as_bytes().to_vec()),
        KeyFormat::Uuid => Ok(uuid(text)?.to_vec()),
        KeyFormat::Long => Ok(integer::<i64>(utf8()?)
            .ok_or(CodecError::NotInteger("a 64 bit integer"))?
            .to_be_bytes()
            .into()),
        KeyFormat::Int => Ok(integer::<i32>(utf8()?)
            .ok_or(CodecError::NotInteger("a 32 bit integer"))?
            .to_be_bytes()
            .into()),
        KeyFormat::Json => {
            let text = utf8()?;
            if is_number(text) {
                return Ok(text.as_bytes().to_vec());
            }
            let mut out = Vec::with_capacity(text.len() + 2);
            json::put_string(text, &mut out);
            Ok(out)
        }
    }
}

/// Whether `text` is a number of JSON and nothing else.
fn is_number(text: &str) -> bool {
    text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        && text.ends_with(|c: char| c.is_ascii_digit())
        && json::check(text.as_bytes()).is_ok()
}

/// An integer in its one canonical spelling.
fn integer<T: std::str::FromStr + fmt::Display>(text: &str) -> Option<T> {
    text.parse::<T>().ok().filter(|number| number.to_string() == text)
}

fn exactly<const N: usize>(key: &[u8]) -> Result<[u8; N], CodecError> {
    key.try_into().map_err(|_| CodecError::Length { expected: N, found: key.len() })
}

fn uuid(text: &[u8]) -> Result<&[u8], CodecError> {
    let fits = text.len() == 36
        && text.iter().enumerate().all(|(n, byte)| match n {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    if fits { Ok(text) } else { Err(CodecError::NotUuid) }
}

// === impl KeyFormat ===

impl KeyFormat {
    /// All of them, as mapping files write them.
    pub const NAMES: &[&str] = &["text", "json", "long", "int", "uuid", "bytes"];

    /// By the name in mapping files.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "text" => Self::Text,
            "json" => Self::Json,
            "long" => Self::Long,
            "int" => Self::Int,
            "uuid" => Self::Uuid,
            "bytes" => Self::Bytes,
            _ => return None,
        })
    }

    /// Whether a decoded text has one key only. In JSON it has several: escapes, white space, strings of digits.
    pub fn is_exact(self) -> bool {
        self != Self::Json
    }
}

impl fmt::Display for KeyFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Long => "long",
            Self::Int => "int",
            Self::Uuid => "uuid",
            Self::Bytes => "bytes",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_lead_back() {
        for name in KeyFormat::NAMES {
            assert_eq!(KeyFormat::parse(name).unwrap().to_string(), *name);
        }
    }

    #[test]
    fn bytes_that_are_not_of_the_format_are_told_apart() {
        use KeyFormat::{Int, Json, Long, Text, Uuid};
        assert_eq!(decode_key(Text, b"\xff"), Err(CodecError::NotUtf8));
        assert_eq!(decode_key(Long, &[0; 4]), Err(CodecError::Length { expected: 8, found: 4 }));
        assert_eq!(decode_key(Int, &[0; 8]), Err(CodecError::Length { expected: 4, found: 8 }));
        assert_eq!(decode_key(Uuid, b"f81d4fae-7dec-11d0-a765-00a0c91e6bf"), Err(CodecError::NotUuid));
        assert_eq!(decode_key(Json, b"null"), Err(CodecError::NotScalar("null")));
        assert_eq!(decode_key(Json, b"{\"a\":1}"), Err(CodecError::NotScalar("an object")));
        assert_eq!(encode_key(Int, b"2147483648"), Err(CodecError::NotInteger("a 32 bit integer")));
        for text in ["007", "+7", "-0", "7.0", ""] {
            assert_eq!(encode_key(Long, text.as_bytes()), Err(CodecError::NotInteger("a 64 bit integer")));
        }
        assert_eq!(encode_key(Uuid, b"x"), Err(CodecError::NotUuid));
    }

    #[test]
    fn json_keys_keep_numbers_as_they_are_written() {
        for (key, text) in [
            ("\"a b\"", "a b"),
            ("42", "42"),
            ("1.50", "1.50"),
            ("-1e+400", "-1e+400"),
            ("\"01\"", "01"),
            ("\"1 \"", "1 "),
            ("\"-\"", "-"),
            ("\"true\"", "true"),
            ("\"\"", ""),
        ] {
            assert_eq!(decode_key(KeyFormat::Json, key.as_bytes()).unwrap(), text.as_bytes());
            assert_eq!(encode_key(KeyFormat::Json, text.as_bytes()).unwrap(), key.as_bytes());
        }
        assert_eq!(decode_key(KeyFormat::Json, b" \"\\u0041\" ").unwrap(), b"A".as_slice());
    }

    proptest! {
        #[test]
        fn keys_of_exact_formats_lead_back(long: i64, int: i32, text: String, bytes: Vec<u8>, uuid: u128) {
            let uuid = uuid::Uuid::from_u128(uuid).to_string();
            for (format, key) in [
                (KeyFormat::Long, long.to_be_bytes().to_vec()),
                (KeyFormat::Int, int.to_be_bytes().to_vec()),
                (KeyFormat::Text, text.clone().into_bytes()),
                (KeyFormat::Bytes, bytes),
                (KeyFormat::Uuid, uuid.into_bytes()),
            ] {
                let decoded = decode_key(format, &key).unwrap();
                prop_assert_eq!(encode_key(format, &decoded).unwrap(), key);
            }
        }

        #[test]
        fn texts_of_json_keys_lead_back(text: String) {
            let key = encode_key(KeyFormat::Json, text.as_bytes()).unwrap();
            prop_assert_eq!(decode_key(KeyFormat::Json, &key).unwrap(), text.as_bytes());
        }
    }
}
