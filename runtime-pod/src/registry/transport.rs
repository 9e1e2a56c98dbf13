//! One HTTP exchange with a registry or a token server, within bounds of time.

use std::error::Error;
use std::future::Future;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, USER_AGENT};
use http::{HeaderValue, Request, Response};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::CertificateError;

use super::digest;
use super::error::RegistryError;
use crate::name_resolver::{NameResolver, NameResolverError};
use crate::roots::Roots;

/// How long a connection may take to be there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a registry may send nothing, before its answer and within.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// What a registry takes in a second at least, in bytes, of what is sent to it.
const SLOWEST_BYTES: u64 = 64 << 10;
/// How long a connection is kept that nobody uses.
const KEEP_IDLE: Duration = Duration::from_secs(60);
const AGENT: &str = concat!("wasmfn/", env!("CARGO_PKG_VERSION"));

/// Sends requests over pooled connections.
#[derive(Clone)]
pub(super) struct Transport {
    client: Client<HttpsConnector<HttpConnector<NameResolver>>, Full<Bytes>>,
}

/// A body, as far as it was read.
pub(super) struct Received {
    pub(super) bytes: Bytes,
    /// Digest of what was read.
    pub(super) digest: String,
    /// Whether there was more than allowed.
    pub(super) cut: bool,
}

impl Transport {
    pub(super) fn new(resolver: NameResolver, roots: &Roots) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(resolver);
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(roots.tls())
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(KEEP_IDLE)
            .build(connector);
        Self { client }
    }

    /// Sends a request and waits for the head of the answer. `server` is for errors.
    pub(super) async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
        server: &str,
    ) -> Result<Response<Incoming>, RegistryError> {
        request
            .headers_mut()
            .insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let sent_bytes = request.body().size_hint().exact().unwrap_or(0);
        let limit = IDLE_TIMEOUT + Duration::from_secs(sent_bytes / SLOWEST_BYTES);
        in_time(limit, self.client.request(request), server)
            .await?
            .map_err(|error| unreachable(server, cause(&error)))
    }

    /// Reads a body, at most `max_bytes` of it.
    pub(super) async fn read(
        &self,
        response: Response<Incoming>,
        max_bytes: u64,
        server: &str,
    ) -> Result<Received, RegistryError> {
        let announced: Option<u64> = response
            .headers()
            .get(CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse().ok());
        let expected = announced.unwrap_or(0).min(max_bytes);
        let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or(0));
        let mut running = digest::Running::default();
        let mut body = response.into_body();
        let mut left = max_bytes;
        let mut cut = announced.is_some_and(|announced| announced > max_bytes);
        while !cut && let Some(frame) = in_time(IDLE_TIMEOUT, body.frame(), server).await? {
            let frame = frame.map_err(|error| {
                unreachable(server, format!("the answer broke off: {}", cause(&error)))
            })?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            match left.checked_sub(data.len() as u64) {
                Some(rest) => left = rest,
                None => cut = true,
            }
            running.update(&data);
            bytes.extend_from_slice(&data);
        }
        Ok(Received {
            bytes: bytes.into(),
            digest: running.finish(),
            cut,
        })
    }
}

async fn in_time<T>(
    limit: Duration,
    step: impl Future<Output = T>,
    server: &str,
) -> Result<T, RegistryError> {
    tokio::time::timeout(limit, step).await.map_err(|_| {
        unreachable(
            server,
            format!("nothing came for {} seconds", limit.as_secs()),
        )
    })
}

pub(super) fn unreachable(server: &str, problem: String) -> RegistryError {
    RegistryError::Unreachable {
        registry: server.to_owned(),
        problem,
    }
}

/// The innermost cause: the layers above it only say that a request failed.
fn cause(error: &(dyn Error + 'static)) -> String {
    let mut current = error;
    loop {
        if let Some(error) = current.downcast_ref::<NameResolverError>() {
            return match error.source() {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            };
        }
        match current.downcast_ref::<rustls::Error>() {
            Some(rustls::Error::InvalidMessage(_)) => {
                return "it does not speak TLS, and is not listed as a plain-HTTP registry"
                    .to_owned();
            }
            Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
                return "its certificate is of an authority that is not believed; those of private \
                        ones are given to the installation"
                    .to_owned();
            }
            _ => {}
        }
        let within = current
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            .map(|error| error as &(dyn Error + 'static));
        match within.or_else(|| current.source()) {
            Some(inner) => current = inner,
            None => return current.to_string(),
        }
    }
}
