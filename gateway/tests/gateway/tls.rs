use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::extract::Request as PodRequest;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use serde_json::json;
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::{TlsConnector, client::TlsStream};
use wasmfn_gateway::{
    endpoints::Phase::Ready,
    listener::{Rules, tls::Certificate},
    metrics::Fault,
    probe::{self, Probe},
    routes::Entrance,
};

use crate::{
    certificate::Certified,
    client::{HOST, full, request, whole},
    pod,
    raw::{head, rest},
    setup::{Running, lenient, until},
};

/// A gateway with this certificate, before a pod that says what it was told of the client.
struct Secured {
    running: Running,
    certificate: Arc<Certificate>,
    directory: TempDir,
}

impl Secured {
    async fn start(certified: &Certified, rules: Rules) -> Self {
        let directory = tempfile::tempdir().unwrap();
        certified.write(directory.path());
        let certificate = Arc::new(Certificate::read(directory.path()).unwrap());
        let tls = certificate.config().unwrap();
        let pod = pod::start(|request: PodRequest| async move {
            let said = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
            format!("{} {}", said("x-forwarded-proto"), said("forwarded"))
        })
        .await;
        let running = Running::start_by(rules, Some(tls)).await;
        Self {
            running: running.with(&json!({}), &[(pod, Ready)]),
            certificate,
            directory,
        }
    }

    fn handshakes_failed(&self) -> u64 {
        let metrics = &self.running.gateway.metrics;
        metrics.faults(Entrance::Public, Fault::Handshake)
    }
}

async fn connect(
    address: SocketAddr,
    config: Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = HOST.try_into().unwrap();
    TlsConnector::from(config).connect(name, stream).await
}

async fn get(stream: TlsStream<TcpStream>) -> Response<Bytes> {
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let stream = TokioIo::new(stream);
    let response = if http2 {
        let handshake = http2::handshake(TokioExecutor::new(), stream);
        let (mut sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        let asked = Request::get(format!("https://{HOST}/"));
        sender.send_request(asked.body(full("")).unwrap()).await
    } else {
        let (mut sender, connection) = http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        sender
            .send_request(request("/").body(full("")).unwrap())
            .await
    };
    whole(response.unwrap()).await
}

#[tokio::test]
async fn the_protocol_is_agreed_on_in_the_handshake() {
    let certified = Certified::new();
    let secured = Secured::start(&certified, lenient()).await;
    for (offered, agreed) in [
        (&["h2", "http/1.1"][..], Some("h2")),
        (&["http/1.1", "h2"], Some("h2")),
        (&["h2"], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&[], None),
    ] {
        let config = certified.client(offered);
        let stream = connect(secured.running.public, config).await.unwrap();
        let found = stream.get_ref().1.alpn_protocol();
        assert_eq!(found, agreed.map(str::as_bytes), "{offered:?}");
        let response = get(stream).await;
        let expected = format!("https for=127.0.0.1;host=\"{HOST}\";proto=https");
        assert_eq!(response.body(), &expected, "{offered:?}");
    }
    let strange = certified.client(&["ftp"]);
    assert!(connect(secured.running.public, strange).await.is_err());
}

#[tokio::test]
async fn the_charts_test_asks_behind_tls() {
    let secured = Secured::start(&Certified::new(), lenient()).await;
    let probe = |scheme: &str, host: &str| Probe {
        url: format!("{scheme}://{}/", secured.running.public)
            .parse()
            .unwrap(),
        host: Some(host.to_owned()),
        expect_status: StatusCode::NOT_FOUND,
    };
    probe::run(&probe("https", "nobody.nowhere.test"))
        .await
        .unwrap();
    let error = probe::run(&probe("ftp", "nobody.nowhere.test")).await;
    let error = error.unwrap_err().to_string();
    assert!(
        error.starts_with("`--url` must be an http or https"),
        "{error}"
    );
    let error = probe::run(&probe("https", "no host")).await;
    assert_eq!(error.unwrap_err().to_string(), "`--host` must be a host");
}

#[tokio::test]
async fn both_versions_of_tls_are_spoken() {
    let certified = Certified::new();
    let secured = Secured::start(&certified, lenient()).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = certified.client_of(&[version], &["h2"]);
        let stream = connect(secured.running.public, config).await.unwrap();
        let found = stream.get_ref().1.protocol_version();
        assert_eq!(found, Some(version.version));
        assert_eq!(get(stream).await.status(), 200);
    }
}

