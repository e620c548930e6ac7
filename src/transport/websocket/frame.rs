//! WebSocket frames (RFC 6455): what a client may send, and the control frames of the way out. Pure.
//!
//! Text frames for the way out are made where the payload is (`stream::text_frame`).

use bytes::{BufMut, Bytes, BytesMut};

/// Longest payload of a control frame (RFC 6455 §5.5).
pub(super) const MAX_CONTROL: usize = 125;
pub(super) const FIN: u8 = 0x80;
/// Set on the first frame of a compressed message (RFC 7692 §6).
pub(super) const RSV1: u8 = 0x40;
/// Reserved for extensions that do not exist here.
pub(super) const RSV2_RSV3: u8 = 0x30;
pub(super) const MASKED: u8 = 0x80;

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
    /// A whole binary message.
    Binary(Bytes),
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
    /// A compressed message cannot be decompressed.
    #[error("not DEFLATE")]
    NotDeflate,
    /// A message is longer than this many bytes, compressed ones when decompressed.
    #[error("message longer than {0} bytes")]
    TooBig(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
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
            Self::NotUtf8 | Self::NotDeflate => INVALID_PAYLOAD,
            Self::TooBig(_) => TOO_BIG,
        }
    }
}

// === impl Opcode ===

impl Opcode {
    pub(super) fn parse(bits: u8) -> Result<Self, Violation> {
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

    pub(super) fn is_control(self) -> bool {
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
pub(super) fn close_code(payload: &[u8]) -> Result<Option<u16>, Violation> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_on_the_way_out() {
        assert_eq!(pong(b"hi")[..], [0x8A, 2, b'h', b'i']);
        assert_eq!(close(None, "not sent")[..], [0x88, 0]);
        assert_eq!(close(Some(1001), "bye")[..], [0x88, 5, 3, 0xE9, b'b', b'y', b'e']);
        let long = close(Some(1002), &"é".repeat(100));
        assert_eq!(long[..4], [0x88, 2 + 122, 3, 0xEA]);
        assert!(std::str::from_utf8(&long[4..]).is_ok());
    }
}
