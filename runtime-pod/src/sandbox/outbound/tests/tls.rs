use std::{net::SocketAddr, sync::Arc};

use super::{calls::Function, list, server::Script};
use crate::{
    roots::Roots,
    samples::tls::{HOST, server},
    sandbox::outbound::{Outbound, OwnHosts},
};

fn function(roots: &Roots, address: SocketAddr) -> (Function, String) {
    let uri = format!("https://{HOST}:{}", address.port());
    let outbound = Outbound::new(Script::new(&["127.0.0.1"]), roots, OwnHosts::default());
    let allowed = list(&[&uri, "127.0.0.1/32"], &[]);
    (Function::new(&Arc::new(outbound), allowed), uri)
}

#[tokio::test]
async fn both_versions_of_http_are_spoken_and_the_host_stays() {
    for (protocol, version) in [(b"h2".as_slice(), "HTTP/2.0"), (b"http/1.1", "HTTP/1.1")] {
        let (address, trusting) = server(protocol).await;
        let (function, uri) = function(&trusting, address);
        let expected = format!("{version} {HOST}:{}", address.port());
        for _ in 0..2 {
            assert_eq!(function.get(&uri).await.unwrap(), expected);
        }
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_trusts_is_refused() {
    let (address, _) = server(b"h2").await;
    let (function, uri) = function(&Roots::default(), address);
    assert_eq!(function.get(&uri).await.unwrap_err(), "TlsCertificateError");
}
