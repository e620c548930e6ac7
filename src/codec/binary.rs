//! Bytes within JSON, as CometD's binary extension has them: `{"data": "<Z85>", "last": true, "meta": {…}}`.
//!
//! The bytes are the record. What else a publisher said, that it is not the last part or something in `meta`, stands in a header.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{CodecError, json, z85};

/// The record header for what a publish says of its bytes.
pub const BINARY_HEADER: &str = "bayeux-binary";

#[derive(Deserialize, Default)]
struct Message<'a> {
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(default)]
    last: Option<bool>,
    #[serde(borrow, default)]
    meta: Option<&'a RawValue>,
}

/// The bytes of a message, which is JSON.
pub(super) fn decode(message: &str) -> Result<Vec<u8>, CodecError> {
    let data = read(message).and_then(|message| message.data).ok_or(CodecError::NotBinary)?;
    z85::decode(json::string(data.get()).map_err(|_| CodecError::NotBinary)?.as_bytes())
}

/// Appends the message of `bytes`, with what `header` says of them.
pub fn put_message(bytes: &[u8], header: Option<&[u8]>, out: &mut Vec<u8>) {
    let text = header.and_then(|header| std::str::from_utf8(header).ok());
    let said = text.and_then(read).unwrap_or_default();
    out.extend_from_slice(br#"{"data":"#);
    put_string(bytes, out);
    out.push(b',');
    put_rest(said.last.unwrap_or(true), said.meta, out);
}

/// Appends `bytes` as a JSON string. No digit of Z85 is escaped in JSON.
pub fn put_string(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    z85::encode(bytes, out);
    out.push(b'"');
}

/// Appends the field `ext` of an event that says `mark`, which is JSON, in `ext.binary`.
pub fn put_ext(mark: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(br#","ext":{"binary":"#);
    out.extend_from_slice(mark);
    out.push(b'}');
}

/// What a message says besides its bytes, for the header; `None` if that is nothing.
pub fn header_of(message: &[u8]) -> Option<Vec<u8>> {
    let Message { last, meta, .. } = read(std::str::from_utf8(message).ok()?)?;
    let last = last.unwrap_or(true);
    (!last || meta.is_some()).then(|| {
        let mut out = b"{".to_vec();
        put_rest(last, meta, &mut out);
        out
    })
}

fn put_rest(last: bool, meta: Option<&RawValue>, out: &mut Vec<u8>) {
    out.extend_from_slice(if last { br#""last":true"# } else { br#""last":false"# });
    if let Some(meta) = meta {
        out.extend_from_slice(br#","meta":"#);
        out.extend_from_slice(meta.get().as_bytes());
    }
    out.push(b'}');
}

fn read(message: &str) -> Option<Message<'_>> {
    // An array would fill the struct by position.
    message.trim_ascii_start().starts_with('{').then(|| serde_json::from_str(message).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: &[u8], header: Option<&[u8]>) -> String {
        let mut out = Vec::new();
        put_message(bytes, header, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn bytes_and_what_is_said_of_them_lead_back() {
        for text in [
            r#"{"data":"HelloWorld","last":true}"#,
            r#"{"data":"","last":false}"#,
            r#"{"data":"HelloWorld","last":true,"meta":{"name": "é", "n":1.0}}"#,
        ] {
            let header = header_of(text.as_bytes());
            assert_eq!(message(&decode(text).unwrap(), header.as_deref()), text);
        }
        assert_eq!(header_of(br#"{"data":"HelloWorld"}"#), None);
        assert_eq!(decode(r#" {"meta":1,"x":[],"data":"\u0048elloWorld"}"#).unwrap().len(), 8);
    }

    #[test]
    fn what_is_no_message_of_bytes_is_refused() {
        for bad in
            ["{}", "[\"00\"]", "\"00\"", r#"{"data":7}"#, r#"{"data":null}"#, r#"{"data":"00","last":1}"#]
        {
            assert_eq!(decode(bad), Err(CodecError::NotBinary), "{bad}");
        }
        assert_eq!(decode(r#"{"data":"0"}"#), Err(CodecError::NotZ85));
    }

    #[test]
    fn a_header_of_someone_elses_changes_nothing() {
        for header in [&b""[..], b"\xff", b"7", b"[]", b"{", br#"{"last":"x"}"#] {
            assert_eq!(message(&[0], Some(header)), r#"{"data":"00","last":true}"#);
        }
    }
}
