//! Looking at JSON without changing it.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::CodecError;

/// How deep arrays and objects may be within each other: what ordinary JSON libraries of clients and consumers accept.
pub const MAX_DEPTH: usize = 128;

/// A JSON pointer (RFC 6901), taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer {
    text: Box<str>,
    steps: Box<[Box<str>]>,
}

/// Checks that `bytes` are UTF-8 and one JSON text, nested no deeper than [`MAX_DEPTH`]; gives the text.
pub fn check(bytes: &[u8]) -> Result<&str, CodecError> {
    let text = std::str::from_utf8(bytes).map_err(|_| CodecError::NotUtf8)?;
    // The parser skips what it ignores without recursion: any depth is safe here.
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| CodecError::NotJson(error.to_string()))?;
    check_depth(bytes)?;
    Ok(text)
}

fn check_depth(json: &[u8]) -> Result<(), CodecError> {
    // Few texts hold so many brackets at all, whatever they belong to.
    if memchr::memchr2_iter(b'{', b'[', json).nth(MAX_DEPTH).is_none() {
        return Ok(());
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for &byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(CodecError::TooDeep);
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// Appends `text` as a JSON string.
pub fn put_string(text: &str, out: &mut Vec<u8>) {
    // Writing to memory does not fail, and neither does a string.
    let _ = serde_json::to_writer(out, text);
}

/// One text out of JSON that was checked: the content of a string, the source text of a number or boolean.
pub fn scalar(json: &str) -> Result<Cow<'_, str>, CodecError> {
    let json = json.trim_ascii();
    match json.as_bytes().first() {
        Some(b'"') => string(json),
        Some(b'{') => Err(CodecError::NotScalar("an object")),
        Some(b'[') => Err(CodecError::NotScalar("an array")),
        Some(b'n') => Err(CodecError::NotScalar("null")),
        _ => Ok(Cow::Borrowed(json)),
    }
}

/// The content of a JSON string.
pub(super) fn string(json: &str) -> Result<Cow<'_, str>, CodecError> {
    let plain = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match plain {
        Some(plain) if !plain.contains(['\\', '"']) => Ok(Cow::Borrowed(plain)),
        _ => serde_json::from_str::<String>(json)
            .map(Cow::Owned)
            .map_err(|error| CodecError::NotJson(error.to_string())),
    }
}

// === impl Pointer ===

impl Pointer {
    /// Takes a pointer apart: `/a/0/b~1c`; `~1` is `/`, `~0` is `~`. The empty pointer is the whole value.
    /// `None` if it does not begin with `/` or holds another `~`.
    pub fn parse(text: &str) -> Option<Self> {
        let steps = match text.strip_prefix('/') {
            None if text.is_empty() => Box::default(),
            None => return None,
            Some(rest) => rest.split('/').map(unescape).collect::<Option<_>>()?,
        };
        Some(Self { text: text.into(), steps })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The source text of what the pointer leads to in `json`, byte for byte; `None` if there is no such thing.
    /// Of a key that an object has twice the last counts, as in `JSON.parse`.
    pub fn find<'a>(&self, json: &'a str) -> Result<Option<&'a str>, CodecError> {
        let mut at = json.trim_ascii();
        for step in &self.steps {
            let mut deserializer = serde_json::Deserializer::from_str(at);
            let found =
                Step(step).deserialize(&mut deserializer).map_err(|e| CodecError::NotJson(e.to_string()))?;
            match found {
                Some(raw) => at = raw.get(),
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }

    /// [`Self::find`], and one text out of it: see [`scalar`].
    pub fn find_scalar<'a>(&self, json: &'a str) -> Result<Option<Cow<'a, str>>, CodecError> {
        self.find(json)?.map(scalar).transpose()
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn unescape(step: &str) -> Option<Box<str>> {
    let mut parts = step.split('~');
    let mut out = parts.next()?.to_owned();
    for part in parts {
        out.push(match part.as_bytes().first()? {
            b'0' => '~',
            b'1' => '/',
            _ => return None,
        });
        out.push_str(part.get(1..)?);
    }
    Some(out.into())
}

/// One step of a pointer into the value that a deserializer stands before.
struct Step<'s>(&'s str);

