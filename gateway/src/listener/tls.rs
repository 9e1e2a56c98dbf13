//! TLS towards clients: the certificate, read again when its files change.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use thiserror::Error;

/// The files of a Secret of type `kubernetes.io/tls`.
const CERTIFICATE_FILE: &str = "tls.crt";
/// The same.
const KEY_FILE: &str = "tls.key";
/// What is offered to clients, best first (RFC 7301).
const HTTP2: &[u8] = b"h2";
/// The same.
const HTTP11: &[u8] = b"http/1.1";
/// How often the files are looked at. The kubelet itself takes up to a minute to bring a change.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The certificate cannot be used.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read {path}: is the Secret with the certificate mounted?")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{file} is not valid PEM")]
    Pem {
        /// The file.
        file: &'static str,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// Certificate and key do not go together, or TLS cannot be done with them.
    #[error("the certificate and its key cannot be used")]
    Unusable(#[source] rustls::Error),
}

/// The certificate that clients are shown.
pub struct Certificate {
    directory: PathBuf,
    current: ArcSwap<Generation>,
}

/// What the files hold.
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

struct Generation {
    files: Files,
    certified: Arc<CertifiedKey>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nothing of the key.
        formatter
            .debug_struct("Certificate")
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

impl Certificate {
    /// Reads `tls.crt` and `tls.key` of the directory.
    ///
    /// # Errors
    /// [`CertificateError`], which names the file.
    pub fn read(directory: &Path) -> Result<Self, CertificateError> {
        let generation = Generation::new(Files::read(directory)?)?;
        Ok(Self {
            directory: directory.to_owned(),
            current: ArcSwap::from_pointee(generation),
        })
    }

    /// Takes the files as they are now. Returns whether they differ from those before.
    ///
    /// # Errors
    /// [`CertificateError`]; what was read before stays.
    pub fn read_again(&self) -> Result<bool, CertificateError> {
        let files = Files::read(&self.directory)?;
        let before = self.current.load();
        if before.files.certificate == files.certificate && before.files.key == files.key {
            return Ok(false);
        }
        self.current.store(Arc::new(Generation::new(files)?));
        Ok(true)
    }

    /// Follows the files for ever. Connections go on with the certificate that they began with.
    pub async fn follow(&self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            match self.read_again() {
                Ok(true) => tracing::info!("the certificate has changed"),
                Ok(false) => {}
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "keeping the certificate that was read before"
                ),
            }
        }
    }

    /// How to speak TLS with this certificate: 1.2 or 1.3, and in it HTTP/2 or HTTP/1.1.
    ///
    /// # Errors
    /// [`CertificateError::Unusable`] where TLS cannot be set up.
    pub fn config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, CertificateError> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(CertificateError::Unusable)?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = vec![HTTP2.to_vec(), HTTP11.to_vec()];
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load().certified.clone())
    }
}

/// Whether client and gateway have agreed on HTTP/2. A client that names no protocol gets HTTP/1.1.
pub(super) fn agreed_on_http2(connection: &rustls::ServerConnection) -> bool {
    connection.alpn_protocol() == Some(HTTP2)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

impl Files {
    fn read(directory: &Path) -> Result<Self, CertificateError> {
        let read = |file: &str| {
            let path = directory.join(file);
            std::fs::read(&path).map_err(|source| CertificateError::Read { path, source })
        };
        Ok(Self {
            certificate: read(CERTIFICATE_FILE)?,
            key: read(KEY_FILE)?,
        })
    }
}

impl Generation {
    fn new(files: Files) -> Result<Self, CertificateError> {
        let pem = |file| move |source| CertificateError::Pem { file, source };
        let chain = CertificateDer::pem_slice_iter(&files.certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(pem(CERTIFICATE_FILE))?;
        let key = PrivateKeyDer::from_pem_slice(&files.key).map_err(pem(KEY_FILE))?;
        // An empty chain is found out here as well: it matches no key.
        let certified =
            CertifiedKey::from_der(chain, key, &provider()).map_err(CertificateError::Unusable)?;
        Ok(Self {
            files,
            certified: Arc::new(certified),
        })
    }
}
