//! WebSocket frames (RFC 6455), as a server reads and writes them. Pure: bytes in, messages out.
//!
//! Text frames for the way out are made where the payload is (`stream::text_frame`); here are only control frames.
//!
//! A [`Decoder`] copies payloads out of the caller's read buffer and unmasks them there, so that a connection between two
//! frames holds no buffer at all, and one read buffer serves every connection of a thread.

use bytes::{BufMut, Bytes, BytesMut};

/// Longest header a client may send: two bytes, eight of length, four of mask.
const MAX_HEADER: usize = 14;
/// Longest payload of a control frame (RFC 6455 §5.5).
const MAX_CONTROL: usize = 125;
const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;

/// The connection ended as it should (RFC 6455 §7.4.1).
pub const NORMAL: u16 = 1000;
/// The server is going away.
pub const GOING_AWAY: u16 = 1001;
/// The peer broke the protocol.
pub const PROTOCOL_ERROR: u16 = 1002;
/// A text message that is not UTF-8, or content that cannot be understood.
pub const INVALID_PAYLOAD: u16 = 1007;
/// The server refuses to go on for a reason of its own.
pub const POLICY: u16 = 1008;
/// A message beyond the limit.
pub const TOO_BIG: u16 = 1009;

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Message {
    /// A whole text message, valid UTF-8.
    Text(Bytes),
    /// A whole binary message, its content thrown away: Bayeux has no use for it.
    Binary,
    /// A ping, to be answered by a pong of the same payload.
    Ping(Bytes),
    /// A pong.
    Pong,
    /// The close of the connection, with the code if one was given. Nothing may follow.
    Close(Option<u16>),
}

/// Why a connection must be closed. `Display` is the reason to tell the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The framing is wrong.
    #[error("{0}")]
    Protocol(&'static str),
    /// A text message or a close reason is not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// A message is longer than this many bytes.
    #[error("message longer than {0} bytes")]
    TooBig(usize),
}

/// Takes a client's bytes apart, however they are cut.
#[derive(Debug)]
pub struct Decoder {
    /// The header of the current frame as far as it has come.
    header: [u8; MAX_HEADER],
    header_len: u8,
    /// The frame whose payload is being read.
    frame: Option<Frame>,
    /// Whether an unfinished message is text (`Some(true)`) or binary.
    text: Option<bool>,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

// === impl Violation ===

impl Violation {
    /// The close code (RFC 6455 §7.4.1).
    pub fn code(self) -> u16 {
        match self {
            Self::Protocol(_) => PROTOCOL_ERROR,
            Self::NotUtf8 => INVALID_PAYLOAD,
            Self::TooBig(_) => TOO_BIG,
        }
    }
}

// === impl Decoder ===

impl Decoder {
    /// A decoder that refuses messages longer than `limit` bytes, all fragments together.
    pub fn new(limit: usize) -> Self {
        Self {
            header: [0; MAX_HEADER],
            header_len: 0,
            frame: None,
            text: None,
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
            self.take_payload(frame, input);
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

    /// Whether a message or a frame has begun and not ended.
    pub fn is_within(&self) -> bool {
        self.header_len > 0 || self.frame.is_some() || self.text.is_some()
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

    fn parse_header(&self) -> Result<Frame, Violation> {
        let [first, second, rest @ ..] = self.header;
        if first & RESERVED != 0 {
            return Err(Violation::Protocol("reserved bits set"));
        }
        if second & MASKED == 0 {
            return Err(Violation::Protocol("frame not masked"));
        }
        let (length, rest) = match second & !MASKED {
            127 => {
                rest.split_first_chunk().map_or((0, &rest[..]), |(n, rest)| (u64::from_be_bytes(*n), rest))
            }
            126 => rest
                .split_first_chunk()
                .map_or((0, &rest[..]), |(n, rest)| (u64::from(u16::from_be_bytes(*n)), rest)),
            short => (u64::from(short), &rest[..]),
        };
        let mask = rest.first_chunk().copied().unwrap_or_default();
        let opcode = Opcode::parse(first & 0x0F)?;
        let fin = first & FIN != 0;
        // A length that does not fit is beyond every limit.
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if opcode.is_control() {
            if !fin {
                return Err(Violation::Protocol("fragmented control frame"));
            }
            if length > MAX_CONTROL {
                return Err(Violation::Protocol("control frame longer than 125 bytes"));
            }
        } else {
            match (opcode == Opcode::Continuation, self.text.is_some()) {
                (true, false) => return Err(Violation::Protocol("continuation of nothing")),
                (false, true) => return Err(Violation::Protocol("new message inside another")),
                _ => {}
            }
            if length > self.limit.saturating_sub(self.message.len()) {
                return Err(Violation::TooBig(self.limit));
            }
        }
        Ok(Frame { fin, opcode, mask, length, taken: 0 })
    }

    fn take_payload(&mut self, frame: Frame, input: &mut &[u8]) {
        let into = if frame.opcode.is_control() { &mut self.control } else { &mut self.message };
        if !frame.opcode.is_control() && frame.opcode != Opcode::Continuation {
            self.text = Some(frame.opcode == Opcode::Text);
        }
        let count = input.len().min(frame.length - frame.taken);
        let Some((part, rest)) = input.split_at_checked(count) else { return };
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
                let payload = std::mem::take(&mut self.message);
                if self.text.take() == Some(false) {
                    return Ok(Some(Message::Binary));
                }
                let text = String::from_utf8(payload).map_err(|_| Violation::NotUtf8)?;
                Ok(Some(Message::Text(text.into())))
            }
        }
    }
}

// === impl Opcode ===

impl Opcode {
    fn parse(bits: u8) -> Result<Self, Violation> {
        Ok(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => return Err(Violation::Protocol("unknown opcode")),
        })
    }

    fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// The frame that answers a ping.
pub fn pong(payload: &[u8]) -> Bytes {
    control(0xA, payload)
}

/// A close frame. `None` is one without a code, the answer to such a one; a reason too long is cut.
pub fn close(code: Option<u16>, reason: &str) -> Bytes {
    let Some(code) = code else { return control(0x8, &[]) };
    let reason = reason.get(..reason.floor_char_boundary(MAX_CONTROL - 2)).unwrap_or_default();
    let mut payload = Vec::with_capacity(2 + reason.len());
    payload.put_u16(code);
    payload.put_slice(reason.as_bytes());
    control(0x8, &payload)
}

/// A control frame; what is beyond the longest payload is cut.
fn control(opcode: u8, payload: &[u8]) -> Bytes {
    let payload = payload.get(..MAX_CONTROL).unwrap_or(payload);
    let mut frame = BytesMut::with_capacity(2 + payload.len());
    frame.put_u8(FIN | opcode);
    frame.put_u8(u8::try_from(payload.len()).unwrap_or_default());
    frame.put_slice(payload);
    frame.freeze()
}

/// The code in the payload of a close frame (RFC 6455 §5.5.1, §7.4).
fn close_code(payload: &[u8]) -> Result<Option<u16>, Violation> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return if payload.is_empty() { Ok(None) } else { Err(Violation::Protocol("close code cut short")) };
    };
    let code = u16::from_be_bytes(*code);
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Violation::Protocol("close code not allowed"));
    }
    std::str::from_utf8(reason).map_err(|_| Violation::NotUtf8)?;
    Ok(Some(code))
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One frame as a client sends it.
    fn client_frame(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
        let mut out = vec![first];
        match payload.len() {
            short @ 0..=125 => out.push(MASKED | u8::try_from(short).unwrap()),
            medium @ 126..=0xFFFF => {
                out.push(MASKED | 0x7E);
                out.put_u16(u16::try_from(medium).unwrap());
            }
            long => {
                out.push(MASKED | 0x7F);
                out.put_u64(long as u64);
            }
        }
        out.extend_from_slice(&mask);
        out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        out
    }

    fn text(payload: &str) -> Vec<u8> {
        client_frame(0x81, payload.as_bytes(), [1, 2, 3, 4])
    }

    fn decode_all(decoder: &mut Decoder, mut input: &[u8]) -> Result<Vec<Message>, Violation> {
        let mut messages = Vec::new();
        while let Some(message) = decoder.decode(&mut input)? {
            messages.push(message);
        }
        assert!(input.is_empty(), "all is taken");
        Ok(messages)
    }

    fn decode(input: &[u8]) -> Result<Vec<Message>, Violation> {
        decode_all(&mut Decoder::new(1000), input)
    }

    fn violation(input: &[u8]) -> u16 {
        decode(input).unwrap_err().code()
    }

    #[test]
    fn texts_of_every_length_form() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 70_001] {
            let payload = "é".repeat(length / 2) + if length % 2 == 1 { "x" } else { "" };
            let messages = decode_all(&mut Decoder::new(100_000), &text(&payload)).unwrap();
            assert_eq!(messages, [Message::Text(payload.into())]);
        }
    }

    #[test]
    fn control_frames_come_between_fragments() {
        let mut input = client_frame(0x01, b"one ", [9; 4]);
        input.extend(client_frame(0x89, b"are you there", [7, 8, 9, 1]));
        input.extend(client_frame(0x00, b"two ", [0; 4]));
        input.extend(client_frame(0x8A, b"", [0; 4]));
        input.extend(client_frame(0x80, b"three", [1, 0, 255, 3]));
        input.extend(client_frame(0x82, &[0xFF, 0xFE], [1; 4]));
        input.extend(client_frame(0x88, b"", [0; 4]));
        let expected = [
            Message::Ping("are you there".into()),
            Message::Pong,
            Message::Text("one two three".into()),
            Message::Binary,
            Message::Close(None),
        ];
        assert_eq!(decode(&input).unwrap(), expected);
    }

    #[test]
    fn nothing_is_held_between_messages() {
        let mut decoder = Decoder::new(1000);
        decode_all(&mut decoder, &[text("hello"), client_frame(0x89, b"ping", [1; 4])].concat()).unwrap();
        assert_eq!(decoder.held(), 0);
    }

    #[test]
    fn a_header_alone_takes_no_memory() {
        let mut decoder = Decoder::new(usize::MAX);
        let header = [0x81, MASKED | 127, 0, 0, 0, 0, 0xFF, 0, 0, 0, 1, 2, 3, 4];
        assert_eq!(decode_all(&mut decoder, &header).unwrap(), []);
        assert_eq!(decoder.held(), 0);
    }

    #[test]
    fn wrong_framing_is_1002() {
        assert_eq!(violation(&[0x81, 0x02, b'[', b']']), 1002, "not masked");
        for reserved in [0xC1, 0xA1, 0x91] {
            assert_eq!(violation(&client_frame(reserved, b"x", [0; 4])), 1002);
        }
        for opcode in [3, 4, 7, 0xB, 0xF] {
            assert_eq!(violation(&client_frame(0x80 | opcode, b"x", [0; 4])), 1002);
        }
        assert_eq!(violation(&client_frame(0x09, b"x", [0; 4])), 1002, "fragmented ping");
        assert_eq!(violation(&client_frame(0x89, &[0; 126], [0; 4])), 1002, "long ping");
        assert_eq!(violation(&client_frame(0x80, b"x", [0; 4])), 1002, "continuation of nothing");
        let nested = [client_frame(0x01, b"x", [0; 4]), text("y")].concat();
        assert_eq!(violation(&nested), 1002);
    }

    #[test]
    fn a_text_must_be_utf_8() {
        assert_eq!(violation(&client_frame(0x81, &[0xC3, 0x28], [1, 2, 3, 4])), 1007);
        // A character may be cut by fragments.
        let cut = [client_frame(0x01, &[0xC3], [5; 4]), client_frame(0x80, &[0xA9], [6; 4])].concat();
        assert_eq!(decode(&cut).unwrap(), [Message::Text("é".into())]);
    }

    #[test]
    fn the_limit_counts_all_fragments() {
        let mut decoder = Decoder::new(10);
        assert_eq!(decode_all(&mut decoder, &text("0123456789")).unwrap().len(), 1);
        let parts = [client_frame(0x01, b"012345", [0; 4]), client_frame(0x80, b"67890", [0; 4])].concat();
        assert_eq!(decode_all(&mut decoder, &parts).unwrap_err(), Violation::TooBig(10));
        // Refused by its header, before the payload comes.
        assert_eq!(Decoder::new(10).decode(&mut &[0x82, 0x8B, 0, 0, 0, 0][..]), Err(Violation::TooBig(10)));
        let huge = [0x81, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0];
        assert_eq!(violation(&huge), 1009);
    }

    #[test]
    fn close_codes() {
        let closed = |code: u16, reason: &[u8]| {
            decode(&client_frame(0x88, &[&code.to_be_bytes()[..], reason].concat(), [3, 1, 4, 1]))
        };
        for code in [1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 4999] {
            assert_eq!(closed(code, b"bye").unwrap(), [Message::Close(Some(code))]);
        }
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535] {
            assert_eq!(closed(code, b"").unwrap_err().code(), 1002);
        }
        assert_eq!(closed(1000, &[0xFF]).unwrap_err(), Violation::NotUtf8);
        assert_eq!(violation(&client_frame(0x88, &[3], [0; 4])), 1002);
    }

    #[test]
    fn frames_on_the_way_out() {
        assert_eq!(pong(b"hi")[..], [0x8A, 2, b'h', b'i']);
        assert_eq!(close(None, "not sent")[..], [0x88, 0]);
        assert_eq!(close(Some(1001), "bye")[..], [0x88, 5, 3, 0xE9, b'b', b'y', b'e']);
        let long = close(Some(1002), &"é".repeat(100));
        assert_eq!(long[..4], [0x88, 2 + 122, 3, 0xEA]);
        assert!(std::str::from_utf8(&long[4..]).is_ok());
    }

    /// A message in fragments, with pings between them.
    fn messages() -> impl Strategy<Value = Vec<(Vec<String>, [u8; 4])>> {
        proptest::collection::vec((proptest::collection::vec(".{0,40}", 1..4), any::<[u8; 4]>()), 0..6)
    }

    proptest! {
        #[test]
        fn every_cut_decodes_the_same(messages in messages(), cuts in proptest::collection::vec(1_usize..40, 1..20)) {
            let mut input = Vec::new();
            let mut expected = Vec::new();
            for (fragments, mask) in &messages {
                for (at, fragment) in fragments.iter().enumerate() {
                    let fin = if at + 1 == fragments.len() { FIN } else { 0 };
                    let opcode = u8::from(at == 0);
                    if at > 0 {
                        input.extend(client_frame(0x89, fragment.as_bytes().get(..20).unwrap_or_default(), *mask));
                        expected.push(Message::Ping(Bytes::copy_from_slice(fragment.as_bytes().get(..20).unwrap_or_default())));
                    }
                    input.extend(client_frame(fin | opcode, fragment.as_bytes(), *mask));
                }
                expected.push(Message::Text(fragments.concat().into()));
            }
            let mut decoder = Decoder::new(10_000);
            let mut found = Vec::new();
            let mut rest = &input[..];
            for cut in cuts.iter().cycle() {
                let (part, tail) = rest.split_at(rest.len().min(*cut));
                found.extend(decode_all(&mut decoder, part).unwrap());
                rest = tail;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(found, expected);
            prop_assert_eq!(decoder.held(), 0);
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(input in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut decoder = Decoder::new(100);
            let mut rest = &input[..];
            while let Ok(Some(_)) = decoder.decode(&mut rest) {}
            prop_assert!(decoder.held() <= 512);
        }
    }
}