impl<'de> DeserializeSeed<'de> for Step<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Step<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if key == self.0 {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let canonical = self.0 == "0" || !self.0.starts_with(['0', '+']);
        let mut left = self.0.parse::<usize>().ok().filter(|_| canonical);
        let mut found = None;
        loop {
            if left == Some(0) {
                left = None;
                match seq.next_element()? {
                    Some(raw) => found = Some(raw),
                    None => return Ok(None),
                }
            } else {
                left = left.map(|n| n - 1);
                if seq.next_element::<IgnoredAny>()?.is_none() {
                    return Ok(found);
                }
            }
        }
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find<'a>(pointer: &str, json: &'a str) -> Option<&'a str> {
        Pointer::parse(pointer).unwrap().find(json).unwrap()
    }

    #[test]
    fn json_is_checked_as_a_whole() {
        for good in ["1", " {\"a\":[1e400]} ", "\"\\ud800\"", "123456789012345678901234567890"] {
            assert_eq!(check(good.as_bytes()), Ok(good));
        }
        for bad in ["", "{", "1 2", "01", "{a:1}", "\"\n\"", "NaN", "\u{feff}1"] {
            assert!(matches!(check(bad.as_bytes()), Err(CodecError::NotJson(_))), "{bad}");
        }
        assert_eq!(check(b"\"\xff\""), Err(CodecError::NotUtf8));
    }

    #[test]
    fn depth_counts_what_is_not_in_strings() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(check(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert_eq!(check(nested(MAX_DEPTH + 1).as_bytes()), Err(CodecError::TooDeep));
        assert_eq!(check(nested(1_000_000).as_bytes()), Err(CodecError::TooDeep));
        assert!(check(format!("\"\\\"{}\"", "[".repeat(999)).as_bytes()).is_ok());
        assert!(check(format!("[{}[]]", "[],".repeat(999)).as_bytes()).is_ok());
    }

    #[test]
    fn pointers_give_the_source_text() {
        let json =
            r#" {"a": 1.50, "b": [{"c": "x\n"}, 1e2], "a/b": {"~": null}, "": 0, "é": true, "a": -0} "#;
        assert_eq!(find("/a", json), Some("-0"));
        assert_eq!(find("/b/0", json), Some(r#"{"c": "x\n"}"#));
        assert_eq!(find("/b/0/c", json), Some(r#""x\n""#));
        assert_eq!(find("/b/1", json), Some("1e2"));
        assert_eq!(find("/a~1b/~0", json), Some("null"));
        assert_eq!(find("/", json), Some("0"));
        assert_eq!(find("/é", json), Some("true"));
        assert_eq!(find("", json), Some(json.trim()));
        for missing in ["/x", "/b/2", "/b/00", "/b/+1", "/b/-", "/b/1/x", "/a/x", "/é/x", "/a~1b/~0/x"] {
            assert_eq!(find(missing, json), None, "{missing}");
        }
        assert_eq!(Pointer::parse("a"), None);
        assert_eq!(Pointer::parse("/~2"), None);
        assert_eq!(Pointer::parse("/~"), None);
        assert!(Pointer::parse("/a").unwrap().find("{").is_err());
    }

    #[test]
    fn scalars_become_one_text() {
        assert_eq!(scalar(r#" "a\u00e9" "#).unwrap(), "aé");
        assert_eq!(scalar("1.0").unwrap(), "1.0");
        assert_eq!(scalar("true").unwrap(), "true");
        assert_eq!(scalar("null"), Err(CodecError::NotScalar("null")));
        assert_eq!(scalar("{}"), Err(CodecError::NotScalar("an object")));
        assert_eq!(scalar("[]"), Err(CodecError::NotScalar("an array")));
        assert!(scalar(r#""\ud800""#).is_err());
    }
}
