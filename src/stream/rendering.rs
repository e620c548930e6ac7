//! A record as clients receive it: made once, shared by every session.

use std::sync::OnceLock;

use bytes::{BufMut, Bytes, BytesMut};

use super::deflate::deflate;

/// FIN and the opcode of a text frame (RFC 6455 §5.2).
const TEXT: u8 = 0x81;
/// RSV1: the message is compressed (RFC 7692 §6).
const COMPRESSED: u8 = 0x40;

/// Frames below this size are not compressed: it saves less than it costs (docs/decisions/0014-shared-compression.md).
const WORTH_COMPRESSING: usize = 1024;

/// One delivery, `{"channel":…,"data":…}`, ready for every transport.
///
/// The bytes are a whole WebSocket text frame whose payload is an array of the one event; long-polling takes the event alone out of its middle.
#[derive(Clone, Debug)]
pub struct Rendering {
    frame: Bytes,
    header: u8,
    compressed: OnceLock<Option<Bytes>>,
}

impl Rendering {
    /// Frames `event`, one complete JSON object.
    pub fn of_event(event: &[u8]) -> Self {
        let payload = event.len() + 2;
        let mut out = BytesMut::with_capacity(payload + 10);
        put_header(&mut out, TEXT, payload);
        let header = u8::try_from(out.len()).unwrap_or_default();
        out.put_u8(b'[');
        out.put_slice(event);
        out.put_u8(b']');
        Self { frame: out.freeze(), header, compressed: OnceLock::new() }
    }

    /// The WebSocket frame, header included (servers do not mask, RFC 6455 §5.1).
    pub fn frame(&self) -> &Bytes {
        &self.frame
    }

    /// The frame for a WebSocket that takes compressed ones (RFC 7692, without context take-over): made by the first call, and the plain one
    /// if it is not shorter by that.
    pub fn compressed_frame(&self) -> &Bytes {
        if self.frame.len() < WORTH_COMPRESSING {
            return &self.frame;
        }
        let compress = || compressed_text_frame(self.frame.get(usize::from(self.header)..)?);
        self.compressed.get_or_init(compress).as_ref().unwrap_or(&self.frame)
    }

    /// The event alone, without the array around it.
    pub fn event(&self) -> Bytes {
        self.frame.slice(usize::from(self.header) + 1..self.frame.len() - 1)
    }

    /// The event in its array.
    pub fn array(&self) -> &[u8] {
        self.frame.get(usize::from(self.header)..).unwrap_or_default()
    }

    /// Bytes of the event.
    pub fn event_len(&self) -> usize {
        self.frame.len() - usize::from(self.header) - 2
    }
}

/// Frames `payload`, a complete JSON array, as one WebSocket text message.
pub fn text_frame(payload: &[u8]) -> Bytes {
    frame(TEXT, payload)
}

/// The same compressed (RFC 7692); `None` if that does not make it shorter.
pub fn compressed_text_frame(payload: &[u8]) -> Option<Bytes> {
    deflate(payload, |compressed| frame(TEXT | COMPRESSED, compressed))
}

fn frame(first: u8, payload: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(payload.len() + 10);
    put_header(&mut out, first, payload.len());
    out.put_slice(payload);
    out.freeze()
}

/// `array`, complete JSON, as a block of an event stream: a line of data and an empty one. A line's end that stands in the JSON
/// is white space there (strings escape it), and a space as good.
pub fn event_block(array: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(array.len() + 8);
    out.put_slice(b"data: ");
    let mut rest = array;
    while let Some(at) = memchr::memchr2(b'\n', b'\r', rest) {
        let (line, after) = rest.split_at(at);
        out.put_slice(line);
        out.put_u8(b' ');
        rest = after.get(1..).unwrap_or_default();
    }
    out.put_slice(rest);
    out.put_slice(b"\n\n");
    out.freeze()
}

/// The header of an unmasked frame (RFC 6455 §5.2).
fn put_header(out: &mut BytesMut, first: u8, payload: usize) {
    out.put_u8(first);
    if let Ok(short @ 0..=125) = u8::try_from(payload) {
        out.put_u8(short);
    } else if let Ok(medium) = u16::try_from(payload) {
        out.put_u8(126);
        out.put_u16(medium);
    } else {
        out.put_u8(127);
        out.put_u64(payload as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_event_is_found_behind_every_length_of_header() {
        for (length, header) in [(10, 2), (123, 2), (124, 4), (65_533, 4), (65_534, 10)] {
            let event = vec![b'x'; length];
            let rendering = Rendering::of_event(&event);
            assert_eq!(rendering.frame().len(), length + 2 + header);
            assert_eq!(rendering.event(), event);
            assert_eq!(rendering.event_len(), length);
            assert_eq!(rendering.array().len(), length + 2);
            assert_eq!(text_frame(&rendering.frame()[header..]), *rendering.frame());
        }
    }

    #[test]
    fn a_compressed_frame_is_made_once_and_only_where_it_helps() {
        let rendering = Rendering::of_event(&[b'x'; 2000]);
        let compressed = rendering.compressed_frame();
        assert!(compressed.len() < 100 && compressed[0] == 0xC1);
        assert_eq!(rendering.compressed_frame().as_ptr(), compressed.as_ptr());
        assert_eq!(*compressed, compressed_text_frame(&rendering.frame()[4..]).unwrap());
        let small = Rendering::of_event(&[b'x'; 1000]);
        assert_eq!(small.compressed_frame().as_ptr(), small.frame().as_ptr());
    }

    #[test]
    fn a_block_is_one_line() {
        assert_eq!(event_block(b"[{}]"), "data: [{}]\n\n");
        assert_eq!(event_block(b"[{\r\n \"a\":\r1\n}]"), "data: [{   \"a\": 1 }]\n\n");
    }
}
