//! Certificates that sign themselves, written by hand (RFC 5280, 4.1), and clients that take no
//! other.

use std::{path::Path, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme, SupportedProtocolVersion,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring as provider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const UTC_TIME: u8 = 0x17;
const VERSION: u8 = 0xa0;
/// The identifier of Ed25519 (RFC 8410).
const ED25519: [u8; 5] = [0x06, 0x03, 0x2b, 0x65, 0x70];

/// A certificate and its key.
#[derive(Clone)]
pub struct Certified {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    // One way of writing each length is valid: the shortest.
    let length = match u8::try_from(content.len()).expect("nothing here is long") {
        short @ ..0x80 => vec![short],
        long => vec![0x81, long],
    };
    [&[tag][..], &length, &content].concat()
}

impl Certified {
    /// A new one.
    pub fn new() -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap();
        let algorithm = element(SEQUENCE, &[&ED25519]);
        let nobody = element(SEQUENCE, &[]);
        let time = |text: &str| element(UTC_TIME, &[text.as_bytes()]);
        let tbs = element(
            SEQUENCE,
            &[
                &element(VERSION, &[&element(INTEGER, &[&[2]])]),
                &element(INTEGER, &[&[1]]),
                &algorithm,
                &nobody,
                &element(SEQUENCE, &[&time("200101000000Z"), &time("491231235959Z")]),
                &nobody,
                &element(
                    SEQUENCE,
                    &[
                        &algorithm,
                        &element(BIT_STRING, &[&[0], pair.public_key().as_ref()]),
                    ],
                ),
            ],
        );
        let signature = pair.sign(&tbs);
        let signature = element(BIT_STRING, &[&[0], signature.as_ref()]);
        Self {
            certificate: element(SEQUENCE, &[&tbs, &algorithm, &signature]),
            key: key.as_ref().to_vec(),
        }
    }

    /// Writes the files of a Secret of type `kubernetes.io/tls`.
    pub fn write(&self, directory: &Path) {
        let pem = |label: &str, der: &[u8]| {
            let text = BASE64_STANDARD.encode(der);
            format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
        };
        let certificate = pem("CERTIFICATE", &self.certificate);
        std::fs::write(directory.join("tls.crt"), certificate).unwrap();
        let key = pem("PRIVATE KEY", &self.key);
        std::fs::write(directory.join("tls.key"), key).unwrap();
    }

    /// A client that takes this certificate and no other, and offers these protocols.
    pub fn client(&self, protocols: &[&str]) -> Arc<ClientConfig> {
        self.client_of(rustls::DEFAULT_VERSIONS, protocols)
    }

    /// The same, with these versions of TLS.
    pub fn client_of(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        protocols: &[&str],
    ) -> Arc<ClientConfig> {
        let only = Only {
            certificate: self.certificate.clone(),
            provider: provider::default_provider(),
        };
        let mut config =
            ClientConfig::builder_with_provider(Arc::new(provider::default_provider()))
                .with_protocol_versions(versions)
                .unwrap()
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(only))
                .with_no_client_auth();
        config.alpn_protocols = protocols
            .iter()
            .map(|protocol| protocol.as_bytes().to_vec())
            .collect();
        Arc::new(config)
    }
}

/// Takes one certificate, if the other end has its key.
#[derive(Debug)]
struct Only {
    certificate: Vec<u8>,
    provider: CryptoProvider,
}

impl ServerCertVerifier for Only {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if end_entity.as_ref() == self.certificate {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::General("another certificate".into()))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let schemes = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, schemes)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let schemes = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, schemes)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let schemes = &self.provider.signature_verification_algorithms;
        schemes.supported_schemes()
    }
}
