//! HTTP/1.1 over a plain socket: keep-alive, and as badly behaved as a test wants.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long a test waits for an answer when it does not say.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// One connection.
pub struct Http {
    stream: TcpStream,
    addr: SocketAddr,
    received: Vec<u8>,
}

#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

// === impl Response ===

impl Response {
    /// A header's first value; names in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body in UTF-8")
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("{error} in status {} {}", self.status, String::from_utf8_lossy(&self.body))
        })
    }
}

// === impl Http ===

impl Http {
    pub fn connect(addr: SocketAddr) -> Self {
        Self::try_connect(addr).expect("the gateway accepts a connection")
    }

    pub fn try_connect(addr: SocketAddr) -> io::Result<Self> {
        Self::over(TcpStream::connect(addr)?)
    }

    /// Over a connection that is there.
    pub fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { addr: stream.peer_addr()?, stream, received: Vec::new() })
    }

    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Gives up HTTP: the socket, and what was received after the last response.
    pub fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.received)
    }

    /// Bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    pub fn get(&mut self, path: &str) -> io::Result<Response> {
        self.ask("GET", path, &[])
    }

    /// A request without a body, and its response.
    pub fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> io::Result<Response> {
        self.send(method, path, headers)?;
        self.response(Instant::now() + PATIENCE)
    }

    /// Sends a request without a body, without waiting for the answer.
    pub fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> io::Result<()> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.addr);
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        self.send_raw(head.as_bytes())
    }

    pub fn post(&mut self, path: &str, body: &[u8]) -> io::Result<Response> {
        self.send_post(path, &[], body)?;
        self.response(Instant::now() + PATIENCE)
    }

    pub fn post_with(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Response> {
        self.send_post(path, headers, body)?;
        self.response(Instant::now() + PATIENCE)
    }

    /// Sends a POST of JSON in one piece, without waiting for the answer.
    pub fn send_post(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<()> {
        let mut request = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
            self.addr,
            body.len()
        );
        for (name, value) in headers {
            let _ = write!(request, "{name}: {value}\r\n");
        }
        request.push_str("\r\n");
        let mut bytes = request.into_bytes();
        bytes.extend_from_slice(body);
        self.send_raw(&bytes)
    }

    /// The next response. At `until`, `TimedOut`: nothing is lost, it can be asked for again.
    pub fn response(&mut self, until: Instant) -> io::Result<Response> {
        loop {
            if let Some(response) = self.take_response() {
                return Ok(response);
            }
            fill(&mut self.stream, &mut self.received, until)?;
        }
    }

    /// The head of a response whose body has no end; the body is read by [`block`](Self::block).
    pub fn head(&mut self, until: Instant) -> io::Result<Response> {
        loop {
            if let Some(end) = find(&self.received, b"\r\n\r\n") {
                let head: Vec<u8> = self.received.drain(..end + 4).collect();
                let (status, headers) = parse_head(&head);
                return Ok(Response { status, headers, body: Vec::new() });
            }
            fill(&mut self.stream, &mut self.received, until)?;
        }
    }

    /// The next block of an event stream, without the empty line at its end.
    pub fn block(&mut self, until: Instant) -> io::Result<String> {
        loop {
            if let Some(end) = find(&self.received, b"\n\n") {
                let block: Vec<u8> = self.received.drain(..end + 2).collect();
                return Ok(String::from_utf8(block).expect("a block in UTF-8").trim_end().to_owned());
            }
            fill(&mut self.stream, &mut self.received, until)?;
        }
    }

    /// A whole response out of what was received.
    fn take_response(&mut self) -> Option<Response> {
        let head_end = find(&self.received, b"\r\n\r\n")? + 4;
        let (status, headers) = parse_head(&self.received[..head_end]);
        let header =
            |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        let (body, end) = if matches!(status, 100..=199 | 204 | 304) {
            (Vec::new(), head_end)
        } else if header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            dechunk(&self.received, head_end)?
        } else {
            let length: usize = header("content-length").map_or(0, |n| n.parse().expect("a length"));
            let end = head_end + length;
            (self.received.get(head_end..end)?.to_vec(), end)
        };
        let response = Response { status, headers, body };
        self.received.drain(..end);
        Some(response)
    }

    /// Waits until the other side closes or resets; `false` if it does not until then. What still comes is thrown away.
    pub fn closed(&mut self, until: Instant) -> bool {
        loop {
            match fill(&mut self.stream, &mut self.received, until) {
                Ok(()) => {}
                Err(error) => return error.kind() != ErrorKind::TimedOut,
            }
        }
    }
}

/// Reads once, waiting at most until `until`; the end of the stream is `UnexpectedEof`, the end of the wait `TimedOut`.
pub fn fill(stream: &mut TcpStream, received: &mut Vec<u8>, until: Instant) -> io::Result<()> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(ErrorKind::TimedOut.into());
    }
    stream.set_read_timeout(Some(left))?;
    let mut buffer = [0; 16_384];
    match stream.read(&mut buffer) {
        Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
        Ok(n) => {
            received.extend_from_slice(&buffer[..n]);
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(ErrorKind::TimedOut.into()),
        Err(error) => Err(error),
    }
}

/// Status and headers, their names in lower case.
fn parse_head(head: &[u8]) -> (u16, Vec<(String, String)>) {
    let head = std::str::from_utf8(head).expect("a head in ASCII");
    let mut lines = head.split("\r\n");
    let status_line = lines.next().expect("a status line");
    let status: u16 = status_line
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok())
        .unwrap_or_else(|| panic!("not a status line: {status_line}"));
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
    (status, headers.collect())
}

/// Text as it stands in a query string.
pub fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut all, byte| {
        let _ = if byte.is_ascii_alphanumeric() {
            write!(all, "{}", char::from(byte))
        } else {
            write!(all, "%{byte:02X}")
        };
        all
    })
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, wanted)
}

/// A chunked body beginning at `from`, and where it ends; `None` while it is not all there.
fn dechunk(bytes: &[u8], from: usize) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut at) = (Vec::new(), from);
    loop {
        let line_end = at + find(&bytes[at..], b"\r\n")?;
        let line = std::str::from_utf8(&bytes[at..line_end]).expect("a chunk size");
        let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16)
            .expect("a chunk size");
        let data = line_end + 2;
        let next = data + size + 2;
        body.extend_from_slice(bytes.get(data..next)?.get(..size)?);
        if size == 0 {
            return Some((body, next));
        }
        at = next;
    }
}
