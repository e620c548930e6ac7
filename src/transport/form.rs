//! `application/x-www-form-urlencoded`, of bodies and of query strings.

use bytes::Bytes;

/// The values of the fields called `name`, decoded, in order. Other fields may stand before, between and behind them.
pub(super) fn values(form: &[u8], name: &str) -> impl Iterator<Item = Bytes> {
    form.split(|byte| *byte == b'&').filter_map(move |field| {
        let value = field.trim_ascii_start().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Some(decode(value.trim_ascii_end()))
    })
}

/// Decodes a value; an escape that is none stands for itself.
fn decode(field: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                match tail.split_first_chunk::<2>().and_then(|(digits, tail)| Some((hex(*digits)?, tail))) {
                    Some((decoded, tail)) => {
                        rest = tail;
                        decoded
                    }
                    None => b'%',
                }
            }
            other => *other,
        });
    }
    out.into()
}

fn hex([high, low]: [u8; 2]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn messages(form: &str) -> Vec<Bytes> {
        values(form.as_bytes(), "message").collect()
    }

    #[test]
    fn values_are_found_in_any_order() {
        assert_eq!(messages("message=%5B%7B%22id%22%3A%221+2%2B%22%7D%5D"), [r#"[{"id":"1 2+"}]"#]);
        assert_eq!(messages("jsonp=x&message={}&message=[%c3%A9]&y"), ["{}", "[é]"]);
        assert_eq!(messages("message="), [""]);
        assert_eq!(messages("message=100%&message=%4"), ["100%", "%4"]);
        assert_eq!(messages("messages=[]&xmessage=[]&message"), Vec::<Bytes>::new());
        assert_eq!(values(b"message={}&jsonp=a.b", "jsonp").next().unwrap(), "a.b");
    }

    proptest! {
        #[test]
        fn a_form_carries_any_text(texts in proptest::collection::vec("[\\PC]{0,30}", 1..4)) {
            let fields: Vec<String> = texts
                .iter()
                .map(|text| text.bytes().fold("message=".to_owned(), |all, byte| format!("{all}%{byte:02X}")))
                .collect();
            prop_assert_eq!(messages(&fields.join("&")), texts);
        }

        #[test]
        fn any_bytes_are_read(form in proptest::collection::vec(any::<u8>(), 0..60)) {
            prop_assert!(values(&form, "m").all(|value| value.len() <= form.len()));
        }
    }
}
