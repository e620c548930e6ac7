//! The gateway's certificate: read from files, checked, and read again when the files change.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use tokio::net::TcpStream;

use super::Detached;
use super::stream::Stream;
use super::tls::Tls;

/// What clients may choose from by ALPN, the best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The files, all PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The certificate, and those that lead to its authority.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities of clients' certificates; with it clients must have one.
    pub client_ca: Option<PathBuf>,
}

/// Which file something is wrong with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// [`Files::cert`]
    Cert,
    /// [`Files::key`]
    Key,
    /// [`Files::client_ca`]
    ClientCa,
}

/// What is wrong with a file, and what to do about it. Nothing of its content is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}: {what}", path.display())]
pub struct BadFile {
    /// Which one.
    pub part: Part,
    /// Where it is.
    pub path: PathBuf,
    /// What is wrong, in one line.
    pub what: String,
    /// What to do.
    pub hint: Option<String>,
}

/// Shakes hands with clients, by the certificate that was last found good.
#[derive(Debug)]
pub struct Acceptor {
    files: Files,
    config: ArcSwap<ServerConfig>,
    seen: Mutex<Seen>,
}

/// What the files hold, told apart by a hash.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// What was tried last, good or not.
    tried: u64,
    /// What they held at the last look.
    latest: u64,
}

/// The content of the files.
struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

// === impl Acceptor ===

impl Acceptor {
    /// Reads and checks the files.
    ///
    /// # Errors
    /// The first that is wrong.
    pub fn load(files: Files) -> Result<Self, BadFile> {
        let contents = Contents::read(&files)?;
        let config = contents.config(&files)?;
        let hash = contents.hash();
        let seen = Mutex::new(Seen { tried: hash, latest: hash });
        Ok(Self { files, config: ArcSwap::from_pointee(config), seen })
    }

    /// Looks at the files again, and from now on shows what they hold if that is new and good. Connections that are there go on as
    /// they are. `None` if nothing was tried: a change is left alone until it has stayed for two looks, since files are changed one
    /// after the other, unless `now`.
    pub fn reload(&self, now: bool) -> Option<Result<(), BadFile>> {
        let contents = Contents::read(&self.files);
        let hash = contents.as_ref().map_or_else(hash_of, Contents::hash);
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let settled = std::mem::replace(&mut seen.latest, hash) == hash;
            if !now && (hash == seen.tried || !settled) {
                return None;
            }
            seen.tried = hash;
        }
        let config = contents.and_then(|contents| contents.config(&self.files));
        Some(config.map(|config| self.config.store(Arc::new(config))))
    }

    /// Shakes hands with the client at the other end of `stream`, within `patience`.
    ///
    /// # Errors
    /// What goes wrong, `TimedOut` among it.
    pub async fn accept(&self, stream: std::net::TcpStream, patience: Duration) -> std::io::Result<Detached> {
        let session = ServerConnection::new(self.config.load_full()).map_err(std::io::Error::other)?;
        let handshake = Tls::handshake(TcpStream::from_std(stream)?, session.into());
        let tls = tokio::time::timeout(patience, handshake).await??;
        Stream::secure(tls).detach()
    }
}

// === impl Contents ===

impl Contents {
    fn read(files: &Files) -> Result<Self, BadFile> {
        Ok(Self {
            cert: read(Part::Cert, &files.cert)?,
            key: read(Part::Key, &files.key)?,
            client_ca: files.client_ca.as_ref().map(|path| read(Part::ClientCa, path)).transpose()?,
        })
    }

    fn hash(&self) -> u64 {
        hash_of((&self.cert, &self.key, &self.client_ca))
    }

    fn config(&self, files: &Files) -> Result<ServerConfig, BadFile> {
        let chain = certificates(Part::Cert, &files.cert, &self.cert)?;
        let key = key(&files.key, &self.key)?;
        let provider = provider();
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| BadFile::new(Part::Cert, &files.cert, error.to_string()))?;
        let builder = match (&files.client_ca, &self.client_ca) {
            (Some(path), Some(pem)) => {
                let roots = roots(path, pem)?;
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .build()
                    .map_err(|error| BadFile::new(Part::ClientCa, path, error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                let what = format!("this key is not that of the certificate in {}", files.cert.display());
                let hint =
                    "the certificate of the server comes first in its file, those of authorities after it";
                BadFile::new(Part::Key, &files.key, what).hint(hint)
            }
            rustls::Error::InvalidCertificate(error) => {
                BadFile::new(Part::Cert, &files.cert, format!("the certificate cannot be used: {error}"))
            }
            error => BadFile::new(Part::Key, &files.key, format!("the key cannot be used: {error}"))
                .hint("RSA of 2048 bits or more, ECDSA (P-256, P-384, P-521) and Ed25519 keys can"),
        })?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        // Clients that come back bring what the gateway needs to know in their ticket, so nothing is kept here. The tickets' key is as
        // old as this configuration: who was let in by other authorities has to show a certificate again.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = aws_lc_rs::Ticketer::new()
            .map_err(|error| BadFile::new(Part::Cert, &files.cert, error.to_string()))?;
        Ok(config)
    }
}

// === impl BadFile ===

impl BadFile {
    fn new(part: Part, path: &Path, what: impl Into<String>) -> Self {
        Self { part, path: path.to_owned(), what: what.into(), hint: None }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// The provider of cryptography. Named wherever one is needed: with two in the program, rustls cannot choose.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The authorities in a file.
pub(super) fn roots(path: &Path, pem: &[u8]) -> Result<RootCertStore, BadFile> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(Part::ClientCa, path, pem)? {
        roots.add(certificate).map_err(|error| {
            BadFile::new(Part::ClientCa, path, format!("a certificate cannot be used: {error}"))
        })?;
    }
    Ok(roots)
}

pub(super) fn read(part: Part, path: &Path) -> Result<Vec<u8>, BadFile> {
    fs::read(path).map_err(|error| BadFile::new(part, path, format!("cannot read it: {error}")))
}

fn certificates(part: Part, path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, BadFile> {
    let certificates = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| BadFile::new(part, path, format!("it is broken: {error}")))?;
    if certificates.is_empty() {
        return Err(missing(part, path, pem, "certificate", "x509"));
    }
    Ok(certificates)
}

fn key(path: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, BadFile> {
    match PrivateKeyDer::from_pem_slice(pem) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) if is_encrypted(pem) => {
            let hint = format!("openssl pkey -in {} -out KEY.pem writes it without", path.display());
            Err(BadFile::new(Part::Key, path, "the key has a password").hint(hint))
        }
        Err(pem::Error::NoItemsFound) => Err(missing(Part::Key, path, pem, "private key", "pkey")),
        // The content is secret: nothing of it is told.
        Err(_) => Err(BadFile::new(Part::Key, path, "it is broken PEM")),
    }
}

/// There is no such thing in a file.
fn missing(part: Part, path: &Path, pem: &[u8], what: &str, tool: &str) -> BadFile {
    if contains(pem, b"-----BEGIN ") {
        return BadFile::new(part, path, format!("there is no {what} in it"))
            .hint(format!("-----BEGIN {}----- is expected", what.to_ascii_uppercase()));
    }
    let hint = format!("openssl {tool} -inform der -in {} -out FILE.pem converts DER", path.display());
    BadFile::new(part, path, "it is not PEM").hint(hint)
}

fn is_encrypted(pem: &[u8]) -> bool {
    contains(pem, b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(text, part).is_some()
}

fn hash_of<T: Hash>(value: T) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
