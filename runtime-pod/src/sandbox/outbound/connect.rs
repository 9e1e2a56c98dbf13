//! From a host to an open connection: looked up once, each address checked, a checked one dialled.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
};
use tokio_rustls::TlsConnector;
use wasmfn_connection::Watched;
use wasmtime_wasi_http::Error;

use super::{
    address::{innermost, is_public},
    allow::{AllowList, Decision, Target},
    pool::Sender,
};
use crate::name_resolver::{Lookup, NameResolverError};

/// What is read of an answer before it is used; its head must fit.
const READ_BUFFER_BYTES: usize = 128 << 10;
/// Headers of an answer.
const MAX_HEADERS: usize = 200;
const MAX_HEADER_LIST_BYTES: u32 = 64 << 10;
/// What the other side may send over HTTP/2 that nobody has read, of one answer and of all answers of a
/// connection: no guest's memory, and within no limit of one. hyper's own measure is for browsers.
pub(super) const STREAM_WINDOW_BYTES: u32 = 64 << 10;
pub(super) const CONNECTION_WINDOW_BYTES: u32 = 256 << 10;
/// What waits to be sent, of one call over HTTP/2.
const SEND_BUFFER_BYTES: usize = 64 << 10;
/// How long the other side may take nothing of what waits to be sent, be it the end of TLS. A side that
/// never reads again would keep its connection, and its place, for ever.
pub(super) const TAKEN_WITHIN: Duration = Duration::from_secs(60);

/// Hosts of the cluster itself, which no CIDR block grants: addresses or names.
#[derive(Clone, Debug, Default)]
pub struct OwnHosts {
    /// The API server's Service.
    pub api_server: Option<String>,
    /// The gateway's Service: functions are called by their names, not around them.
    pub gateway: Option<String>,
}

/// Opens connections.
pub(super) struct Connector {
    resolver: Arc<dyn Lookup>,
    tls: TlsConnector,
    own: OwnHosts,
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum ConnectError {
    /// No address of the host may be called.
    Address,
    /// Something went wrong.
    Failed(Error),
}

impl From<Error> for ConnectError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Connector {
    pub(super) fn new(resolver: Arc<dyn Lookup>, mut tls: ClientConfig, own: OwnHosts) -> Self {
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self {
            resolver,
            tls: TlsConnector::from(Arc::new(tls)),
            own,
        }
    }

    /// Opens a connection to `target`. `permit` counts it until it is closed.
    pub(super) async fn connect(
        &self,
        allowed: &AllowList,
        decision: &Decision,
        target: &Target,
        permit: OwnedSemaphorePermit,
    ) -> Result<Sender, ConnectError> {
        let addresses = self.checked(allowed, decision, target).await?;
        let stream = dial(&addresses, target.port).await?;
        if !target.is_https {
            return Ok(http1(Box::new(stream), permit).await?);
        }
        let name =
            ServerName::try_from(target.host.clone()).map_err(|_| Error::HttpRequestUriInvalid)?;
        let stream = self.tls.connect(name, stream).await.map_err(tls_error)?;
        let speaks_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let stream = Box::new(stream);
        Ok(if speaks_http2 {
            http2(stream, permit).await?
        } else {
            http1(stream, permit).await?
        })
    }

    /// The addresses of `target` that may be dialled, at least one.
    async fn checked(
        &self,
        allowed: &AllowList,
        decision: &Decision,
        target: &Target,
    ) -> Result<Vec<IpAddr>, ConnectError> {
        let mut found = match decision {
            Decision::Denied => return Err(ConnectError::Address),
            Decision::Service(name) => self.lookup(name).await?,
            Decision::Host => match target.host.parse() {
                Ok(address) => vec![address],
                Err(_) => self.lookup(&question(&target.host)).await?,
            },
        };
        found.retain(|address| allowed.admits_address(decision, *address));
        if found.iter().any(|address| !is_public(*address)) {
            let own = self.own_addresses(decision).await?;
            found.retain(|address| !own.contains(&innermost(*address)));
        }
        if found.is_empty() {
            return Err(ConnectError::Address);
        }
        Ok(found)
    }

    /// What `decision` may not lead to. Services lead to the gateway where they are functions.
    async fn own_addresses(&self, decision: &Decision) -> Result<Vec<IpAddr>, Error> {
        let gateway = self
            .own
            .gateway
            .iter()
            .filter(|_| *decision == Decision::Host);
        let mut addresses = Vec::new();
        for host in self.own.api_server.iter().chain(gateway) {
            match host.parse() {
                Ok(address) => addresses.push(address),
                Err(_) => addresses.extend(self.lookup(host).await?),
            }
        }
        Ok(addresses.into_iter().map(innermost).collect())
    }

    async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, Error> {
        let code = |word: &str| Error::DnsError {
            rcode: Some(word.to_owned()),
            info_code: None,
        };
        self.resolver.lookup(name).await.map_err(|error| {
            tracing::debug!(%error, "a name of a call has no address");
            match error {
                NameResolverError::Unknown { .. } => code("NXDOMAIN"),
                NameResolverError::Failed { .. } | NameResolverError::Configuration(_) => {
                    code("SERVFAIL")
                }
            }
        })
    }
}

/// The name as it is asked for. A host of the internet is looked up as it stands: along the search
/// list of a pod, whoever owns a namespace `com` could answer for it.
pub(super) fn question(host: &str) -> String {
    let is_of_cluster = !host.contains('.') || host.ends_with(".svc");
    if is_of_cluster {
        host.to_owned()
    } else {
        format!("{host}.")
    }
}

/// The first address that answers.
async fn dial(addresses: &[IpAddr], port: u16) -> Result<Watched<fn()>, Error> {
    let mut last = Error::DestinationNotFound;
    for address in addresses {
        match TcpStream::connect(SocketAddr::new(*address, port)).await {
            Ok(stream) => {
                stream.set_nodelay(true).map_err(Error::Connect)?;
                return Ok(Watched::new(stream, Arc::default(), TAKEN_WITHIN, || ()));
            }
            Err(error) => last = Error::Connect(error),
        }
    }
    Err(last)
}

/// The guest's code for what went wrong in a handshake.
fn tls_error(error: std::io::Error) -> Error {
    match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    {
        Some(rustls::Error::InvalidCertificate(_)) => Error::TlsCertificateError,
        Some(rustls::Error::AlertReceived(alert)) => Error::TlsAlertReceived {
            alert_id: Some(u8::from(*alert)),
            alert_message: None,
        },
        _ => Error::Tls(error),
    }
}

async fn http1(stream: Box<dyn Stream>, permit: OwnedSemaphorePermit) -> Result<Sender, Error> {
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(READ_BUFFER_BYTES)
        .max_headers(MAX_HEADERS)
        .handshake(TokioIo::new(stream))
        .await?;
    drive(connection, permit);
    Ok(Sender::Http1(sender))
}

pub(super) async fn http2(
    stream: Box<dyn Stream>,
    permit: OwnedSemaphorePermit,
) -> Result<Sender, Error> {
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .max_header_list_size(MAX_HEADER_LIST_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .handshake(TokioIo::new(stream))
        .await?;
    drive(connection, permit);
    Ok(Sender::Http2(sender))
}

/// Carries a connection to its end, in a task that holds its permit.
fn drive(
    connection: impl Future<Output = hyper::Result<()>> + Send + 'static,
    permit: OwnedSemaphorePermit,
) {
    tokio::spawn(async move {
        let _permit = permit;
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection of a guest ended early");
        }
    });
}
