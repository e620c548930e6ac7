//! HTTP/1.1 and WebSocket, as much as a client of known servers needs.

use std::borrow::Cow;

pub const TEXT: u8 = 1;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// A frame at the beginning of what was received.
pub struct Frame<'a> {
    pub opcode: u8,
    pub payload: &'a [u8],
    /// Header included.
    pub length: usize,
}

/// A response at the beginning of what was received.
pub struct Response<'a> {
    pub status: u16,
    pub body: Cow<'a, [u8]>,
    /// Head included.
    pub length: usize,
}

/// A whole frame; a server's has no mask, and one of ours has the mask zero.
pub fn frame(bytes: &[u8]) -> Option<Frame<'_>> {
    let &[first, second] = bytes.first_chunk()?;
    let (size, header) = match second & 0x7f {
        126 => (usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?)), 4),
        127 => (usize::try_from(u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)).ok()?, 10),
        short => (usize::from(short), 2),
    };
    let start: usize = header + if second & 0x80 == 0 { 0 } else { 4 };
    let length = start.checked_add(size)?;
    Some(Frame { opcode: first & 0x0f, payload: bytes.get(start..length)?, length })
}

/// Appends a client's frame. Its mask is zero, which costs nobody anything.
pub fn put_frame(opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(0x80 | opcode);
    put_length(payload.len(), 0x80, out);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

/// A server's text frame.
pub fn server_frame(payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0x80 | TEXT];
    put_length(payload.len(), 0, &mut out);
    out.extend_from_slice(payload);
    out
}

fn put_length(length: usize, mask: u8, out: &mut Vec<u8>) {
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if short < 126 => out.push(mask + short),
        (_, Ok(medium)) => {
            out.push(mask + 126);
            out.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            out.push(mask + 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

pub fn upgrade(host: &str, path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

pub fn post(host: &str, path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A whole response, if there is one.
pub fn response(bytes: &[u8]) -> Result<Option<Response<'_>>, String> {
    let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&bytes[..end]);
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or("what came is not HTTP")?;
    let header = |name: &str| {
        head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    let start = end + 4;
    let body = &bytes[start..];
    if header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        let whole = chunks(body);
        return Ok(whole.map(|(body, length)| Response {
            status,
            body: Cow::Owned(body),
            length: start + length,
        }));
    }
    let size = match header("content-length") {
        Some(size) => size.parse().map_err(|_| "a bad Content-Length")?,
        None => 0,
    };
    let body = body.get(..size);
    Ok(body.map(|body| Response { status, body: Cow::Borrowed(body), length: start + size }))
}

/// A chunked body and its length on the wire.
fn chunks(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let line = memchr::memmem::find(bytes.get(at..)?, b"\r\n")?;
        let size = std::str::from_utf8(&bytes[at..at + line]).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        at += line + 2;
        body.extend_from_slice(bytes.get(at..at + size)?);
        at += size + 2;
        if size == 0 {
            return (bytes.len() >= at).then_some((body, at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_every_length_are_read_back() {
        for size in [0, 1, 125, 126, 65_535, 65_536] {
            let payload = vec![b'x'; size];
            let mut masked = Vec::new();
            put_frame(TEXT, &payload, &mut masked);
            for bytes in [masked, server_frame(&payload)] {
                let whole = frame(&bytes).unwrap();
                assert_eq!((whole.opcode, whole.payload, whole.length), (TEXT, &*payload, bytes.len()));
                assert!(frame(&bytes[..bytes.len() - 1]).is_none());
            }
        }
    }

    #[test]
    fn responses_are_read_whole() {
        for (bytes, body) in [
            (&b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]"[..], &b"[]"[..]),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[1\r\n1\r\n]\r\n0\r\n\r\n", b"[1]"),
            (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", b""),
        ] {
            let whole = response(bytes).unwrap().unwrap();
            assert_eq!((&*whole.body, whole.length), (body, bytes.len()));
            assert!(response(&bytes[..bytes.len() - 1]).unwrap().is_none());
        }
    }
}
