//! A load balancer in little: one address in front of gateways that come and go.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::kafka::free_port;

/// Passes connections on. Dropped, it takes no more of them.
pub struct Front {
    addr: SocketAddr,
    state: watch::Sender<State>,
}

#[derive(Clone, Copy)]
struct State {
    /// Where new connections go; without one they are refused, as those of a host where nothing listens.
    gateway: Option<SocketAddr>,
    /// Whether what clients send stays here.
    held: bool,
}

// === impl Front ===

impl Front {
    /// An address in front of `gateway`.
    pub fn of(gateway: SocketAddr) -> Self {
        let addr = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let (state, watched) = watch::channel(State { gateway: Some(gateway), held: false });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind(addr)).expect("a free port");
        std::thread::spawn(move || runtime.block_on(serve(listener, watched)));
        Self { addr, state }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn url(&self) -> String {
        format!("http://{}/cometd", self.addr)
    }

    /// New connections are refused. Those that are open end when their gateway ends them.
    pub fn down(&self) {
        self.state.send_modify(|state| state.gateway = None);
    }

    /// New connections go to `gateway`. Those that are open stay where they are.
    pub fn switch(&self, gateway: SocketAddr) {
        self.state.send_modify(|state| state.gateway = Some(gateway));
    }

    /// Keeps back what clients send, until it is let go; what gateways send passes.
    pub fn hold(&self, held: bool) {
        self.state.send_modify(|state| state.held = held);
    }
}

async fn serve(listener: TcpListener, mut state: watch::Receiver<State>) {
    let Ok(addr) = listener.local_addr() else { return };
    let mut listening = Some(listener);
    while state.wait_for(|state| state.gateway.is_some()).await.is_ok() {
        let listener = match listening.take() {
            Some(listener) => listener,
            None => again(addr).await,
        };
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let gateway = state.borrow().gateway;
                    if let (Ok((client, _)), Some(gateway)) = (accepted, gateway) {
                        tokio::spawn(pass_on(client, gateway, state.clone()));
                    }
                }
                changed = state.changed() => {
                    if changed.is_err() || state.borrow().gateway.is_none() {
                        break;
                    }
                }
            }
        }
    }
}

/// Listens where it did before. Other tests may be trying whether that port is free.
async fn again(addr: SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(addr).await {
            Ok(listener) => return listener,
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Err(error) => panic!("the front cannot listen again: {error}"),
        }
    }
}

/// Until either side is gone.
async fn pass_on(mut client: TcpStream, gateway: SocketAddr, mut state: watch::Receiver<State>) {
    let Ok(mut gateway) = TcpStream::connect(gateway).await else { return };
    let _ = (client.set_nodelay(true), gateway.set_nodelay(true));
    let (mut client_reads, mut client_writes) = client.split();
    let (mut gateway_reads, mut gateway_writes) = gateway.split();
    let up = async {
        let mut buffer = [0; 16 * 1024];
        loop {
            match client_reads.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(length) => {
                    let free = state.wait_for(|state| !state.held).await.is_ok();
                    if !free || gateway_writes.write_all(&buffer[..length]).await.is_err() {
                        break;
                    }
                }
            }
        }
    };
    tokio::select! {
        () = up => {}
        _ = copy(&mut gateway_reads, &mut client_writes) => {}
    }
}
