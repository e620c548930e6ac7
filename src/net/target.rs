//! A server that is spoken to, whom to trust there, and what every request carries.

use std::fmt;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::{HeaderName, HeaderValue};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::net::TcpStream;

use super::certificates::{BadFile, Part, provider, read, roots};
use super::client::ClientError;
use super::stream::Stream;
use super::tls::Tls;
use super::url::Url;

/// Where a server is, and how it is spoken to.
#[derive(Clone)]
pub struct Target {
    url: Url,
    headers: Vec<Header>,
    tls: Option<Arc<ClientConfig>>,
}

/// A header that every request carries. It may be secret: it does not show.
#[derive(Clone)]
pub struct Header {
    pub(super) name: HeaderName,
    pub(super) value: HeaderValue,
}

/// A text that is no header. `Display` says it to people, and nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a header such as 'Authorization: Bearer …'")]
pub struct BadHeader;

/// Why no server can be trusted.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NoTrust {
    /// The file of authorities is not good.
    #[error(transparent)]
    File(#[from] BadFile),
    /// The system has no authorities.
    #[error("this system has no certificates of authorities: name one with --ca FILE")]
    NoAuthorities,
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}

// === impl Target ===

impl Target {
    /// The server at `url`. With TLS it is trusted if an authority of the file `ca` says who it is, or without one an authority that the
    /// system trusts.
    ///
    /// # Errors
    /// If there are no authorities.
    pub fn new(url: Url, ca: Option<&Path>, headers: Vec<Header>) -> Result<Self, NoTrust> {
        let tls = if url.is_secure() { Some(Arc::new(trusting(ca)?)) } else { None };
        Ok(Self { url, headers, tls })
    }

    /// Where it is.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// What every request carries.
    pub fn headers(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        self.headers.iter().map(|header| (header.name.clone(), header.value.clone()))
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// If there is none within `patience`.
    pub async fn connect(&self, patience: Duration) -> Result<Stream, ClientError> {
        let connecting = tokio::time::timeout(patience, Box::pin(self.open())).await;
        connecting.unwrap_or_else(|_| Err(ClientError::TimedOut(self.url.authority(), patience)))
    }

    async fn open(&self) -> Result<Stream, ClientError> {
        let failed = |error| ClientError::Connect(self.url.authority(), error);
        let stream = TcpStream::connect((self.url.host(), self.url.port())).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let Some(config) = &self.tls else { return Ok(stream.into()) };
        let name = ServerName::try_from(self.url.host().to_owned())
            .map_err(|error| failed(std::io::Error::new(ErrorKind::InvalidInput, error)))?;
        let session = ClientConnection::new(config.clone(), name)
            .map_err(|error| failed(std::io::Error::other(error)))?;
        match Tls::handshake(stream, session.into()).await {
            Ok(tls) => Ok(Stream::secure(tls)),
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                Err(ClientError::Tls(self.url.authority(), error))
            }
            Err(error) => Err(failed(error)),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("url", &self.url)
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

fn trusting(ca: Option<&Path>) -> Result<ClientConfig, NoTrust> {
    let roots = match ca {
        Some(path) => roots(path, &read(Part::ClientCa, path)?)?,
        None => system()?,
    };
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    Ok(builder.map_err(NoTrust::Setup)?.with_root_certificates(roots).with_no_client_auth())
}

/// The authorities that the system trusts. One that cannot be read or used is passed over, as everywhere.
fn system() -> Result<RootCertStore, NoTrust> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(NoTrust::NoAuthorities) } else { Ok(roots) }
}

// === impl Header ===

impl Header {
    /// Reads `Name: value`.
    ///
    /// # Errors
    /// If it is no header.
    pub fn parse(text: &str) -> Result<Self, BadHeader> {
        let (name, value) = text.split_once(':').ok_or(BadHeader)?;
        let name = HeaderName::try_from(name.trim()).map_err(|_| BadHeader)?;
        let mut value = HeaderValue::try_from(value.trim()).map_err(|_| BadHeader)?;
        value.set_sensitive(true);
        Ok(Self { name, value })
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: …", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_and_does_not_show() {
        let header = Header::parse("Authorization: Bearer abc:def ").unwrap();
        assert_eq!(
            (header.name.as_str(), header.value.as_bytes()),
            ("authorization", &b"Bearer abc:def"[..])
        );
        assert_eq!(format!("{header:?}"), "authorization: …");
        for bad in ["", "Authorization", ": x", "a b: c", "a: b\nc"] {
            assert_eq!(Header::parse(bad).unwrap_err(), BadHeader, "{bad}");
        }
    }

    #[test]
    fn plain_servers_need_no_authority() {
        let missing = Path::new("/nowhere/ca.pem");
        let url = |text| Url::parse(text).unwrap();
        assert!(Target::new(url("http://h/"), Some(missing), Vec::new()).is_ok());
        let error = Target::new(url("https://h/"), Some(missing), Vec::new()).unwrap_err();
        assert!(error.to_string().starts_with("/nowhere/ca.pem: cannot read it: "), "{error}");
    }
}
