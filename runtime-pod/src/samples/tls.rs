//! A server behind TLS, and those who believe it.

use std::{net::SocketAddr, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{rt::TokioExecutor, rt::TokioIo, server::conn::auto};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::roots::Roots;

/// Whom its certificate is for, beside `localhost`.
pub(crate) const HOST: &str = "tls.example.com";

/// A server with a certificate of its own that speaks `protocol` and says how it was asked, and roots that
/// vouch for it.
pub(crate) async fn server(protocol: &[u8]) -> (SocketAddr, Roots) {
    let (acceptor, roots) = acceptor(protocol);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust the certificate goes away here.
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let service = service_fn(describe);
                let connection = auto::Builder::new(TokioExecutor::new());
                let _ = connection
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    (address, roots)
}

/// Shakes hands with a certificate of its own for `protocol`, and roots that vouch for it.
pub(crate) fn acceptor(protocol: &[u8]) -> (TlsAcceptor, Roots) {
    let names = vec![HOST.to_owned(), "localhost".to_owned()];
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let mut settings = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    settings.alpn_protocols = vec![protocol.to_vec()];
    let certificate = BASE64_STANDARD.encode(cert.der());
    let pem = format!("-----BEGIN CERTIFICATE-----\n{certificate}\n-----END CERTIFICATE-----\n");
    let acceptor = TlsAcceptor::from(Arc::new(settings));
    (acceptor, pem.parse().unwrap())
}

/// Says how it was asked.
async fn describe(
    request: http::Request<Incoming>,
) -> Result<http::Response<String>, hyper::Error> {
    let host = request
        .uri()
        .authority()
        .map(ToString::to_string)
        .or_else(|| Some(request.headers().get("host")?.to_str().ok()?.to_owned()));
    let text = format!("{:?} {}", request.version(), host.unwrap_or_default());
    Ok(http::Response::new(text))
}
