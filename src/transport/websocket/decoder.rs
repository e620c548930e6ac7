//! What clients send, taken apart (RFC 6455 §5, RFC 7692). Pure: bytes in, messages out.
//!
//! A [`Decoder`] copies payloads out of the caller's read buffer and unmasks them there, so that a connection between two
//! frames holds no buffer at all, and one read buffer serves every connection of a thread.

use super::frame::{FIN, MASKED, MAX_CONTROL, Message, Opcode, RSV1, RSV2_RSV3, Violation, close_code};
use super::inflate::inflate;

/// Longest header a client may send: two bytes, eight of length, four of mask.
const MAX_HEADER: usize = 14;

/// Takes a client's bytes apart, however they are cut.
#[derive(Debug)]
pub struct Decoder {
    /// The header of the current frame as far as it has come.
    header: [u8; MAX_HEADER],
    header_len: u8,
    /// The frame whose payload is being read.
    frame: Option<Frame>,
    /// What kind of message has begun and not ended.
    kind: Option<Kind>,
    /// Bytes at the end of `message` with which a character begins; those before are UTF-8, if it is to be text.
    cut: u8,
    /// Whether the client may compress.
    inflates: bool,
    /// Payload of the message so far; empty, without allocation, between messages.
    message: Vec<u8>,
    /// Payload of a control frame, which may come between the fragments of a message.
    control: Vec<u8>,
    limit: usize,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    fin: bool,
    opcode: Opcode,
    mask: [u8; 4],
    length: usize,
    /// Bytes of payload taken so far.
    taken: usize,
}

#[derive(Clone, Copy, Debug)]
struct Kind {
    text: bool,
    compressed: bool,
}

// === impl Decoder ===

impl Decoder {
    /// A decoder that refuses messages longer than `limit` bytes, all fragments together and decompressed. Compressed ones
    /// are refused unless `inflates`.
    pub fn new(limit: usize, inflates: bool) -> Self {
        Self {
            header: [0; MAX_HEADER],
            header_len: 0,
            frame: None,
            kind: None,
            cut: 0,
            inflates,
            message: Vec::new(),
            control: Vec::new(),
            limit,
        }
    }

    /// Takes bytes from the front of `input` up to the end of the next message and returns it; `None` when all of `input`
    /// is taken and the message goes on. After an error the connection is to be closed and nothing more decoded.
    pub fn decode(&mut self, input: &mut &[u8]) -> Result<Option<Message>, Violation> {
        loop {
            let Some(frame) = self.take_header(input)? else { return Ok(None) };
            self.take_payload(frame, input)?;
            match self.frame {
                Some(frame) if frame.taken == frame.length => {
                    self.frame = None;
                    if let Some(message) = self.finish(frame)? {
                        return Ok(Some(message));
                    }
                }
                _ => return Ok(None),
            }
        }
    }

    /// Whether the connection is one on which messages may be compressed.
    pub fn inflates(&self) -> bool {
        self.inflates
    }

    /// Whether a message or a frame has begun and not ended.
    pub fn is_within(&self) -> bool {
        self.header_len > 0 || self.frame.is_some() || self.kind.is_some()
    }

    /// Bytes held for a message that goes on.
    pub fn held(&self) -> usize {
        self.message.capacity() + self.control.capacity()
    }

