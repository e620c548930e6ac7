//! A record as clients receive it: made once, shared by every session.

use bytes::{BufMut, Bytes, BytesMut};

/// One delivery, `{"channel":…,"data":…}`, ready for every transport.
///
/// The bytes are a whole WebSocket text frame whose payload is an array of the one event; long-polling takes the event alone out of its middle.
#[derive(Clone, Debug)]
pub struct Rendering {
    frame: Bytes,
    header: u8,
}

impl Rendering {
    /// Frames `event`, one complete JSON object.
    pub fn of_event(event: &[u8]) -> Self {
        let payload = event.len() + 2;
        let mut out = BytesMut::with_capacity(payload + 10);
        put_text_header(&mut out, payload);
        let header = u8::try_from(out.len()).unwrap_or_default();
        out.put_u8(b'[');
        out.put_slice(event);
        out.put_u8(b']');
        Self { frame: out.freeze(), header }
    }

    /// The WebSocket frame, header included (servers do not mask, RFC 6455 §5.1).
    pub fn frame(&self) -> &Bytes {
        &self.frame
    }

    /// The event alone, without the array around it.
    pub fn event(&self) -> Bytes {
        self.frame.slice(usize::from(self.header) + 1..self.frame.len() - 1)
    }

    /// Bytes of the event.
    pub fn event_len(&self) -> usize {
        self.frame.len() - usize::from(self.header) - 2
    }
}

/// Frames `payload`, a complete JSON array, as one WebSocket text message.
pub fn text_frame(payload: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(payload.len() + 10);
    put_text_header(&mut out, payload.len());
    out.put_slice(payload);
    out.freeze()
}

/// The header of an unmasked, unfragmented text frame (RFC 6455 §5.2).
fn put_text_header(out: &mut BytesMut, payload: usize) {
    const FIN_TEXT: u8 = 0x81;
    out.put_u8(FIN_TEXT);
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
            assert_eq!(text_frame(&rendering.frame()[header..]), *rendering.frame());
        }
    }
}
