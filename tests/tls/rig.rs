//! Certificates, a gateway that has one, and a bridge that gives plain clients TLS.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::certificates::{authority, certificate};
use crate::support::gateway::{Gateway, LOCAL};

/// The authority that everybody trusts, and one that nobody does.
pub const CA: &str = "ca.pem";
pub const STRANGER: &str = "stranger.pem";

/// What certificates of servers are for.
pub const NAMES: &str = "DNS:localhost,IP:127.0.0.1";

/// A folder with the two authorities and the certificate `gateway`.
pub struct Papers(TempDir);

/// A gateway with TLS, and its papers.
pub struct Secure {
    pub papers: Papers,
    pub gateway: Gateway,
}

/// How a client shakes hands.
#[derive(Clone, Copy, Default)]
pub struct Client<'a> {
    /// What it offers by ALPN.
    pub alpn: &'a [&'a [u8]],
    /// The certificate that it shows: `STEM.pem` and `STEM.key`.
    pub certificate: Option<&'a str>,
}

/// Listens on a port of its own and passes everything on over TLS: what plain clients connect to.
pub struct Bridge {
    runtime: Option<tokio::runtime::Runtime>,
    addr: SocketAddr,
}

// === impl Papers ===

impl Papers {
    pub fn new() -> Self {
        let papers = Self(tempfile::tempdir().unwrap());
        for name in [CA, STRANGER] {
            authority(papers.dir(), name);
        }
        certificate(papers.dir(), CA, "gateway", NAMES);
        papers
    }

    pub fn dir(&self) -> &Path {
        self.0.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    /// The first certificate of a file.
    pub fn certificate(&self, name: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.path(name)).unwrap()
    }

    /// The setting `tls`.
    pub fn setting(&self, more: &str) -> String {
        let (cert, key) = (self.path("gateway.pem"), self.path("gateway.key"));
        format!("tls: {{ cert: \"{}\", key: \"{}\"{more} }}\n", cert.display(), key.display())
    }

    pub fn client(&self, client: Client<'_>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate(CA)).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match client.certificate {
            Some(stem) => {
                let key = PrivateKeyDer::from_pem_file(self.path(&format!("{stem}.key"))).unwrap();
                builder.with_client_auth_cert(vec![self.certificate(&format!("{stem}.pem"))], key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = client.alpn.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }
}

// === impl Secure ===

impl Secure {
    pub fn start(settings: &str) -> Self {
        Self::with(Papers::new(), "", settings)
    }

    /// With more keys of `tls`, beginning with a comma, and more settings.
    pub fn with(papers: Papers, tls: &str, settings: &str) -> Self {
        let settings = papers.setting(tls) + settings;
        let gateway = Gateway::local(LOCAL, &settings);
        Self { papers, gateway }
    }

    pub fn addr(&self) -> SocketAddr {
        self.gateway.addr()
    }

    /// A bridge to it for HTTP/1.1.
    pub fn bridge(&self) -> Bridge {
        Bridge::start(self.addr(), self.papers.client(Client { alpn: &[b"http/1.1"], ..Client::default() }))
    }

    /// Connects with TLS and says which certificate it is shown.
    pub fn shown(&self) -> CertificateDer<'static> {
        let config = self.papers.client(Client::default());
        block_on(async {
            let stream = connect(self.addr(), config).await.unwrap();
            stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
        })
    }
}

// === impl Bridge ===

impl Bridge {
    pub fn start(to: SocketAddr, config: Arc<ClientConfig>) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let addr = listener.local_addr().unwrap();
        runtime.spawn(async move {
            loop {
                let (mut plain, _) = listener.accept().await.unwrap();
                plain.set_nodelay(true).unwrap();
                let config = config.clone();
                tokio::spawn(async move {
                    // Where one end breaks, the other is closed.
                    if let Ok(mut secure) = connect(to, config).await {
                        let _ = tokio::io::copy_bidirectional(&mut plain, &mut secure).await;
                    }
                });
            }
        });
        Self { runtime: Some(runtime), addr }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Connects with TLS.
pub async fn connect(to: SocketAddr, config: Arc<ClientConfig>) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    TlsConnector::from(config).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

/// Runs a client's part of a test.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
