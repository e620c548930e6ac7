//! Which partition a key goes to, as the topic's other producers place it.

use std::fmt;

/// How producers place keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Partitioner {
    /// The Java client's: `toPositive(murmur2(key)) % n`.
    #[default]
    Murmur2,
    /// librdkafka's `consistent`: `crc32(key) % n`.
    Crc32,
    /// librdkafka's `fnv1a`, Sarama's hash partitioner: `abs(int32(fnv1a(key))) % n`.
    Fnv1a,
}

/// The one key that a subscription can see: it is on one partition of each topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedKey {
    pub(super) partitioner: Partitioner,
    pub(super) key: Vec<u8>,
}

// === impl Partitioner ===

impl Partitioner {
    /// All of them, as mapping files write them.
    pub const NAMES: &[&str] = &["murmur2", "crc32", "fnv1a"];

    /// By the name in mapping files.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "murmur2" => Some(Self::Murmur2),
            "crc32" => Some(Self::Crc32),
            "fnv1a" => Some(Self::Fnv1a),
            _ => None,
        }
    }

    /// The partition of `key` among `partitions`, from 0; 0 if there are none.
    pub fn partition(self, key: &[u8], partitions: i32) -> i32 {
        let hash = match self {
            Self::Murmur2 => murmur2(key) & 0x7fff_ffff,
            Self::Crc32 => crc32fast::hash(key),
            Self::Fnv1a => fnv1a(key).cast_signed().unsigned_abs(),
        };
        // A remainder of an i32 is an i32.
        hash.checked_rem(u32::try_from(partitions).unwrap_or(0)).unwrap_or(0).cast_signed()
    }
}

impl fmt::Display for Partitioner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Murmur2 => "murmur2",
            Self::Crc32 => "crc32",
            Self::Fnv1a => "fnv1a",
        })
    }
}

// === impl FixedKey ===

impl FixedKey {
    /// The partition that has the key, of a topic with `partitions`.
    pub fn partition(&self, partitions: i32) -> i32 {
        self.partitioner.partition(&self.key, partitions)
    }
}

/// Murmur2 as `org.apache.kafka.common.utils.Utils.murmur2` has it.
fn murmur2(key: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    // The length wraps in Java as well.
    #[allow(clippy::cast_possible_truncation)]
    let mut hash = SEED ^ key.len() as u32;
    let (words, tail) = key.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    if !tail.is_empty() {
        for (n, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * n);
        }
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// FNV-1a of 32 bits.
fn fnv1a(key: &[u8]) -> u32 {
    key.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Java's and Go's results, as librdkafka's unit tests hold them.
    const VECTORS: [(&str, u32, u32); 11] = [
        ("kafka", 0xd067_cf64, 0x0d33_c4e1),
        ("giberish123456789", 0x8f55_2b0c, 0x77a5_8295),
        ("1234", 0x9fc9_7b14, 0x023b_dd03),
        ("234", 0xe7c0_09ca, 0x2dea_3cd2),
        ("34", 0x8739_30da, 0x740f_a83e),
        ("4", 0x5a4b_5ca1, 0x310c_a263),
        ("PreAmbleWillBeRemoved,ThePrePartThatIs", 0x7842_4f1c, 0x65cb_d69c),
        ("reAmbleWillBeRemoved,ThePrePartThatIs", 0x4a62_b377, 0x6e49_c79a),
        ("eAmbleWillBeRemoved,ThePrePartThatIs", 0xe0e4_e09e, 0x69ee_d356),
        ("AmbleWillBeRemoved,ThePrePartThatIs", 0x62b8_b43f, 0x6abc_c023),
        ("", 0x106e_08d9, 0x7ee3_623b),
    ];

    #[test]
    fn hashes_are_those_of_other_producers() {
        for (key, murmur, fnv) in VECTORS {
            assert_eq!(murmur2(key.as_bytes()), murmur, "{key}");
            assert_eq!(fnv1a(key.as_bytes()).cast_signed().unsigned_abs(), fnv, "{key}");
        }
        assert_eq!(crc32fast::hash(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn partitions_are_remainders() {
        assert_eq!(Partitioner::Murmur2.partition(b"kafka", 12), 0x5067_cf64 % 12);
        assert_eq!(Partitioner::Crc32.partition(b"123456789", 7), (3_421_780_262_u32 % 7).cast_signed());
        assert_eq!(Partitioner::Fnv1a.partition(b"kafka", 7), 0x0d33_c4e1 % 7);
        for partitioner in [Partitioner::Murmur2, Partitioner::Crc32, Partitioner::Fnv1a] {
            assert_eq!(partitioner.partition(b"x", 0), 0);
            assert_eq!(partitioner.partition(b"x", -1), 0);
            assert_eq!(Partitioner::parse(&partitioner.to_string()), Some(partitioner));
        }
    }
}
