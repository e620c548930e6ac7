//! Compression for what many receive (`permessage-deflate`, RFC 7692).
//!
//! Without context take-over a compressed frame depends on nothing but its payload, so it is made once and shared like a plain
//! one. One compressor serves every frame of a thread: it takes 300 KB, far too much for each connection.

use std::cell::RefCell;

use flate2::{Compress, Compression, FlushCompress, Status};

/// Hardly more bytes than with 9, for a fraction of its time (docs/decisions/0014-shared-compression.md).
const LEVEL: u32 = 2;
/// Room that stays with a thread for what it compresses.
const KEPT: usize = 64 * 1024;
/// The end of a flush, which a message goes without (RFC 7692 §7.2.1).
const TAIL: &[u8] = &[0, 0, 0xFF, 0xFF];

thread_local! {
    static DEFLATER: RefCell<Option<Box<Deflater>>> = const { RefCell::new(None) };
}

struct Deflater {
    stream: Compress,
    out: Vec<u8>,
}

/// Compresses `payload` as the content of one message and hands it to `take`; `None` if it would not be shorter.
pub(super) fn deflate<T>(payload: &[u8], take: impl FnOnce(&[u8]) -> T) -> Option<T> {
    DEFLATER.with_borrow_mut(|deflater| deflater.get_or_insert_with(Box::default).deflate(payload).map(take))
}

// === impl Deflater ===

impl Deflater {
    fn deflate(&mut self, payload: &[u8]) -> Option<&[u8]> {
        self.stream.reset();
        self.out.clear();
        self.out.shrink_to(KEPT);
        // Room for whatever comes out: zlib-rs 0.6.8 goes wrong or panics where it must stop halfway.
        self.out.reserve(payload.len() + payload.len() / 8 + 64);
        let status = self.stream.compress_vec(payload, &mut self.out, FlushCompress::Sync).ok()?;
        let whole = status == Status::Ok && self.out.len() < payload.len();
        self.out.strip_suffix(TAIL).filter(|_| whole)
    }
}

impl Default for Deflater {
    fn default() -> Self {
        Self { stream: Compress::new(Compression::new(LEVEL), false), out: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Decompress, FlushDecompress};

    use super::*;

    fn inflate(compressed: &[u8], length: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(length + 1);
        Decompress::new(false)
            .decompress_vec(&[compressed, TAIL].concat(), &mut out, FlushDecompress::Sync)
            .unwrap();
        out
    }

    #[test]
    fn what_is_compressed_is_found_again_and_depends_on_nothing_before() {
        let payloads =
            [b"ab".repeat(40), b"{\"a\":1},".repeat(20_000), (0..=255).cycle().take(4000).collect()];
        let compress = |payload: &[u8]| deflate(payload, <[u8]>::to_vec).unwrap();
        for payload in &payloads {
            let compressed = compress(payload);
            assert!(compressed.len() < payload.len());
            assert_eq!(inflate(&compressed, payload.len()), *payload);
        }
        let again = payloads.each_ref().map(|payload| compress(payload));
        assert_eq!(again, payloads.each_ref().map(|payload| compress(payload)));
    }

    #[test]
    fn what_would_not_be_shorter_is_left_alone() {
        let mut noise = 1_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (noise >> 24) as u8
        })
        .take(100_000)
        .collect();
        for payload in [&b""[..], b"x", b"abcdefg", &noise[..1000], &noise] {
            assert_eq!(deflate(payload, <[u8]>::to_vec), None);
        }
    }
}
