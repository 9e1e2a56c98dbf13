//! Sends a guest's request to an address that was checked.

use std::{
    future::poll_fn,
    net::{IpAddr, SocketAddr},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use http::{Request, Response, Uri};
use http_body_util::BodyExt;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::Semaphore,
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::TlsConnector;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use crate::name_resolver::NameResolver;

use super::{
    Driver,
    allow::{AllowList, Decision, Target, default_port, normal},
};

/// Connections of all guests of this process at the same time.
const MAX_CONNECTIONS: usize = 512;
/// Longest time for name, connection and TLS together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time to the first byte of an answer; the request's own time usually ends before.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(600);

trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}
impl<C: AsyncRead + AsyncWrite + Send + Unpin> Connection for C {}

/// The client that all guests of this process share. Connections are not: each request has its
/// own, so that no function can meet another's.
pub struct Outbound {
    resolver: NameResolver,
    tls: TlsConnector,
    connections: Arc<Semaphore>,
}

impl std::fmt::Debug for Outbound {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Outbound").finish_non_exhaustive()
    }
}

impl Outbound {
    /// A client that looks names up by `resolver`.
    #[must_use]
    pub fn new(resolver: NameResolver) -> Self {
        let roots = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.into(),
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider supports the default versions of TLS")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            resolver,
            tls: TlsConnector::from(Arc::new(tls)),
            connections: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
        }
    }

    /// Sends `request` if `allowed` admits it, and returns the answer with what drives the rest of
    /// the connection.
    pub(super) async fn send(
        &self,
        allowed: &AllowList,
        mut request: Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> Result<(Response<WasiBody>, Driver), Error> {
        let target = target(request.uri())?;
        let decision = allowed.decide(&target);
        if decision == Decision::Denied {
            return Err(Error::HttpRequestDenied);
        }
        let permit = Arc::clone(&self.connections)
            .try_acquire_owned()
            .map_err(|_| Error::ConnectionLimitReached)?;
        let limit = |wanted: Option<Duration>, most: Duration| wanted.unwrap_or(most).min(most);
        let connect = limit(options.and_then(|o| o.connect_timeout), CONNECT_TIMEOUT);
        let first_byte = limit(
            options.and_then(|o| o.first_byte_timeout),
            FIRST_BYTE_TIMEOUT,
        );
        let connection = timeout(connect, self.connect(allowed, &decision, &target))
            .await
            .map_err(|_| Error::ConnectionTimeout)??;
        *request.uri_mut() = origin_form(request.uri());
        let (mut sender, mut connection) = http1::handshake(TokioIo::new(connection)).await?;
        let mut answer = pin!(timeout_at(
            Instant::now() + first_byte,
            sender.send_request(request)
        ));
        let answer = poll_fn(|context| {
            if let Poll::Ready(answer) = answer.as_mut().poll(context) {
                return Poll::Ready(answer.map_err(|_| Error::ConnectionReadTimeout));
            }
            match Pin::new(&mut connection).poll(context) {
                Poll::Ready(Err(error)) => Poll::Ready(Err(Error::from(error))),
                Poll::Ready(Ok(())) => answer
                    .as_mut()
                    .poll(context)
                    .map_err(|_| Error::ConnectionReadTimeout),
                Poll::Pending => Poll::Pending,
            }
        })
        .await??;
        let driver: Driver = Box::new(async move {
            let _permit = permit;
            connection.await.map_err(Error::from)
        });
        Ok((
            answer.map(|body| body.map_err(Error::from).boxed_unsync()),
            driver,
        ))
    }

    async fn connect(
        &self,
        allowed: &AllowList,
        decision: &Decision,
        target: &Target,
    ) -> Result<Box<dyn Connection>, Error> {
        let name = match decision {
            Decision::Service(name) => name,
            Decision::Host | Decision::Denied => &target.host,
        };
        let found = self.resolve(name).await?;
        let admitted: Vec<IpAddr> = found
            .into_iter()
            .filter(|address| allowed.admits_address(decision, *address))
            .collect();
        if admitted.is_empty() {
            return Err(Error::DestinationIpProhibited);
        }
        let stream = dial(&admitted, target.port).await?;
        if !target.is_https {
            return Ok(Box::new(stream));
        }
        let name =
            ServerName::try_from(target.host.clone()).map_err(|_| Error::HttpRequestUriInvalid)?;
        let stream = self.tls.connect(name, stream).await.map_err(Error::Tls)?;
        Ok(Box::new(stream))
    }

    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, Error> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        self.resolver
            .lookup(host)
            .await
            .map_err(|error| Error::DnsError {
                rcode: Some(error.to_string()),
                info_code: None,
            })
    }
}

/// The first address that answers.
async fn dial(addresses: &[IpAddr], port: u16) -> Result<TcpStream, Error> {
    let mut last = Error::DestinationNotFound;
    for address in addresses {
        match TcpStream::connect(SocketAddr::new(*address, port)).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Error::Connect(error),
        }
    }
    Err(last)
}

fn target(uri: &Uri) -> Result<Target, Error> {
    let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
    if authority.as_str().contains('@') {
        return Err(Error::HttpRequestUriInvalid);
    }
    let is_https = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(Error::HttpRequestUriInvalid),
    };
    Ok(Target {
        is_https,
        host: normal(authority.host()),
        port: authority.port_u16().unwrap_or(default_port(is_https)),
    })
}

fn origin_form(uri: &Uri) -> Uri {
    uri.path_and_query()
        .map(|path| Uri::from(path.clone()))
        .unwrap_or_default()
}
