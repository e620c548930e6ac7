//! clientIds: unguessable, and telling their shard.

/// Alphanumeric, lower case: what every client takes (R18).
const ALPHABET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

/// Random bytes of a clientId: 160 bits, of which the specification asks for 128.
pub(super) const ENTROPY: usize = 20;

/// A clientId: the shard in its first three characters, then base 32 of the random bytes.
pub(super) fn make(shard: u16, random: [u8; ENTROPY]) -> Box<str> {
    let mut id = String::with_capacity(3 + ENTROPY * 8 / 5);
    for shift in [10, 5, 0] {
        id.push(digit(u64::from(shard) >> shift));
    }
    for chunk in random.chunks(5) {
        let bits = chunk.iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        for n in (0..8).rev() {
            id.push(digit(bits >> (n * 5)));
        }
    }
    id.into()
}

fn digit(bits: u64) -> char {
    let index = usize::try_from(bits & 31).unwrap_or_default();
    ALPHABET.get(index).map_or('0', |byte| char::from(*byte))
}

/// The shard that made `client_id`, if its form is right; whether the session exists only that shard knows.
pub fn shard_of(client_id: &str) -> Option<u16> {
    let value = |byte: &u8| ALPHABET.iter().position(|digit| digit == byte);
    let head = client_id.as_bytes().get(..3)?;
    let shard = head.iter().try_fold(0, |shard, byte| value(byte).map(|digit| shard << 5 | digit))?;
    u16::try_from(shard).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_id_tells_its_shard() {
        for shard in [0, 1, 31, 32, 1023, 32767] {
            let id = make(shard, [0xa5; ENTROPY]);
            assert_eq!(shard_of(&id), Some(shard));
            assert_eq!(id.len(), 35);
            assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        }
        assert_ne!(make(0, [1; ENTROPY]), make(0, [2; ENTROPY]));
        assert_eq!(shard_of("zz"), None);
        assert_eq!(shard_of("zzz9"), None);
    }
}
