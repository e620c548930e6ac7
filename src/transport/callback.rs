//! Callback-polling (JSONP): messages in the query of a GET, replies as a script that calls a function of the page (R69).
//!
//! A script is read by pages of every origin and by whatever else a browser can be made to take it for, hence the precautions: the
//! name is a name and nothing else, a comment stands before it, and the response is declared a script and a download.

use bytes::Bytes;
use memchr::memmem;

use super::form;
use super::response::Frame;

/// What is called if the request names nothing (R69).
const DEFAULT: &str = "jsonpcallback";
/// Longest name that is called; the longest seen have 60 characters.
const MAX_NAME: usize = 128;
/// What U+2028 and U+2029 begin with: legal in JSON, the end of a line in scripts before ECMAScript 2019.
const SEPARATOR: [u8; 2] = [0xE2, 0x80];

/// The function of the page that is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Callback(Box<str>);

/// A name that is not called. `Display` is the text for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "jsonp is not the name of a function: up to {MAX_NAME} letters, digits, _ and $, with dots between names"
)]
pub(super) struct BadCallback;

/// Whether a query holds messages.
pub(super) fn is_call(query: &str) -> bool {
    form::values(query.as_bytes(), "message").next().is_some()
}

/// The texts of the messages in a query, in order; together they make one batch.
pub(super) fn messages(query: &str) -> Vec<Bytes> {
    form::values(query.as_bytes(), "message").collect()
}

// === impl Callback ===

impl Callback {
    /// The function that a query names with `jsonp`, or the default.
    pub(super) fn of(query: &str) -> Result<Self, BadCallback> {
        let Some(name) = form::values(query.as_bytes(), "jsonp").next() else {
            return Ok(Self(DEFAULT.into()));
        };
        let name = std::str::from_utf8(&name).map_err(|_| BadCallback)?;
        // Libraries keep their functions in objects: `jQuery38.cb_1`, `dojo_request_script_callbacks.dojo_request_script0`.
        let proper = name.len() <= MAX_NAME && name.split('.').all(is_identifier);
        if proper { Ok(Self(name.into())) } else { Err(BadCallback) }
    }

    /// What stands around the objects of a response.
    pub(super) fn frame(&self) -> Frame {
        Frame { open: format!("/**/{}([", self.0).into(), close: b"]);" }
    }
}

fn is_identifier(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'$');
    name.bytes().next().is_some_and(letter) && name.bytes().all(|byte| letter(byte) || byte.is_ascii_digit())
}

/// A JSON text as it may stand in a script: the same bytes, unless it has one of the two characters that scripts escape.
pub(super) fn in_script(json: Bytes) -> Bytes {
    if memmem::find(&json, &SEPARATOR).is_none() {
        return json;
    }
    let mut out = Vec::with_capacity(json.len() + 12);
    let mut rest = &*json;
    while let Some(at) = memmem::find(rest, &SEPARATOR) {
        let (before, found) = rest.split_at(at);
        out.extend_from_slice(before);
        let (character, after) = found.split_at_checked(3).unwrap_or((found, &[]));
        match character.last() {
            Some(0xA8) => out.extend_from_slice(br"\u2028"),
            Some(0xA9) => out.extend_from_slice(br"\u2029"),
            _ => out.extend_from_slice(character),
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_functions_are_called() {
        for name in [
            "_cometd_jsonp_0",
            "jQuery38006423_1795",
            "dojo_request_script_callbacks.dojo_request_script0",
            "__jsonp1__",
            "$",
        ] {
            assert_eq!(Callback::of(&format!("message=[]&jsonp={name}")).unwrap().0.as_ref(), name);
        }
        assert_eq!(Callback::of("message=[]").unwrap().0.as_ref(), DEFAULT);
        assert_eq!(Callback::of("jsonp=a&message=[]").unwrap().frame().open, "/**/a([");
    }

    #[test]
    fn anything_else_is_refused() {
        let long = "x".repeat(MAX_NAME + 1);
        for name in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "1a",
            "a.1",
            "a-b",
            "a(b)",
            "a[0]",
            "%3Cscript%3E",
            "a%0A",
            "é",
            &long,
        ] {
            assert_eq!(Callback::of(&format!("jsonp={name}")), Err(BadCallback), "{name}");
        }
    }

    #[test]
    fn only_what_must_be_escaped_is_copied() {
        let plain = Bytes::from_static("{\"a\":\"é\"}".as_bytes());
        assert_eq!(in_script(plain.clone()).as_ptr(), plain.as_ptr());
        let text = "\u{2028}a\u{2029}\u{2027}\u{2028}\u{2026}";
        assert_eq!(in_script(text.into()), "\\u2028a\\u2029\u{2027}\\u2028\u{2026}");
    }

    proptest! {
        #[test]
        fn a_script_means_what_the_json_says(text in "[a\u{2020}-\u{2030}\\PC]{0,20}") {
            let json = serde_json::to_string(&text).unwrap();
            let script = in_script(json.into());
            let escaped = !String::from_utf8(script.to_vec()).unwrap().contains(['\u{2028}', '\u{2029}']);
            prop_assert!(escaped);
            prop_assert_eq!(serde_json::from_slice::<String>(&script).unwrap(), text);
        }
    }
}
