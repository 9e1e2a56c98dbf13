//! Sends a guest's request to an address that was checked, over a connection of its function's own.

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header::HOST};
use http_body_util::BodyExt;
use hyper::{body::Incoming, client::conn::TrySendError};
use rustls::ClientConfig;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::{
    Caller,
    allow::{Decision, Target, default_port, normal},
    allowance::{Allowance, UsedUp},
    body::{Received, Running, Sent},
    connect::{ConnectError, Connector, OwnHosts},
    pool::{Destination, Pool, Sender},
};
use crate::{name_resolver::Lookup, roots::Roots, sandbox::Refused};

/// Connections of all guests of this process at the same time.
const MAX_CONNECTIONS: usize = 512;
/// Longest time for name, connection and TLS together.
pub(in crate::sandbox) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time to the first byte of an answer; the request's own time usually ends before.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(600);
/// Longest pause within an answer.
const PAUSE_TIMEOUT: Duration = Duration::from_secs(60);

/// The client that all guests of this process share.
pub struct Outbound {
    connector: Connector,
    pool: Arc<Pool>,
    connections: Arc<Semaphore>,
}

impl std::fmt::Debug for Outbound {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Outbound").finish_non_exhaustive()
    }
}

/// A call that did not come about: what its guest is told, and why the user is.
#[derive(Debug)]
pub(super) struct CallError {
    pub(super) error: Error,
    pub(super) reason: Refused,
}

impl CallError {
    const fn new(reason: Refused, error: Error) -> Self {
        Self { error, reason }
    }
}

impl From<Error> for CallError {
    fn from(error: Error) -> Self {
        Self::new(Refused::OutboundFailed, error)
    }
}

/// How long each part of a call may take.
struct Times {
    connect: Duration,
    first_byte: Duration,
    pause: Duration,
}

impl Times {
    /// What the guest wants, within what it may have.
    fn of(options: Option<RequestOptions>) -> Self {
        let limit = |wanted: Option<Duration>, most: Duration| wanted.unwrap_or(most).min(most);
        Self {
            connect: limit(options.and_then(|o| o.connect_timeout), CONNECT_TIMEOUT),
            first_byte: limit(
                options.and_then(|o| o.first_byte_timeout),
                FIRST_BYTE_TIMEOUT,
            ),
            pause: limit(options.and_then(|o| o.between_bytes_timeout), PAUSE_TIMEOUT),
        }
    }
}

impl Outbound {
    /// A client that looks names up by `resolver`, believes `roots` and lets nobody call `own`.
    #[must_use]
    pub fn new(resolver: Arc<dyn Lookup>, roots: &Roots, own: OwnHosts) -> Self {
        Self::with(resolver, roots.tls(), own, MAX_CONNECTIONS)
    }

    pub(super) fn with(
        resolver: Arc<dyn Lookup>,
        tls: ClientConfig,
        own: OwnHosts,
        max_connections: usize,
    ) -> Self {
        Self {
            connector: Connector::new(resolver, tls, own),
            pool: Arc::new(Pool::default()),
            connections: Arc::new(Semaphore::new(max_connections)),
        }
    }

