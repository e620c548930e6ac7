//! Z85 (RFC 32 of `ZeroMQ`) as CometD has it: of any number of bytes.
//!
//! Four bytes are five characters. Where bytes are left over they are filled up with zeros, and as many characters are left out as
//! zeros were put in; a reader fills up with `#`, the last digit, and leaves out bytes.

use super::CodecError;

const DIGITS: &[u8; 85] =
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

/// The values of characters; 255 for those that are no digits.
const VALUES: [u8; 256] = {
    let mut values = [255; 256];
    let mut n = 0;
    while n < 85 {
        #[expect(clippy::cast_possible_truncation, reason = "below 85")]
        #[expect(clippy::indexing_slicing, reason = "fails when it is compiled, if at all")]
        {
            values[DIGITS[n] as usize] = n as u8;
        }
        n += 1;
    }
    values
};

const LAST: u8 = 84;

/// Appends `bytes` as text.
pub fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len().div_ceil(4) * 5);
    for chunk in bytes.chunks(4) {
        let mut word = [0; 4];
        for (to, from) in word.iter_mut().zip(chunk) {
            *to = *from;
        }
        let mut rest = u32::from_be_bytes(word);
        let mut text = [0; 5];
        for to in text.iter_mut().rev() {
            // Always there: the remainder is below 85.
            *to =
                usize::try_from(rest % 85).ok().and_then(|digit| DIGITS.get(digit)).copied().unwrap_or(b'0');
            rest /= 85;
        }
        out.extend(text.iter().take(chunk.len() + 1));
    }
}

/// The bytes of `text`.
///
/// # Errors
/// If it holds something else than digits, or five digits that are no four bytes, or one digit is left over.
pub fn decode(text: &[u8]) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::with_capacity(text.len() / 5 * 4 + 4);
    for chunk in text.chunks(5) {
        if chunk.len() == 1 {
            return Err(CodecError::NotZ85);
        }
        let mut word = 0_u32;
        for n in 0..5 {
            let value = match chunk.get(n) {
                None => LAST,
                Some(byte) => VALUES.get(usize::from(*byte)).copied().unwrap_or(255),
            };
            if value > LAST {
                return Err(CodecError::NotZ85);
            }
            let next = word.checked_mul(85).and_then(|word| word.checked_add(value.into()));
            word = next.ok_or(CodecError::NotZ85)?;
        }
        out.extend(word.to_be_bytes().iter().take(chunk.len() - 1));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        encode(bytes, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn known_texts() {
        // The test vector of the RFC.
        let hello = [0x86, 0x4f, 0xd2, 0x6f, 0xb5, 0x59, 0xf7, 0x5b];
        assert_eq!(text(&hello), "HelloWorld");
        assert_eq!(decode(b"HelloWorld").unwrap(), hello);
        assert_eq!((text(b""), decode(b"").unwrap()), (String::new(), vec![]));
        // Made by CometD's JavaScript.
        for (bytes, expected) in [
            (&[0xff][..], "@@"),
            (&[0], "00"),
            (&[255, 255], "%nJ"),
            (&[1, 2, 3], "0rJu"),
            (&[255; 5], "%nSc0@@"),
        ] {
            assert_eq!(text(bytes), expected);
            assert_eq!(decode(expected.as_bytes()).unwrap(), bytes);
        }
    }

    #[test]
    fn what_is_no_z85_is_refused() {
        for bad in ["0", "000000", "\"\"", "00 00", "#####", "%nSc1", "é", "0000\n"] {
            assert_eq!(decode(bad.as_bytes()), Err(CodecError::NotZ85), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn bytes_lead_back(bytes: Vec<u8>) {
            let text = text(&bytes);
            prop_assert_eq!(text.len(), bytes.len() + bytes.len().div_ceil(4));
            prop_assert_eq!(decode(text.as_bytes()).unwrap(), bytes);
        }

        #[test]
        fn any_text_is_bytes_or_refused(text: Vec<u8>) {
            if let Ok(bytes) = decode(&text) {
                prop_assert_eq!(bytes.len(), text.len() - text.len().div_ceil(5));
            }
        }
    }
}
