//! The records that are counted: JSON of 512 bytes with key, number within the key, and the instant it was due.

/// Bytes of a record's value.
pub const SIZE: usize = 512;

/// How every value begins. Numbers are strings, so that they may have leading zeros and stand at fixed places.
const MARK: &[u8] = br#"{"k":""#;
const KEY: std::ops::Range<usize> = 6..10;
const NUMBER: std::ops::Range<usize> = 17..27;
const DUE: std::ops::Range<usize> = 34..54;

/// A record as a client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    pub key: u32,
    /// 0, 1, 2 … within the key.
    pub number: u64,
    /// When it was due to be written, in nanoseconds of the [clock](crate::clock).
    pub due: u64,
}

/// A record's key in Kafka; also the last segment of its channel.
pub fn key_name(key: u32) -> String {
    format!("k{key:04}")
}

// === impl Record ===

impl Record {
    /// The value in Kafka.
    pub fn value(self) -> String {
        let Self { key, number, due } = self;
        let mut value = format!(r#"{{"k":"{key:04}","n":"{number:010}","t":"{due:020}","fill":""#);
        let fill = (SIZE - 2).saturating_sub(value.len());
        value.extend(('a'..='z').cycle().take(fill));
        value.push_str("\"}");
        value
    }

    /// Where a value begins in `text`.
    pub fn find(text: &[u8]) -> Option<usize> {
        memchr::memmem::find(text, MARK)
    }

    /// Reads the value that `text` begins with.
    pub fn read(text: &[u8]) -> Option<Self> {
        if !text.starts_with(MARK) {
            return None;
        }
        Some(Self {
            key: u32::try_from(digits(text.get(KEY)?)?).ok()?,
            number: digits(text.get(NUMBER)?)?,
            due: digits(text.get(DUE)?)?,
        })
    }
}

fn digits(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then_some(number.wrapping_mul(10).wrapping_add(u64::from(digit)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_its_size_and_is_read_back() {
        let record = Record { key: 999, number: 1_234_567, due: u64::MAX };
        let value = record.value();
        assert_eq!(value.len(), SIZE);
        assert_eq!(Record::read(value.as_bytes()), Some(record));
        let message = format!(r#"[{{"channel":"/bench/k0999","data":{value}}}]"#);
        let at = Record::find(message.as_bytes()).unwrap();
        assert_eq!(Record::read(&message.as_bytes()[at..]), Some(record));
    }
}