    /// Sends `request` if the caller's list admits it, within its allowance.
    pub(super) async fn send(
        &self,
        caller: &Caller,
        allowance: &Arc<Allowance>,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> Result<Response<WasiBody>, CallError> {
        let target = target(&request)?;
        let decision = caller.allowed.decide(&target);
        if decision == Decision::Denied {
            return Err(CallError::new(
                Refused::OutboundDenied,
                Error::HttpRequestDenied,
            ));
        }
        let running = begin(caller, allowance)?;
        let times = Times::of(options);
        let request = request.map(|inner| Sent {
            inner,
            caller: caller.clone(),
            allowance: Arc::clone(allowance),
        });
        let answer = self
            .exchange(caller, &decision, &target, request, &times)
            .await?;
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Error::HttpUpgradeFailed.into());
        }
        Ok(answer.map(|body| {
            let (caller, allowance) = (caller.clone(), Arc::clone(allowance));
            Received::new(body, caller, allowance, times.pause, running).boxed_unsync()
        }))
    }

    /// One request and its answer's head, over a connection that waits or a new one.
    async fn exchange(
        &self,
        caller: &Caller,
        decision: &Decision,
        target: &Target,
        mut request: Request<Sent>,
        times: &Times,
    ) -> Result<Response<Incoming>, CallError> {
        let destination = Destination {
            list: caller.allowed.number(),
            is_https: target.is_https,
            host: target.host.clone(),
            port: target.port,
        };
        let uri = request.uri().clone();
        let first_byte = times.first_byte;
        while let Some(sender) = self.pool.take(&destination) {
            match self
                .send_over(sender, &destination, request, first_byte)
                .await
            {
                Ok(answer) => return Ok(answer),
                // It was closed while it waited, and nothing of the request has left.
                Err(Lost::Unsent(unsent)) => request = *unsent,
                Err(Lost::Failed(error)) => return Err(error.into()),
            }
            *request.uri_mut() = uri.clone();
        }
        let connecting = self.connect(caller, decision, target);
        let sender = timeout(times.connect, connecting)
            .await
            .map_err(|_| Error::ConnectionTimeout)??;
        let sent = self.send_over(sender, &destination, request, first_byte);
        sent.await.map_err(|lost| match lost {
            Lost::Unsent(_) => Error::ConnectionTerminated.into(),
            Lost::Failed(error) => error.into(),
        })
    }

    async fn connect(
        &self,
        caller: &Caller,
        decision: &Decision,
        target: &Target,
    ) -> Result<Sender, CallError> {
        let permit = self.permit().await?;
        self.connector
            .connect(&caller.allowed, decision, target, permit)
            .await
            .map_err(|error| match error {
                ConnectError::Address => {
                    CallError::new(Refused::OutboundAddress, Error::DestinationIpProhibited)
                }
                ConnectError::Failed(error) => error.into(),
            })
    }

    /// Room for one more connection, for which one that only waits gives way.
    async fn permit(&self) -> Result<OwnedSemaphorePermit, CallError> {
        let full = || CallError::new(Refused::OutboundConnections, Error::ConnectionLimitReached);
        let connections = Arc::clone(&self.connections);
        if let Ok(permit) = Arc::clone(&connections).try_acquire_owned() {
            return Ok(permit);
        }
        if !self.pool.close_oldest() {
            return Err(full());
        }
        connections.acquire_owned().await.map_err(|_| full())
    }

    async fn send_over(
        &self,
        sender: Sender,
        destination: &Destination,
        request: Request<Sent>,
        first_byte: Duration,
    ) -> Result<Response<Incoming>, Lost> {
        let late = |_| Error::ConnectionReadTimeout;
        match sender {
            Sender::Http1(mut sender) => {
                if sender.ready().await.is_err() {
                    return Err(Lost::Unsent(Box::new(request)));
                }
                let answer = sender.try_send_request(for_http1(request));
                let answer = timeout(first_byte, answer).await.map_err(late)??;
                self.keep_when_ready(sender, destination);
                Ok(answer)
            }
            Sender::Http2(mut sender) => {
                if sender.ready().await.is_err() {
                    return Err(Lost::Unsent(Box::new(request)));
                }
                let answer = sender.try_send_request(for_http2(request));
                let answer = timeout(first_byte, answer).await.map_err(late)??;
                self.pool.put(destination.clone(), Sender::Http2(sender));
                Ok(answer)
            }
        }
    }

    /// Keeps a connection once its answer is complete; one whose answer is given up closes.
    fn keep_when_ready(
        &self,
        mut sender: hyper::client::conn::http1::SendRequest<Sent>,
        destination: &Destination,
    ) {
        let pool = Arc::downgrade(&self.pool);
        let destination = destination.clone();
        tokio::spawn(async move {
            if sender.ready().await.is_ok()
                && let Some(pool) = pool.upgrade()
            {
                pool.put(destination, Sender::Http1(sender));
            }
        });
    }
}

#[cfg(test)]
impl Outbound {
    /// Waits until so many connections wait.
    pub(super) async fn until_idle(&self, count: usize) {
        while self.pool.len() != count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until there is room for so many connections.
    pub(super) async fn until_room_for(&self, count: u32) {
        let _room = self.connections.acquire_many(count).await.unwrap();
    }
}

/// A request without an answer.
enum Lost {
    /// Nothing of it has left.
    Unsent(Box<Request<Sent>>),
    /// It may have left.
    Failed(Error),
}

impl From<Error> for Lost {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<TrySendError<Request<Sent>>> for Lost {
    fn from(mut error: TrySendError<Request<Sent>>) -> Self {
        match error.take_message() {
            Some(request) => Self::Unsent(Box::new(request)),
            None => Self::Failed(from_hyper(error.into_error())),
        }
    }
}

/// The guest's code for what became of an exchange.
fn from_hyper(error: hyper::Error) -> Error {
    let own = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<Error>());
    if let Some(Error::HttpRequestBodySize(limit)) = own {
        Error::HttpRequestBodySize(*limit)
    } else if error.is_parse_too_large() {
        Error::HttpResponseHeaderSectionSize(None)
    } else if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        Error::ConnectionTerminated
    } else {
        Error::Hyper(error)
    }
}

/// Counts a call in, for its request and for its function.
fn begin(caller: &Caller, allowance: &Allowance) -> Result<Running, CallError> {
    let refuse = |reason| CallError::new(reason, Error::ConnectionLimitReached);
    let of_request = allowance.begin().map_err(|used_up| match used_up {
        UsedUp::AtOnce => refuse(Refused::OutboundConnections),
        UsedUp::Calls => refuse(Refused::OutboundCalls),
    })?;
    let of_function = caller
        .allowed
        .begin()
        .ok_or_else(|| refuse(Refused::OutboundConnections))?;
    Ok(Running {
        _of_request: of_request,
        _of_function: of_function,
    })
}

fn target<B>(request: &Request<B>) -> Result<Target, Error> {
    if request.method() == Method::CONNECT {
        return Err(Error::HttpRequestMethodInvalid);
    }
    let uri = request.uri();
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

/// With the path alone as its target, and `Host` besides.
fn for_http1(mut request: Request<Sent>) -> Request<Sent> {
    if !request.headers().contains_key(HOST)
        && let Some(authority) = request.uri().authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        request.headers_mut().insert(HOST, host);
    }
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map(Uri::from).unwrap_or_default();
    *request.version_mut() = Version::HTTP_11;
    request
}

/// With scheme and host in its target, which stand there instead of `Host`.
fn for_http2(mut request: Request<Sent>) -> Request<Sent> {
    request.headers_mut().remove(HOST);
    *request.version_mut() = Version::HTTP_2;
    request
}
