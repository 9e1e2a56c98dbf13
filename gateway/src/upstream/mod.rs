//! Connections to one pod.
//!
//! Requests go over HTTP/1.1, each alone on its connection: one that is not read does not hold up
//! another, all of the pod's threads have work, and a client that is gone ends its guest by
//! closing. What needs trailers in both directions (gRPC) goes over HTTP/2 with prior knowledge,
//! which alone carries them without announcement; together with others if its body is here already.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use http::{Request, Response};
use thiserror::Error;
use tokio::{net::TcpStream, sync::Semaphore};

mod bell;
mod driver;
mod exclusive;
mod idle;
mod liveness;
mod response;
mod shared;

pub use exclusive::Exclusive;
pub use response::PodBody;
pub use shared::Shared;

use crate::proxy::body::AttemptBody;
use idle::Idle;

/// Connections to one pod that are being made at the same time; more wait their turn. Below any
/// kernel's queue of connections that nobody has accepted yet, beyond which it drops them silently.
const CONNECTING_MOST: usize = 128;

/// How a request travels to a pod.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
}

/// What a request sends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sending {
    /// A head, and a short body that is here already.
    InHand,
    /// A body that the pod reads when it likes.
    Streaming,
}

/// Idle connections and shared ones.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    in_hand: Idle,
    streaming: Idle,
    shared: Mutex<Vec<Shared>>,
    connecting: Semaphore,
}

/// A connection that one request may use.
#[derive(Debug)]
pub enum Connection {
    /// For this request alone.
    Exclusive(Exclusive),
    /// Over HTTP/2, together with others or alone.
    Shared(Shared),
}

/// The pod could not be reached.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The connection was refused or failed.
    #[error("cannot connect to the pod")]
    Connect(#[source] std::io::Error),
    /// Nothing came back in time.
    #[error("the pod did not take the connection within {} ms", .0.as_millis())]
    Time(Duration),
    /// It does not speak HTTP.
    #[error("cannot begin HTTP with the pod")]
    Handshake(#[source] hyper::Error),
}

/// The request was not answered.
#[derive(Debug)]
pub enum SendError {
    /// Nothing of it was sent: it comes back.
    NotSent(Box<Request<AttemptBody>>),
    /// The connection was lost after something was sent.
    Lost(hyper::Error),
}

impl Upstream {
    /// No connection yet.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            in_hand: Idle::default(),
            streaming: Idle::default(),
            shared: Mutex::default(),
            connecting: Semaphore::new(CONNECTING_MOST),
        }
    }

    /// A connection that is free, or a new one.
    ///
    /// # Errors
    /// [`ConnectError`] where a new one cannot be made within `timeout`.
    pub async fn connection(
        self: &Arc<Self>,
        protocol: Protocol,
        sending: Sending,
        timeout: Duration,
    ) -> Result<Connection, ConnectError> {
        let found = match protocol {
            Protocol::Http1 => self.idle(sending).take().map(Connection::Exclusive),
            Protocol::Http2 => Shared::open(self, sending).map(Connection::Shared),
        };
        if let Some(connection) = found {
            return Ok(connection);
        }
        match protocol {
            Protocol::Http1 => self
                .exclusive(sending, timeout)
                .await
                .map(Connection::Exclusive),
            Protocol::Http2 => {
                let stream = self.connect(Sending::Streaming, timeout).await?;
                Shared::begin(self, sending, stream)
                    .await
                    .map(Connection::Shared)
            }
        }
    }

    /// Makes a connection and keeps it for a request.
    ///
    /// # Errors
    /// [`ConnectError`] where it cannot be made within `timeout`.
    pub async fn warm(self: &Arc<Self>, timeout: Duration) -> Result<(), ConnectError> {
        self.exclusive(Sending::InHand, timeout).await?.park();
        Ok(())
    }

    /// Closes idle connections: the pod has proved not to be where they lead.
    pub fn forget(&self) {
        self.in_hand.clear();
        self.streaming.clear();
    }

    async fn exclusive(
        self: &Arc<Self>,
        sending: Sending,
        timeout: Duration,
    ) -> Result<Exclusive, ConnectError> {
        let stream = self.connect(sending, timeout).await?;
        Exclusive::begin(self, sending, stream).await
    }

    async fn connect(
        &self,
        sending: Sending,
        timeout: Duration,
    ) -> Result<TcpStream, ConnectError> {
        let connecting = async {
            // Never closed; without a permit it would be one more that is made.
            let _permit = self.connecting.acquire().await.ok();
            let stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            liveness::watch_over(&stream, sending)?;
            Ok(stream)
        };
        tokio::time::timeout(timeout, connecting)
            .await
            .map_err(|_| ConnectError::Time(timeout))?
            .map_err(ConnectError::Connect)
    }

    /// Keeps a connection until it is used, or was idle for too long.
    fn park(self: &Arc<Self>, sending: Sending, connection: Exclusive) {
        if self.idle(sending).put(connection) {
            let upstream = Arc::downgrade(self);
            tokio::spawn(async move {
                let mut next = Some(Instant::now() + idle::LONGEST);
                while let Some(at) = next {
                    tokio::time::sleep_until(at.into()).await;
                    let Some(upstream) = upstream.upgrade() else {
                        return;
                    };
                    next = upstream.idle(sending).expire(Instant::now());
                }
            });
        }
    }

    const fn idle(&self, sending: Sending) -> &Idle {
        match sending {
            Sending::InHand => &self.in_hand,
            Sending::Streaming => &self.streaming,
        }
    }
}

impl Connection {
    /// Whether it was used before: the pod may have closed it just now.
    #[must_use]
    pub const fn is_used(&self) -> bool {
        match self {
            Self::Exclusive(exclusive) => exclusive.is_used(),
            Self::Shared(shared) => shared.is_used(),
        }
    }

    /// Sends the request and waits for the head of the answer. Dropping this future, or the body
    /// before its end, ends the request in the pod too.
    ///
    /// # Errors
    /// [`SendError`]
    pub async fn send(self, request: Request<AttemptBody>) -> Result<Response<PodBody>, SendError> {
        match self {
            Self::Exclusive(exclusive) => exclusive.send(request).await,
            Self::Shared(shared) => shared.send(request).await,
        }
    }
}
