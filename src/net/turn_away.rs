//! What a client is told for whom there is no room.

use std::net::TcpStream;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

const RESPONSE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 47\r\n\
                          Retry-After: 1\r\nConnection: close\r\n\r\ntoo many connections are open (limits.sockets)\n";
/// How long the client may take to read it.
const PATIENCE: Duration = Duration::from_secs(1);

/// Answers whatever the client is going to ask with 503, and closes. Ends within a second.
pub async fn turn_away(stream: TcpStream) {
    let told = async {
        let mut stream = tokio::net::TcpStream::from_std(stream)?;
        stream.write_all(RESPONSE).await?;
        stream.shutdown().await?;
        // A socket closed with unread input is reset, and the response lost.
        let mut rest = [0; 512];
        while stream.read(&mut rest).await? > 0 {}
        Ok(())
    };
    // Whether it works or not, the connection ends.
    let _: Result<std::io::Result<()>, _> = tokio::time::timeout(PATIENCE, told).await;
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn the_answer_is_a_whole_response_and_arrives() {
        let (head, body) = std::str::from_utf8(RESPONSE).unwrap().split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        let (stream, _) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let reading = std::thread::spawn(move || {
            let mut text = Vec::new();
            client.read_to_end(&mut text).unwrap();
            text
        });
        runtime.block_on(turn_away(stream));
        assert_eq!(reading.join().unwrap(), RESPONSE);
    }
}
