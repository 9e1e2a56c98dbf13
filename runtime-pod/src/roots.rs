//! Whom this process believes when it speaks TLS: the roots of the web, and those that the admin adds.

use std::{str::FromStr, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{
        CertificateDer,
        pem::{self, PemObject},
    },
};

/// Text that is no list of certificates to believe.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// It cannot be read.
    #[error("certificate {number} is not valid PEM")]
    Pem {
        /// Which, from 1 on.
        number: usize,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// One of them cannot be a root.
    #[error("certificate {number} cannot be used")]
    Unusable {
        /// Which, from 1 on.
        number: usize,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// There is none.
    #[error("there is no certificate in it; each begins with -----BEGIN CERTIFICATE-----")]
    None,
}

/// Certificates of authorities that are believed.
#[derive(Clone)]
pub struct Roots(Arc<RootCertStore>);

impl std::fmt::Debug for Roots {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Roots")
            .field("count", &self.0.len())
            .finish()
    }
}

impl Default for Roots {
    /// Those of the web: Mozilla's list, which is compiled in.
    fn default() -> Self {
        let roots = webpki_roots::TLS_SERVER_ROOTS.to_vec();
        Self(Arc::new(RootCertStore { roots }))
    }
}

impl FromStr for Roots {
    type Err = RootsError;

    /// Those of the web, and those in `text`, which holds certificates in PEM, or nothing.
    fn from_str(text: &str) -> Result<Self, RootsError> {
        let mut roots = Self::default();
        if text.trim().is_empty() {
            return Ok(roots);
        }
        let store = Arc::make_mut(&mut roots.0);
        let mut count = 0;
        for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
            let number = count + 1;
            let certificate = certificate.map_err(|source| RootsError::Pem { number, source })?;
            store
                .add(certificate)
                .map_err(|source| RootsError::Unusable { number, source })?;
            count = number;
        }
        if count == 0 {
            return Err(RootsError::None);
        }
        Ok(roots)
    }
}

impl Roots {
    /// How to speak TLS, 1.2 or 1.3, with those whom they vouch for.
    ///
    /// # Panics
    /// Never: ring offers what both versions need.
    #[must_use]
    pub fn tls(&self) -> ClientConfig {
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring offers what TLS 1.2 and 1.3 need")
            .with_root_certificates(Arc::clone(&self.0))
            .with_no_client_auth()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_adds_nothing() {
        let web = webpki_roots::TLS_SERVER_ROOTS.len();
        for text in ["", " \n"] {
            assert_eq!(text.parse::<Roots>().unwrap().0.len(), web);
        }
    }

    #[test]
    fn what_is_no_certificate_is_named() {
        let message = |text: &str| text.parse::<Roots>().unwrap_err().to_string();
        assert!(message("authority").starts_with("there is no certificate"));
        let cut = "-----BEGIN CERTIFICATE-----\nMIIB";
        assert_eq!(message(cut), "certificate 1 is not valid PEM");
        let wrong = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
        assert_eq!(message(wrong), "certificate 1 cannot be used");
        // A key in its place is no certificate either.
        let key = wrong.replace("CERTIFICATE", "PRIVATE KEY");
        assert!(message(&key).starts_with("there is no certificate"));
    }
}