    /// The frame under way, from its header if that is complete.
    fn take_header(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, Violation> {
        loop {
            if let Some(frame) = self.frame {
                return Ok(Some(frame));
            }
            let have = usize::from(self.header_len);
            let want = self.header_size(have);
            if have == want {
                let frame = self.parse_header()?;
                self.header_len = 0;
                self.frame = Some(frame);
                return Ok(Some(frame));
            }
            let count = input.len().min(want - have);
            let (Some(slot), Some((taken, rest))) =
                (self.header.get_mut(have..have + count), input.split_at_checked(count))
            else {
                return Ok(None);
            };
            if taken.is_empty() {
                return Ok(None);
            }
            slot.copy_from_slice(taken);
            self.header_len = u8::try_from(have + count).unwrap_or_default();
            *input = rest;
        }
    }

    /// How long the header will be, as far as the first `have` bytes of it tell.
    fn header_size(&self, have: usize) -> usize {
        let [_, second, ..] = self.header;
        let length = match second & !MASKED {
            _ if have < 2 => return 2,
            127 => 8,
            126 => 2,
            _ => 0,
        };
        2 + length + if second & MASKED == 0 { 0 } else { 4 }
    }

    /// Reads a complete header, and begins a message if it is the first of one.
    fn parse_header(&mut self) -> Result<Frame, Violation> {
        let [first, second, rest @ ..] = self.header;
        if second & MASKED == 0 {
            return Err(Violation::Protocol("frame not masked"));
        }
        let (length, rest) = payload_length(second & !MASKED, &rest)?;
        let mask = rest.first_chunk().copied().unwrap_or_default();
        let opcode = Opcode::parse(first & 0x0F)?;
        let fin = first & FIN != 0;
        let compressed = first & RSV1 != 0;
        let begins = matches!(opcode, Opcode::Text | Opcode::Binary);
        if first & RSV2_RSV3 != 0 || compressed && !(begins && self.inflates) {
            return Err(Violation::Protocol("reserved bits set"));
        }
        if opcode.is_control() {
            if !fin {
                return Err(Violation::Protocol("fragmented control frame"));
            }
            if length > MAX_CONTROL {
                return Err(Violation::Protocol("control frame longer than 125 bytes"));
            }
            return Ok(Frame { fin, opcode, mask, length, taken: 0 });
        }
        let kind = match (begins, self.kind) {
            (false, None) => return Err(Violation::Protocol("continuation of nothing")),
            (true, Some(_)) => return Err(Violation::Protocol("new message inside another")),
            (true, None) => Kind { text: opcode == Opcode::Text, compressed },
            (false, Some(kind)) => kind,
        };
        self.kind = Some(kind);
        // DEFLATE makes what it cannot compress a little longer.
        let spare = if kind.compressed { self.limit / 16 + 64 } else { 0 };
        if length > self.limit.saturating_add(spare).saturating_sub(self.message.len()) {
            return Err(Violation::TooBig(self.limit));
        }
        Ok(Frame { fin, opcode, mask, length, taken: 0 })
    }

    fn take_payload(&mut self, frame: Frame, input: &mut &[u8]) -> Result<(), Violation> {
        let is_control = frame.opcode.is_control();
        let into = if is_control { &mut self.control } else { &mut self.message };
        let count = input.len().min(frame.length - frame.taken);
        let Some((part, rest)) = input.split_at_checked(count) else { return Ok(()) };
        *input = rest;
        // Room for what has come, not for what is announced: a header alone must not make memory grow.
        if into.is_empty() {
            into.reserve_exact(part.len());
        }
        let start = into.len();
        into.extend_from_slice(part);
        if let Some(new) = into.get_mut(start..) {
            unmask(new, frame.mask, frame.taken);
        }
        self.frame = Some(Frame { taken: frame.taken + count, ..frame });
        if !is_control && self.kind.is_some_and(|kind| kind.text && !kind.compressed) {
            let from = start - usize::from(self.cut);
            self.cut = check_utf8(self.message.get(from..).unwrap_or_default())?;
        }
        Ok(())
    }

    /// The message that a complete frame completes.
    fn finish(&mut self, frame: Frame) -> Result<Option<Message>, Violation> {
        match frame.opcode {
            Opcode::Ping => Ok(Some(Message::Ping(std::mem::take(&mut self.control).into()))),
            Opcode::Pong => {
                self.control = Vec::new();
                Ok(Some(Message::Pong))
            }
            Opcode::Close => {
                close_code(&std::mem::take(&mut self.control)).map(|code| Some(Message::Close(code)))
            }
            Opcode::Text | Opcode::Binary | Opcode::Continuation if !frame.fin => Ok(None),
            Opcode::Text | Opcode::Binary | Opcode::Continuation => {
                let Some(kind) = self.kind.take() else { return Ok(None) };
                let mut payload = std::mem::take(&mut self.message);
                if kind.compressed {
                    payload = inflate(&payload, self.limit)?;
                    if kind.text {
                        self.cut = check_utf8(&payload)?;
                    }
                }
                if std::mem::take(&mut self.cut) > 0 {
                    return Err(Violation::NotUtf8);
                }
                let payload = payload.into();
                Ok(Some(if kind.text { Message::Text(payload) } else { Message::Binary(payload) }))
            }
        }
    }
}

/// The length of a payload, and what follows it in the header: the short form of seven bits stands for itself or for one of the two
/// longer ones. Lengths have one form, the shortest (RFC 6455 §5.2).
fn payload_length(short: u8, rest: &[u8]) -> Result<(usize, &[u8]), Violation> {
    let (length, least, rest) = match short {
        127 => rest.split_first_chunk().map(|(n, rest)| (u64::from_be_bytes(*n), 1 << 16, rest)),
        126 => rest.split_first_chunk().map(|(n, rest)| (u64::from(u16::from_be_bytes(*n)), 126, rest)),
        short => Some((u64::from(short), 0, rest)),
    }
    .unwrap_or_default();
    if length < least {
        return Err(Violation::Protocol("length not in its shortest form"));
    }
    if length > i64::MAX.unsigned_abs() {
        return Err(Violation::Protocol("length of 64 bits"));
    }
    // One that does not fit is beyond every limit.
    Ok((usize::try_from(length).unwrap_or(usize::MAX), rest))
}

/// Checks text that may go on; how many bytes at its end may be the beginning of a character.
fn check_utf8(text: &[u8]) -> Result<u8, Violation> {
    match std::str::from_utf8(text) {
        Ok(_) => Ok(0),
        Err(error) if error.error_len().is_some() => Err(Violation::NotUtf8),
        Err(error) => Ok(u8::try_from(text.len() - error.valid_up_to()).unwrap_or_default()),
    }
}

/// Unmasks (or masks) `data`, which begins `offset` bytes into the payload (RFC 6455 §5.3).
fn unmask(data: &mut [u8], mut mask: [u8; 4], offset: usize) {
    mask.rotate_left(offset % 4);
    let wide = u64::from(u32::from_ne_bytes(mask));
    let wide = wide << 32 | wide;
    let mut chunks = data.chunks_exact_mut(8);
    for chunk in &mut chunks {
        if let Ok(bytes) = <[u8; 8]>::try_from(&*chunk) {
            chunk.copy_from_slice(&(u64::from_ne_bytes(bytes) ^ wide).to_ne_bytes());
        }
    }
    for (byte, key) in chunks.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests;
