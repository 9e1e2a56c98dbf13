//! Connections to one pod.
//!
//! Requests go over HTTP/1.1, each alone on its connection: one that is not read does not hold up
//! another, all of the pod's threads have work, and a client that is gone ends its guest by
//! closing. What needs trailers in both directions (gRPC) goes over HTTP/2 with prior knowledge,
//! which alone carries them without announcement.

use std::{net::SocketAddr, sync::Mutex, time::Duration};

use http::{Request, Response};
use thiserror::Error;
use tokio::net::TcpStream;

mod exclusive;
mod response;
mod shared;

pub use exclusive::Exclusive;
pub use response::PodBody;
pub use shared::Shared;

use crate::proxy::body::AttemptBody;

/// How a request travels to a pod.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
}

/// Idle connections and shared ones.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    idle: Mutex<exclusive::Idle>,
    shared: Mutex<Vec<Shared>>,
}

/// A connection that one request may use.
#[derive(Debug)]
pub enum Connection {
    /// For this request alone.
    Exclusive(Exclusive),
    /// Together with others.
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
            idle: Mutex::default(),
            shared: Mutex::default(),
        }
    }

    /// A connection that is free, or a new one.
    ///
    /// # Errors
    /// [`ConnectError`] where a new one cannot be made within `timeout`.
    pub async fn connection(
        self: &std::sync::Arc<Self>,
        protocol: Protocol,
        timeout: Duration,
    ) -> Result<Connection, ConnectError> {
        let found = match protocol {
            Protocol::Http1 => Exclusive::idle(self).map(Connection::Exclusive),
            Protocol::Http2 => Shared::open(self).map(Connection::Shared),
        };
        if let Some(connection) = found {
            return Ok(connection);
        }
        let connecting = async {
            let stream = TcpStream::connect(self.address)
                .await
                .map_err(ConnectError::Connect)?;
            stream.set_nodelay(true).map_err(ConnectError::Connect)?;
            match protocol {
                Protocol::Http1 => Exclusive::begin(self, stream)
                    .await
                    .map(Connection::Exclusive),
                Protocol::Http2 => Shared::begin(self, stream).await.map(Connection::Shared),
            }
        };
        tokio::time::timeout(timeout, connecting)
            .await
            .unwrap_or(Err(ConnectError::Time(timeout)))
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
