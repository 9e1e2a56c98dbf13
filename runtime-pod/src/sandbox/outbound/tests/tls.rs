use std::{net::SocketAddr, sync::Arc};

use hyper::{body::Incoming, service::service_fn};
use hyper_util::{rt::TokioExecutor, rt::TokioIo, server::conn::auto};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ClientConfig, RootCertStore, ServerConfig, pki_types::PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{calls::Function, list, server::Script};
use crate::sandbox::outbound::{Outbound, OwnHosts, connect};

const HOST: &str = "tls.example.com";

/// A server with a certificate of its own, and a client that trusts it.
async fn server(protocol: &[u8]) -> (SocketAddr, ClientConfig) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec![HOST.to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let mut settings = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    settings.alpn_protocols = vec![protocol.to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(settings));
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
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (address, client)
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

fn function(tls: ClientConfig, address: SocketAddr) -> (Function, String) {
    let uri = format!("https://{HOST}:{}", address.port());
    let outbound = Outbound::with(Script::new(&["127.0.0.1"]), tls, OwnHosts::default(), 10);
    let allowed = list(&[&uri, "127.0.0.1/32"], &[]);
    (Function::new(&Arc::new(outbound), allowed), uri)
}

#[tokio::test]
async fn both_versions_of_http_are_spoken_and_the_host_stays() {
    for (protocol, version) in [(b"h2".as_slice(), "HTTP/2.0"), (b"http/1.1", "HTTP/1.1")] {
        let (address, trusting) = server(protocol).await;
        let (function, uri) = function(trusting, address);
        let expected = format!("{version} {HOST}:{}", address.port());
        for _ in 0..2 {
            assert_eq!(function.get(&uri).await.unwrap(), expected);
        }
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_trusts_is_refused() {
    let (address, _) = server(b"h2").await;
    let (function, uri) = function(connect::tls(), address);
    assert_eq!(function.get(&uri).await.unwrap_err(), "TlsCertificateError");
}
