//! The Bayeux server that a command talks to.

use std::path::PathBuf;

use crate::client::{Client, Transport};
use crate::net::{Header, Target, Url};

/// The flags of every command that talks to a Bayeux server.
#[derive(clap::Args, Debug)]
pub(super) struct Server {
    /// Where the server mounts Bayeux: http, https, ws or wss
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080/cometd", value_parser = Url::parse)]
    url: Url,
    /// The one transport to use; without it a WebSocket, and long-polling where that fails
    #[arg(long, value_enum)]
    transport: Option<Choice>,
    /// With https or wss, trust the authorities in this file (PEM) and not those of the system
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// A header for every request, such as 'Authorization: Bearer …'; may be given several times
    #[arg(long = "header", value_name = "HEADER", value_parser = Header::parse)]
    headers: Vec<Header>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Choice {
    Websocket,
    LongPolling,
}

impl Server {
    /// Connects and handshakes; subscriptions to `channels` are on their way then.
    ///
    /// # Errors
    /// If there is no such server, it cannot be trusted, or it refuses.
    pub(super) async fn open(&self, channels: &[String]) -> anyhow::Result<Client> {
        let transport = self.transport.map(|choice| match choice {
            Choice::Websocket => Transport::WebSocket,
            Choice::LongPolling => Transport::LongPolling,
        });
        let target = Target::new(self.url.clone(), self.ca.as_deref(), self.headers.clone())?;
        Ok(Client::open(&target, transport, channels).await?)
    }
}

/// Runs a client's command; it uses one thread.
pub(super) fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}

/// A channel or pattern in the command line.
pub(super) fn pattern(text: &str) -> Result<String, String> {
    crate::bayeux::Pattern::parse(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// A channel in the command line.
pub(super) fn channel(text: &str) -> Result<String, String> {
    crate::bayeux::Channel::parse(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}
