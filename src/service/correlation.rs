//! Correlation ids: they tell the node that asked, and nobody can guess them.

use std::fmt::Write as _;

/// Random bytes of an id: 160 bits, as in a clientId.
pub const ENTROPY: usize = 20;
/// Bytes that tell the ids of this process from those of others.
pub const TAG: usize = 8;

/// Names a request. As a header it is hexadecimal, behind the node's tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Correlation([u8; ENTROPY]);

// === impl Correlation ===

impl Correlation {
    /// Of random bytes.
    pub fn new(random: [u8; ENTROPY]) -> Self {
        Self(random)
    }

    /// The header's value.
    pub fn header(self, tag: [u8; TAG]) -> String {
        let mut text = String::with_capacity(2 * (TAG + ENTROPY) + 1);
        put_hex(&mut text, &tag);
        text.push('-');
        put_hex(&mut text, &self.0);
        text
    }

    /// From a header's value; `None` if it is not of the node with this tag.
    pub(super) fn of_header(tag: [u8; TAG], value: &[u8]) -> Option<Self> {
        let (theirs, id) = value.split_at_checked(2 * TAG)?;
        let id = id.strip_prefix(b"-")?;
        (hex::<TAG>(theirs)? == tag).then_some(())?;
        hex(id).map(Self)
    }
}

fn put_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
}

fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, digits) in bytes.iter_mut().zip(text.as_chunks::<2>().0) {
        let [high, low] = digits.map(digit);
        *byte = high? << 4 | low?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_back_by_its_own_node_only() {
        let id = Correlation::new([0xa5; ENTROPY]);
        let (ours, theirs) = ([1; TAG], [2; TAG]);
        let header = id.header(ours);
        assert_eq!(header.len(), 57);
        assert_eq!(Correlation::of_header(ours, header.as_bytes()), Some(id));
        assert_eq!(Correlation::of_header(theirs, header.as_bytes()), None);
        for other in ["", "7", &header[1..], &header.to_uppercase(), &format!("{header}0"), &"-".repeat(57)] {
            assert_eq!(Correlation::of_header(ours, other.as_bytes()), None, "{other}");
        }
    }
}
