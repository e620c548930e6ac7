//! Listening and accepting.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

/// Connections that wait to be accepted; the kernel may allow less (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;
/// When a silent connection is probed first: peers that vanished are noticed after some minutes.
const KEEPALIVE: Duration = Duration::from_mins(1);
/// Bytes that the kernel takes for a peer beyond what is on its way. More would be memory that a client which does not read
/// holds, and that no setting bounds.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 128 * 1024;
/// Pauses between attempts while the process or the system is out of sockets.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Raises the number of files that the process may have open to what the system allows it: each client is one, and the usual limit,
/// 1024, is there for programs that cannot deal with more. Where that fails the limit stays.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, most) {
        tracing::warn!(%error, limit = limit.current, "cannot raise the limit of open files");
    }
}

/// Listens on `address`. A restart need not wait for old connections to be forgotten (`SO_REUSEADDR`). Connections inherit
/// keep-alive probes and a bound on what the kernel buffers for them.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_notsent_lowat(UNSENT)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts connections for ever and gives each to `hand`, ready for another thread's runtime: not blocking, without
/// delay for small writes.
///
/// # Errors
/// If the listener cannot be registered with the runtime. What goes wrong later is logged and tried again.
pub async fn accept(listener: TcpListener, mut hand: impl FnMut(TcpStream, SocketAddr)) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut pause = FIRST_PAUSE;
    loop {
        let accepted = listener.accept().await.and_then(|(stream, peer)| Ok((prepare(stream)?, peer)));
        match accepted {
            Ok((stream, peer)) => {
                pause = FIRST_PAUSE;
                hand(stream, peer);
            }
            Err(error) if is_of_peer(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections; trying again");
                tokio::time::sleep(pause).await;
                pause = LONGEST_PAUSE.min(pause * 2);
            }
        }
    }
}

fn prepare(stream: tokio::net::TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    stream.into_std()
}

/// Whether one connection failed, which says nothing of the next.
fn is_of_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, Interrupted, InvalidInput, NotConnected, WouldBlock,
    };
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted | InvalidInput | NotConnected | WouldBlock
    )
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io::{Read, Write};
    use std::rc::Rc;

    use super::*;

    #[test]
    fn connections_are_handed_over() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let client = std::thread::spawn(move || {
            let mut client = TcpStream::connect(address).unwrap();
            let mut text = String::new();
            client.read_to_string(&mut text).unwrap();
            text
        });
        let handed = Rc::new(Cell::new(false));
        let (seen, done) = (handed.clone(), Rc::new(tokio::sync::Notify::new()));
        let notify = done.clone();
        runtime.block_on(async {
            let accepting = accept(listener, move |mut stream, peer| {
                assert!(stream.nodelay().unwrap());
                assert!(socket2::SockRef::from(&stream).keepalive().unwrap());
                #[cfg(target_os = "linux")]
                assert_eq!(socket2::SockRef::from(&stream).tcp_notsent_lowat().unwrap(), UNSENT);
                assert!(peer.ip().is_loopback());
                stream.write_all(b"hello").unwrap();
                seen.set(true);
                notify.notify_one();
            });
            tokio::select! {
                result = accepting => result.unwrap(),
                () = done.notified() => {}
            }
        });
        assert!(handed.get());
        assert_eq!(client.join().unwrap(), "hello");
    }

    #[test]
    fn an_address_in_use_is_an_error() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let again = bind(listener.local_addr().unwrap()).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
    }
}
