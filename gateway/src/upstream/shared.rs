use std::sync::{Arc, MutexGuard};

use http::{Request, Response};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::{ConnectError, PodBody, SendError, Sending, Upstream, liveness};
use crate::proxy::body::AttemptBody;

/// HTTP/2 connections to one pod. Each carries as many streams as the pod allows; more wait in it.
const CONNECTIONS: usize = 4;
/// Largest head of a pod's answer, where each header counts 32 bytes more than it has (RFC 9113, 6.5.2):
/// pods let guests have 64 KiB in 200 headers, and add their own.
const HEAD_BYTES: u32 = 128 * 1024;
/// Bytes of one answer that may be under way.
const STREAM_WINDOW: u32 = 64 * 1024;
/// Bytes of all answers of a connection that may be under way: as many as there can be, so that answers
/// which nobody takes hold up no others. Half of it is also what h2 allows for the frames of such answers
/// being small, before it ends the connection.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;
/// Answers that a pod sends at the same time over a connection, at most.
const MAX_STREAMS: u32 = 1000;
const _: () = assert!(CONNECTION_WINDOW / STREAM_WINDOW >= MAX_STREAMS);

/// An HTTP/2 connection for several requests, or for one whose body the pod reads when it likes: unread, it
/// would take what the pod lets all bodies of a connection have under way.
#[derive(Clone, Debug)]
pub struct Shared {
    sender: SendRequest<AttemptBody>,
    used: bool,
}

impl Shared {
    /// The next open connection in turn, once there are as many as there may be.
    pub(super) fn open(upstream: &Upstream, sending: Sending) -> Option<Self> {
        if sending == Sending::Streaming {
            return None;
        }
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
        sending: Sending,
        stream: TcpStream,
    ) -> Result<Self, ConnectError> {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEAD_BYTES)
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
        if sending == Sending::InHand {
            shared.offer(upstream);
        }
        Ok(shared)
    }

    /// Lets other requests use it, if they have not enough.
    fn offer(&self, upstream: &Upstream) {
        let mut connections = connections(upstream);
        if connections.len() < CONNECTIONS {
            connections.push(self.clone());
        }
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
