use std::sync::{Arc, MutexGuard};

use http::{Request, Response};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::{ConnectError, PodBody, SendError, Upstream, liveness};
use crate::proxy::body::AttemptBody;

/// HTTP/2 connections to one pod. Each carries as many streams as the pod allows; more wait in it.
const CONNECTIONS: usize = 4;
/// Bytes of one answer that may be under way.
const STREAM_WINDOW: u32 = 256 * 1024;
/// Bytes of all answers of a connection that may be under way.
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;

/// An HTTP/2 connection.
#[derive(Clone, Debug)]
pub struct Shared {
    sender: SendRequest<AttemptBody>,
    used: bool,
}

impl Shared {
    /// The next open connection in turn, once there are as many as there may be.
    pub(super) fn open(upstream: &Upstream) -> Option<Self> {
        let mut connections = connections(upstream);
        connections.retain(|connection| !connection.sender.is_closed());
        if connections.len() < CONNECTIONS {
            return None;
        }
        connections.rotate_left(1);
        connections.last().cloned().map(|connection| Self {
            used: true,
            ..connection
        })
    }

    pub(super) async fn begin(
        upstream: &Arc<Upstream>,
        stream: TcpStream,
    ) -> Result<Self, ConnectError> {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(liveness::PING_EVERY)
            .keep_alive_timeout(liveness::PING_ANSWER)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(ConnectError::Handshake)?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a pod has ended");
            }
        });
        let shared = Self {
            sender,
            used: false,
        };
        let mut connections = connections(upstream);
        if connections.len() < CONNECTIONS {
            connections.push(shared.clone());
        }
        Ok(shared)
    }

    pub(super) const fn is_used(&self) -> bool {
        self.used
    }

    pub(super) async fn send(
        mut self,
        request: Request<AttemptBody>,
    ) -> Result<Response<PodBody>, SendError> {
        match self.sender.try_send_request(request).await {
            Ok(response) => Ok(response.map(PodBody::shared)),
            Err(mut error) => Err(match error.take_message() {
                Some(request) => SendError::NotSent(Box::new(request)),
                None => SendError::Lost(error.into_error()),
            }),
        }
    }
}

fn connections(upstream: &Upstream) -> MutexGuard<'_, Vec<Shared>> {
    upstream
        .shared
        .lock()
        .expect("nothing panics while it holds this lock")
}
