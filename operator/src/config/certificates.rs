//! Certificates that runtime pods get with their environment: what they could not use is refused here,
//! before any pod fails to start.

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::ConfigError;

/// The kernel takes 128 KiB of one variable (`MAX_ARG_STRLEN`), its name included.
const MAX_BYTES: usize = 120 << 10;

/// Whether `text` is empty or certificates in PEM.
///
/// # Errors
/// [`ConfigError::Field`].
pub(super) fn check(text: &str) -> Result<(), ConfigError> {
    let fault = |problem| {
        Err(ConfigError::Field {
            field: "runtime.caCertificates",
            problem,
        })
    };
    if text.len() > MAX_BYTES {
        return fault("must have at most 120 KiB: leave out the authorities of the web");
    }
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
        if certificate.is_ok_and(|certificate| roots.add(certificate).is_ok()) {
            continue;
        }
        return fault("must hold certificates in PEM, and one of them is none");
    }
    if roots.is_empty() && !text.trim().is_empty() {
        return fault("must hold certificates in PEM, each from -----BEGIN CERTIFICATE----- on");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pods_could_not_use_is_refused() {
        let values = include_str!("../../../charts/wasmfn/ci/everything-values.yaml");
        let values: serde_json::Value = serde_yaml::from_str(values).unwrap();
        let certificates = values["runtime"]["caCertificates"].as_str().unwrap();
        assert!(certificates.contains("BEGIN CERTIFICATE"));
        assert!(check(certificates).is_ok());
        assert!(check("").is_ok());
        let long = "x".repeat(MAX_BYTES + 1);
        let wrong = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
        for (text, part) in [
            ("authority", "from -----BEGIN"),
            (wrong, "one of them is none"),
            (&long, "120 KiB"),
        ] {
            let error = check(text).unwrap_err().to_string();
            assert!(error.contains("runtime.caCertificates"), "{error}");
            assert!(error.contains(part), "{error}");
        }
    }
}