#[tokio::test]
async fn a_new_certificate_is_shown_without_a_restart_and_a_bad_one_is_not() {
    let (old, new) = (Certified::new(), Certified::new());
    let secured = Secured::start(&old, lenient()).await;
    let address = secured.running.public;
    let under_way = connect(address, old.client(&["h2"])).await.unwrap();

    std::fs::write(secured.directory.path().join("tls.crt"), "nonsense").unwrap();
    assert!(secured.certificate.read_again().is_err());
    new.write(secured.directory.path());
    let key = secured.directory.path().join("tls.key");
    let right = std::fs::read(&key).unwrap();
    let other = tempfile::tempdir().unwrap();
    old.write(other.path());
    std::fs::copy(other.path().join("tls.key"), &key).unwrap();
    assert!(secured.certificate.read_again().is_err(), "not its key");
    connect(address, old.client(&["h2"])).await.unwrap();

    std::fs::write(&key, right).unwrap();
    assert!(secured.certificate.read_again().unwrap());
    assert!(!secured.certificate.read_again().unwrap(), "nothing new");
    assert!(connect(address, old.client(&["h2"])).await.is_err());
    for offered in ["h2", "http/1.1"] {
        let stream = connect(address, new.client(&[offered])).await.unwrap();
        assert_eq!(get(stream).await.status(), 200);
    }
    assert_eq!(get(under_way).await.status(), 200, "begun before");
}

#[tokio::test]
async fn who_speaks_no_tls_or_stops_in_the_handshake_is_let_go() {
    let rules = Rules {
        handshake_within: Duration::from_millis(200),
        ..lenient()
    };
    let secured = Secured::start(&Certified::new(), rules).await;
    let mut silent = TcpStream::connect(secured.running.public).await.unwrap();
    assert_eq!(rest(&mut silent).await, "");
    until("it is noted", || secured.handshakes_failed() == 1).await;

    let mut plain = TcpStream::connect(secured.running.public).await.unwrap();
    let asked = b"GET / HTTP/1.1\r\nhost: f.n.localhost\r\n\r\n";
    AsyncWriteExt::write_all(&mut plain, asked).await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut plain, &mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    until("it is noted", || secured.handshakes_failed() == 2).await;
}

#[test]
fn a_certificate_that_cannot_be_used_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let read = || {
        let error = anyhow::Error::from(Certificate::read(directory.path()).unwrap_err());
        format!("{error:#}")
    };
    assert!(read().contains("tls.crt"), "{}", read());
    Certified::new().write(directory.path());
    std::fs::write(directory.path().join("tls.key"), "no key").unwrap();
    assert!(read().contains("tls.key"), "{}", read());
    Certified::new().write(directory.path());
    std::fs::write(directory.path().join("tls.crt"), "no certificate").unwrap();
    assert!(read().contains("certificate"), "{}", read());
}

#[tokio::test]
async fn a_client_that_leaves_its_body_unread_is_let_go_behind_tls_too() {
    let certified = Certified::new();
    let secured = Secured::start(&certified, lenient()).await;
    let running = &secured.running;
    running.pods(&[]);
    let config = certified.client(&["http/1.1"]);
    let mut stream = connect(running.public, config).await.unwrap();
    let asked = head("POST / HTTP/1.1", "content-length: 100000\r\n");
    let part = format!("{asked}{}", "a".repeat(30_000));
    stream.write_all(part.as_bytes()).await.unwrap();
    until("it waits", || running.counts() == (0, 1)).await;
    drop(stream);
    until("it is gone", || running.counts() == (0, 0)).await;
}
