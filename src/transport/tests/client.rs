//! Clients that say exactly what a test wants.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection to the server, raw.
pub(super) struct Wire {
    pub(super) stream: TcpStream,
    buffer: Vec<u8>,
}

/// A response.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// Lines of the head, names in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Wire {
    pub(super) async fn open(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), buffer: Vec::new() }
    }

    /// Opens a WebSocket.
    pub(super) async fn websocket(address: SocketAddr) -> Self {
        Self::upgraded(address, UPGRADE).await.0
    }

    /// Opens a WebSocket with an offer to compress; what is said to that.
    pub(super) async fn compressed(address: SocketAddr) -> (Self, Option<String>) {
        let offer = "sec-websocket-extensions: permessage-deflate; client_max_window_bits\r\n\r\n";
        let (wire, answer) =
            Self::upgraded(address, &UPGRADE.replace("\r\n\r\n", &format!("\r\n{offer}"))).await;
        (wire, answer.header("sec-websocket-extensions").map(str::to_owned))
    }

    async fn upgraded(address: SocketAddr, request: &str) -> (Self, Reply) {
        let mut wire = Self::open(address).await;
        wire.say(request).await;
        let answer = wire.head().await;
        assert_eq!(answer.status, 101);
        (wire, answer)
    }

    pub(super) async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Reads until `count` bytes are there; less if the server closed.
    async fn fill(&mut self, count: usize) -> bool {
        while self.buffer.len() < count {
            if self.stream.read_buf(&mut self.buffer).await.unwrap_or(0) == 0 {
                return false;
            }
        }
        true
    }

    async fn take(&mut self, count: usize) -> Vec<u8> {
        assert!(self.fill(count).await, "the server closed after {:?}", self.buffer);
        self.buffer.drain(..count).collect()
    }

    pub(super) async fn head(&mut self) -> Reply {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(self.fill(self.buffer.len() + 1).await, "closed after {:?}", self.buffer);
        };
        let head = String::from_utf8(self.take(end).await).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        Reply { status, headers, body: String::new() }
    }

    /// A whole response; its length must be given.
    pub(super) async fn reply(&mut self) -> Reply {
        let mut reply = self.head().await;
        reply.body = self.reply_body(&reply).await;
        reply
    }

    /// The body behind a head.
    pub(super) async fn reply_body(&mut self, head: &Reply) -> String {
        let length = head.header("content-length").map_or(0, |length| length.parse().unwrap());
        String::from_utf8(self.take(length).await).unwrap()
    }

    /// The next block of an event stream, without its end.
    pub(super) async fn block(&mut self) -> String {
        let end = loop {
            if let Some(at) = self.buffer.windows(2).position(|window| window == b"\n\n") {
                break at;
            }
            assert!(self.fill(self.buffer.len() + 1).await, "closed after {:?}", self.buffer);
        };
        let block = String::from_utf8(self.take(end + 2).await).unwrap();
        block.trim_end().to_owned()
    }

    pub(super) async fn request(&mut self, head: &str, body: &str) -> Reply {
        self.send(head, body).await;
        self.reply().await
    }

    pub(super) async fn send(&mut self, head: &str, body: &str) {
        let request =
            format!("{head} HTTP/1.1\r\nhost: gateway\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        self.say(request).await;
    }

    pub(super) async fn post(&mut self, body: &str) -> Reply {
        self.request("POST /cometd/", body).await
    }

    /// Whether the server has closed, after everything that it may still say.
    pub(super) async fn ended(&mut self) -> bool {
        !self.fill(self.buffer.len() + 1).await
    }

    /// Sends a frame.
    pub(super) async fn frame(&mut self, first: u8, payload: &[u8]) {
        self.say(frame(first, payload)).await;
    }

    pub(super) async fn text(&mut self, text: &str) {
        self.frame(0x81, text.as_bytes()).await;
    }

    /// The next frame: its first byte and its payload.
    pub(super) async fn next(&mut self) -> (u8, Vec<u8>) {
        let [first, length] = self.take(2).await[..] else { unreachable!() };
        let length = match length {
            126 => u16::from_be_bytes(self.take(2).await.try_into().unwrap()).into(),
            127 => usize::try_from(u64::from_be_bytes(self.take(8).await.try_into().unwrap())).unwrap(),
            short => short.into(),
        };
        (first, self.take(length).await)
    }

    pub(super) async fn next_text(&mut self) -> String {
        let (first, payload) = self.next().await;
        assert_eq!(first, 0x81);
        String::from_utf8(payload).unwrap()
    }

    /// The code of the close frame that comes next.
    pub(super) async fn next_close(&mut self) -> u16 {
        let (first, payload) = self.next().await;
        assert_eq!(first, 0x88, "{}", String::from_utf8_lossy(&payload));
        u16::from_be_bytes([payload[0], payload[1]])
    }
}

pub(super) const UPGRADE: &str = "GET /cometd/45.0 HTTP/1.1\r\nhost: gateway\r\nconnection: Upgrade\r\n\
    upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A client's frame.
pub(super) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match u16::try_from(payload.len()) {
        Ok(short @ 0..126) => out.push(0x80 | u8::try_from(short).unwrap()),
        Ok(medium) => {
            out.push(0xFE);
            out.extend(medium.to_be_bytes());
        }
        Err(_) => {
            out.push(0xFF);
            out.extend((payload.len() as u64).to_be_bytes());
        }
    }
    let mask = [7, 11, 13, 17];
    out.extend(mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

pub(super) const HANDSHAKE: &str = r#"[{"channel":"/meta/handshake","id":"1","version":"1.0","supportedConnectionTypes":["websocket","long-polling"]}]"#;

/// The clientId in a handshake's reply.
pub(super) fn client_id(reply: &str) -> String {
    let reply: serde_json::Value = serde_json::from_str(reply).unwrap();
    reply[0]["clientId"].as_str().unwrap().to_owned()
}

pub(super) fn connect(client: &str) -> String {
    format!(
        r#"[{{"channel":"/meta/connect","clientId":"{client}","connectionType":"long-polling","id":"c"}}]"#
    )
}

pub(super) fn subscribe(client: &str, channel: &str) -> String {
    format!(r#"[{{"channel":"/meta/subscribe","clientId":"{client}","subscription":"{channel}","id":"s"}}]"#)
}
