//! A WebSocket client (RFC 6455) that can also break the rules.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use super::http::{Http, PATIENCE, Response, fill};

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;
/// Marks a compressed message.
const RSV1: u8 = 0x40;

/// One connection after its upgrade.
pub struct Ws {
    stream: TcpStream,
    received: Vec<u8>,
    /// How much of `received` has been handed out.
    taken: usize,
    /// The headers of the answer to the upgrade.
    answer: Response,
    /// The payload of the latest compressed message.
    inflated: Vec<u8>,
}

/// A frame as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub opcode: u8,
    /// As it was before it was compressed.
    pub payload: Vec<u8>,
    /// Whether it came compressed (RFC 7692).
    pub compressed: bool,
}

// === impl Frame ===

impl Frame {
    /// The code of a close frame.
    pub fn close_code(&self) -> Option<u16> {
        (self.opcode == CLOSE).then(|| self.payload.first_chunk().map(|code| u16::from_be_bytes(*code)))?
    }

    /// The reason of a close frame.
    pub fn close_reason(&self) -> String {
        String::from_utf8_lossy(self.payload.get(2..).unwrap_or_default()).into_owned()
    }
}

// === impl Ws ===

impl Ws {
    pub fn connect(addr: SocketAddr, path: &str) -> Self {
        Self::try_connect(addr, path, &[]).expect("the upgrade is accepted")
    }

    /// With more headers; a refused upgrade is an error that names the status.
    pub fn try_connect(addr: SocketAddr, path: &str, headers: &[(&str, &str)]) -> io::Result<Self> {
        let mut http = Http::try_connect(addr)?;
        let mut request = format!(
            "GET {path} HTTP/1.1\r\nHost: {addr}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        );
        for (name, value) in headers {
            let _ = write!(request, "{name}: {value}\r\n");
        }
        request.push_str("\r\n");
        http.send_raw(request.as_bytes())?;
        let response = http.response(Instant::now() + PATIENCE)?;
        if response.status != 101 {
            return Err(io::Error::other(format!("status {}", response.status)));
        }
        // The answer that RFC 6455 §1.3 gives for the key above.
        assert_eq!(response.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        let (stream, received) = http.into_parts();
        Ok(Self { stream, received, taken: 0, answer: response, inflated: Vec::new() })
    }

    /// A header of the answer to the upgrade.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.answer.header(name)
    }

    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    pub fn send_text(&mut self, text: &str) -> io::Result<()> {
        self.send_raw(&frame(TEXT, text.as_bytes(), true))
    }

    /// The next frame. At `until`, `TimedOut`: nothing is lost.
    pub fn receive(&mut self, until: Instant) -> io::Result<Frame> {
        loop {
            let first = self.received.get(self.taken).copied().unwrap_or_default();
            if let Some((opcode, payload)) = self.take() {
                return Ok(Frame { opcode, payload: payload.to_vec(), compressed: first & RSV1 != 0 });
            }
            self.fill(until)?;
        }
    }

    /// Waits until the other side closes the socket, and returns its close frame if there was one; `TimedOut` if it does not.
    pub fn closed(&mut self, until: Instant) -> io::Result<Option<Frame>> {
        let mut close = None;
        loop {
            match self.receive(until) {
                Ok(frame) if frame.opcode == CLOSE => close = Some(frame),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::TimedOut => return Err(error),
                Err(_) => return Ok(close),
            }
        }
    }

    /// Reads once from the socket.
    pub fn fill(&mut self, until: Instant) -> io::Result<()> {
        self.received.drain(..self.taken);
        self.taken = 0;
        fill(&mut self.stream, &mut self.received, until)
    }

    /// The next whole frame of what was received: opcode and payload. Servers do not mask and the gateway does not fragment.
    pub fn take(&mut self) -> Option<(u8, &[u8])> {
        let rest = &self.received[self.taken..];
        let (&[first, second], _) = rest.split_first_chunk()?;
        let allowed = if self.header("sec-websocket-extensions").is_some() { RSV1 } else { 0 };
        assert!(first & 0x70 & !allowed == 0, "no RSV bit without an extension");
        assert!(first & 0x80 != 0, "a frame is not fragmented");
        assert!(second & 0x80 == 0, "a server does not mask");
        let (length, header) = match second {
            126 => (usize::from(u16::from_be_bytes(*rest.get(2..)?.first_chunk()?)), 4),
            127 => {
                (usize::try_from(u64::from_be_bytes(*rest.get(2..)?.first_chunk()?)).expect("a length"), 10)
            }
            short => (usize::from(short), 2),
        };
        let start = self.taken + header;
        let end = start + length;
        let payload = self.received.get(start..end)?;
        self.taken = end;
        if first & RSV1 != 0 {
            self.inflated = inflate(payload);
            return Some((first & 0x0f, &self.inflated));
        }
        Some((first & 0x0f, payload))
    }
}

fn inflate(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let whole = payload.chain(&[0, 0, 0xff, 0xff][..]);
    // The stream has no end, only a flush: that is where reading stops.
    let mut decoder = flate2::read::DeflateDecoder::new(whole);
    let mut chunk = [0; 4096];
    while let Ok(count @ 1..) = decoder.read(&mut chunk) {
        out.extend_from_slice(&chunk[..count]);
    }
    out
}

/// A whole text message, compressed.
pub fn compressed(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() * 2 + 100);
    flate2::Compress::new(flate2::Compression::best(), false)
        .compress_vec(text.as_bytes(), &mut out, flate2::FlushCompress::Sync)
        .expect("it is compressed");
    out.truncate(out.len() - 4);
    let mut whole = frame(TEXT, &out, true);
    whole[0] |= RSV1;
    whole
}

/// A whole frame; clients must mask theirs.
pub fn frame(opcode: u8, payload: &[u8], masked: bool) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut out = vec![0x80 | opcode];
    let bit = if masked { 0x80 } else { 0 };
    match payload.len() {
        n @ 0..=125 => out.push(bit + u8::try_from(n).expect("short")),
        n @ 126..=65_535 => {
            out.push(bit + 126);
            out.extend_from_slice(&u16::try_from(n).expect("medium").to_be_bytes());
        }
        n => {
            out.push(bit + 127);
            out.extend_from_slice(&(n as u64).to_be_bytes());
        }
    }
    if masked {
        out.extend_from_slice(&MASK);
        out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    } else {
        out.extend_from_slice(payload);
    }
    out
}
