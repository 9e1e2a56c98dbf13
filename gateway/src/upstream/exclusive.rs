use std::sync::{Arc, Weak};

use http::{Request, Response};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::AbortHandle};

use super::{ConnectError, PodBody, SendError, Sending, Upstream};
use crate::proxy::body::AttemptBody;

/// Largest head of a pod's answer, in bytes.
const HEAD_BYTES: usize = 256 * 1024;

/// An HTTP/1.1 connection for one request at a time. Dropped, it is closed.
#[derive(Debug)]
pub struct Exclusive {
    upstream: Weak<Upstream>,
    /// What kind of requests it is for.
    sending: Sending,
    sender: SendRequest<AttemptBody>,
    task: AbortHandle,
    used: bool,
}

impl Drop for Exclusive {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Exclusive {
    pub(super) async fn begin(
        upstream: &Arc<Upstream>,
        sending: Sending,
        stream: TcpStream,
    ) -> Result<Self, ConnectError> {
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(ConnectError::Handshake)?;
        let task = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a pod has ended");
            }
        });
        Ok(Self {
            upstream: Arc::downgrade(upstream),
            sending,
            sender,
            task: task.abort_handle(),
            used: false,
        })
    }

    pub(super) const fn is_used(&self) -> bool {
        self.used
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Whether it takes a request now. One that has just been given back needs a moment.
    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    pub(super) async fn send(
        mut self,
        request: Request<AttemptBody>,
    ) -> Result<Response<PodBody>, SendError> {
        let sent = request.body().progress();
        match self.sender.try_send_request(request).await {
            Ok(response) => Ok(response.map(|body| PodBody::exclusive(body, self, sent))),
            Err(mut error) => Err(match error.take_message() {
                Some(request) => SendError::NotSent(Box::new(request)),
                None => SendError::Lost(error.into_error()),
            }),
        }
    }

    /// Keeps the connection for another request. The pod may close it meanwhile.
    pub(super) fn park(mut self) {
        self.used = true;
        if let Some(upstream) = self.upstream.upgrade()
            && !self.is_closed()
        {
            upstream.idle(self.sending).put(self);
        }
    }
}
