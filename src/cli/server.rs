//! The Bayeux server that a command talks to.

use crate::client::{Client, Error, Transport};
use crate::net::Url;

/// The flags of every command that talks to a Bayeux server.
#[derive(clap::Args, Debug)]
pub(super) struct Server {
    /// Where the server mounts Bayeux
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080/cometd", value_parser = Url::parse)]
    url: Url,
    /// The one transport to use; without it a WebSocket, and long-polling where that fails
    #[arg(long, value_enum)]
    transport: Option<Choice>,
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
    /// If there is no such server, or it refuses.
    pub(super) async fn open(&self, channels: &[String]) -> Result<Client, Error> {
        let transport = self.transport.map(|choice| match choice {
            Choice::Websocket => Transport::WebSocket,
            Choice::LongPolling => Transport::LongPolling,
        });
        Client::open(&self.url, transport, channels).await
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
