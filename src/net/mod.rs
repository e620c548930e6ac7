//! Sockets: listening, accepting, TLS, and not waiting for ever on a peer that does not read; and the HTTP client.

mod certificates;
mod client;
mod io;
mod listener;
mod places;
mod stream;
mod target;
mod tls;
mod turn_away;
mod url;

pub use certificates::{Acceptor, BadFile, Files, Part};
pub use client::{Answer, Client, ClientError};
pub use io::{Heard, Io};
pub use listener::{accept, bind, raise_open_files};
pub use places::{Place, Places};
pub use stream::{Detached, Stream};
pub use target::{BadHeader, Header, NoTrust, Target};
pub use turn_away::turn_away;
pub use url::{BadUrl, Url};

/// Longest time that a peer may take without accepting a single byte of what is to be written to it.
pub const WRITE_STALL: std::time::Duration = std::time::Duration::from_secs(30);
