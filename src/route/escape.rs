//! Bytes as channel segments: what is not legal there is written `~HH`.

use std::borrow::Cow;

use crate::bayeux::legal;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Appends `value` as (part of) a segment.
///
/// Legal characters stand for themselves. All other bytes, and `~`, become `~HH`. So does the first character of
/// every one of `separators`, the texts between the variables of the segment, and of what would read as `next`,
/// the text that follows: so what is joined can be taken apart at the first occurrence.
pub(super) fn encode(value: &[u8], separators: &[Box<str>], next: Option<&str>, out: &mut String) {
    let mut at = 0;
    for chunk in value.utf8_chunks() {
        for c in chunk.valid().chars() {
            let rest = value.get(at..).unwrap_or_default();
            let separates = separators.iter().any(|separator| rest.starts_with(separator.as_bytes()))
                || next.is_some_and(|next| begins(rest, next.as_bytes()));
            if legal(c) && c != '~' && !separates {
                out.push(c);
            } else {
                c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| escape(byte, out));
            }
            at += c.len_utf8();
        }
        chunk.invalid().iter().for_each(|&byte| escape(byte, out));
        at += chunk.invalid().len();
    }
}

/// Whether `next` occurs at the start of `rest` followed by `next`.
fn begins(rest: &[u8], next: &[u8]) -> bool {
    match rest.get(..next.len()) {
        Some(start) => start == next,
        None => next.starts_with(rest) && next.starts_with(next.get(rest.len()..).unwrap_or_default()),
    }
}

fn escape(byte: u8, out: &mut String) {
    out.push('~');
    for nibble in [byte >> 4, byte & 15] {
        out.push(char::from(HEX.get(usize::from(nibble)).copied().unwrap_or_default()));
    }
}

/// Takes `~HH` back; `None` where `~` is not followed by two upper-case hexadecimal digits.
///
/// Whether the text was canonical is for the caller to see, by [`encode`].
pub(super) fn decode(text: &str) -> Option<Cow<'_, [u8]>> {
    let bytes = text.as_bytes();
    if !bytes.contains(&b'~') {
        return Some(Cow::Borrowed(bytes));
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(&byte) = rest.next() {
        out.push(match byte {
            b'~' => 16 * nibble(*rest.next()?)? + nibble(*rest.next()?)?,
            byte => byte,
        });
    }
    Some(Cow::Owned(out))
}

fn nibble(digit: u8) -> Option<u8> {
    HEX.iter().position(|hex| *hex == digit).and_then(|n| u8::try_from(n).ok())
}

/// Where `separator` first occurs in an encoded segment, escapes being one character each.
pub(super) fn find(segment: &str, separator: &str) -> Option<usize> {
    // A legal separator holds no `~`, so an occurrence never begins before an escape and ends in it.
    let mut at = 0;
    while let Some(rest) = segment.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with(separator) {
            return Some(at);
        }
        let first = rest.chars().next()?;
        at += if first == '~' { 3 } else { first.len_utf8() };
    }
    None
}

/// The value as people read it in messages.
pub(super) fn display(value: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(value: &[u8]) -> String {
        let mut out = String::new();
        encode(value, &[], None, &mut out);
        out
    }

    #[test]
    fn what_is_legal_passes_and_the_rest_is_escaped_by_bytes() {
        for (value, segment) in [
            ("BRK.A", "BRK.A"),
            ("a b", "a~20b"),
            ("a/b", "a~2Fb"),
            ("~", "~7E"),
            ("*", "~2A"),
            ("größe-価格", "größe-価格"),
            ("€", "~E2~82~AC"),
            ("a:b@c", "a~3Ab@c"),
        ] {
            assert_eq!(encoded(value.as_bytes()), segment);
            assert_eq!(decode(segment).unwrap(), value.as_bytes());
        }
        assert_eq!(encoded(b"a\xffb\xc3"), "a~FFb~C3");
        for bad in ["~", "~4", "~4g", "~4a", "a~"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }

    #[test]
    fn separators_are_escaped_where_they_would_be_found_too_early() {
        let joined = |a: &str, b: &str, separator: &str| {
            let mut out = String::new();
            encode(a.as_bytes(), &[separator.into()], Some(separator), &mut out);
            out.push_str(separator);
            encode(b.as_bytes(), &[separator.into()], None, &mut out);
            out
        };
        assert_eq!(joined("a-b", "c-d", "-"), "a~2Db-c~2Dd");
        assert_eq!(joined("a_", "b", "__"), "a~5F__b");
        assert_eq!(joined("a_b", "_c", "__"), "a_b___c");
        assert_eq!(joined(" ", "x", "20"), "~2020x");
        assert_eq!(find("~2020x", "20"), Some(3));
        assert_eq!(find("~5F__b", "__"), Some(3));
    }

    proptest! {
        #[test]
        fn bytes_lead_back(value: Vec<u8>) {
            let segment = encoded(&value);
            prop_assert!(segment.chars().all(legal));
            prop_assert_eq!(decode(&segment).unwrap(), value);
        }

        #[test]
        fn joined_values_are_taken_apart(
            a in "[-_ab20~ ]{1,6}", b in "[-_ab20~ ]{1,6}", separator in "[-_ab20]{1,3}",
        ) {
            let separators = [separator.clone().into_boxed_str()];
            let mut out = String::new();
            encode(a.as_bytes(), &separators, Some(&separator), &mut out);
            let length = out.len();
            out.push_str(&separator);
            encode(b.as_bytes(), &separators, None, &mut out);
            prop_assert_eq!(find(&out, &separator), Some(length), "{}", out);
            let first = decode(out.get(..length).unwrap()).unwrap().into_owned();
            prop_assert_eq!(first, a.as_bytes());
        }
    }
}
