//! Decompression of what clients send (`permessage-deflate`, RFC 7692 §7.2.2).
//!
//! Without context take-over nothing is kept from one message to the next. So one decompressor serves every connection of a
//! thread, and a connection that may compress holds no more memory than another one.

use std::cell::RefCell;

use flate2::{Decompress, FlushDecompress, Status};

use super::frame::Violation;

/// Bytes that are decompressed at a time.
const CHUNK: usize = 16 * 1024;
/// The end of a flush, which messages go without (RFC 7692 §7.2.1).
const TAIL: &[u8] = &[0, 0, 0xFF, 0xFF];

thread_local! {
    static INFLATER: RefCell<Option<Box<Inflater>>> = const { RefCell::new(None) };
}

struct Inflater {
    stream: Decompress,
    chunk: Box<[u8]>,
}

/// Decompresses the content of one message. It is given up as soon as it becomes longer than `limit`.
pub(super) fn inflate(compressed: &[u8], limit: usize) -> Result<Vec<u8>, Violation> {
    INFLATER.with_borrow_mut(|inflater| inflater.get_or_insert_with(Box::default).inflate(compressed, limit))
}

// === impl Inflater ===

impl Inflater {
    fn inflate(&mut self, compressed: &[u8], limit: usize) -> Result<Vec<u8>, Violation> {
        self.stream.reset(false);
        let mut out = Vec::new();
        self.take(compressed, limit, &mut out)?;
        self.take(TAIL, limit, &mut out)?;
        Ok(out)
    }

    fn take(&mut self, mut input: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), Violation> {
        loop {
            let (taken, made) = (self.stream.total_in(), self.stream.total_out());
            let status = self
                .stream
                .decompress(input, &mut self.chunk, FlushDecompress::None)
                .map_err(|_| Violation::NotDeflate)?;
            // Both are parts of a slice, and so is what they count.
            let taken = usize::try_from(self.stream.total_in() - taken).unwrap_or_default();
            let made = usize::try_from(self.stream.total_out() - made).unwrap_or_default();
            input = input.get(taken..).unwrap_or_default();
            if made > limit - out.len() {
                return Err(Violation::TooBig(limit));
            }
            out.extend_from_slice(self.chunk.get(..made).unwrap_or_default());
            if status == Status::StreamEnd {
                // A final block is not the end of the message: others may follow (RFC 7692 §7.2.1).
                self.stream.reset(false);
            }
            if input.is_empty() && made < CHUNK {
                return Ok(());
            }
            if taken == 0 && made == 0 {
                return Err(Violation::NotDeflate);
            }
        }
    }
}

impl Default for Inflater {
    fn default() -> Self {
        Self { stream: Decompress::new(false), chunk: vec![0; CHUNK].into() }
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress};

    use super::*;

    fn compress(payload: &[u8], flush: FlushCompress) -> Vec<u8> {
        let mut out = Vec::with_capacity(payload.len() * 2 + 100);
        Compress::new(Compression::best(), false).compress_vec(payload, &mut out, flush).unwrap();
        match flush {
            FlushCompress::Sync => out.strip_suffix(TAIL).unwrap().to_vec(),
            _ => out,
        }
    }

    #[test]
    fn the_examples_of_the_rfc() {
        // RFC 7692 §7.2.3: one block, no compression, a final block, two blocks.
        for compressed in [
            &[0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00][..],
            &[0x00, 0x05, 0x00, 0xFA, 0xFF, 0x48, 0x65, 0x6C, 0x6C, 0x6F, 0x00],
            &[0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00],
            &[0xF2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xCA, 0xC9, 0xC9, 0x07, 0x00],
        ] {
            assert_eq!(inflate(compressed, 5).unwrap(), b"Hello", "{compressed:x?}");
            assert_eq!(inflate(compressed, 4).unwrap_err(), Violation::TooBig(4));
        }
        assert_eq!(inflate(&[0x00], 5).unwrap(), b"", "an empty message");
        assert_eq!(inflate(&[], 5).unwrap(), b"");
    }

    #[test]
    fn blocks_may_follow_a_final_one() {
        let parts = [&b"one "[..], &b"two ".repeat(10_000), b"three"];
        let compressed = parts.map(|part| compress(part, FlushCompress::Finish)).concat();
        let compressed = [&compressed[..], &compress(b"!", FlushCompress::Sync)].concat();
        assert_eq!(inflate(&compressed, 100_000).unwrap(), [&parts.concat()[..], b"!"].concat());
    }

    #[test]
    fn a_bomb_is_given_up_at_the_limit() {
        let bomb = compress(&vec![b' '; 50 << 20], FlushCompress::Sync);
        assert!(bomb.len() < 60_000);
        assert_eq!(inflate(&bomb, 1 << 20).unwrap_err(), Violation::TooBig(1 << 20));
        for length in [CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
            let payload = vec![b'x'; length];
            let compressed = compress(&payload, FlushCompress::Sync);
            assert_eq!(inflate(&compressed, length).unwrap(), payload);
            assert_eq!(inflate(&compressed, length - 1).unwrap_err(), Violation::TooBig(length - 1));
        }
    }

    #[test]
    fn what_is_not_deflate_is_refused() {
        // A block type that does not exist, a distance beyond the beginning, a stored length that contradicts itself.
        for compressed in [&[0x07][..], &[0x02, 0x03, 0x02, 0x00], &[0x00, 0x05, 0x00, 0x00, 0x00]] {
            assert_eq!(inflate(compressed, 100).unwrap_err(), Violation::NotDeflate, "{compressed:x?}");
        }
        assert_eq!(
            inflate(&[0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00], 5).unwrap(),
            b"Hello",
            "nothing is left of them"
        );
    }
}
