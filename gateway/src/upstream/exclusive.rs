use std::{
    collections::VecDeque,
    sync::{Arc, MutexGuard, Weak},
    time::{Duration, Instant},
};

use http::{Request, Response};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::AbortHandle};

use super::{ConnectError, PodBody, SendError, Upstream};
use crate::proxy::body::AttemptBody;

/// Idle connections to one pod; more are closed.
const IDLE_MOST: usize = 256;
/// A connection that was idle for so long is closed. Pods keep theirs for longer, so that it is
/// the gateway that closes and no request meets a connection that the pod closes just then.
const IDLE_LONGEST: Duration = Duration::from_secs(10);
/// Largest head of a pod's answer, in bytes.
const HEAD_BYTES: usize = 256 * 1024;

/// Idle connections, the one used last at the back.
pub(super) type Idle = VecDeque<(Instant, Exclusive)>;

/// An HTTP/1.1 connection for one request at a time. Dropped, it is closed.
#[derive(Debug)]
pub struct Exclusive {
    upstream: Weak<Upstream>,
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
    /// The connection that became idle last and takes requests. One that has just been given back
    /// may need a moment before it does.
    pub(super) fn idle(upstream: &Upstream) -> Option<Self> {
        let mut idle = idle(upstream);
        expire(&mut idle, Instant::now());
        idle.retain(|(_, connection)| !connection.sender.is_closed());
        let ready = idle
            .iter()
            .rposition(|(_, connection)| connection.sender.is_ready())?;
        idle.remove(ready).map(|(_, connection)| connection)
    }

    pub(super) async fn begin(
        upstream: &Arc<Upstream>,
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
            sender,
            task: task.abort_handle(),
            used: false,
        })
    }

    pub(super) const fn is_used(&self) -> bool {
        self.used
    }

    pub(super) async fn send(
        mut self,
        request: Request<AttemptBody>,
    ) -> Result<Response<PodBody>, SendError> {
        let sent = request.body().progress();
        match self.sender.try_send_request(request).await {
            Ok(response) => {
                self.used = true;
                Ok(response.map(|body| PodBody::exclusive(body, self, sent)))
            }
            Err(mut error) => Err(match error.take_message() {
                Some(request) => SendError::NotSent(Box::new(request)),
                None => SendError::Lost(error.into_error()),
            }),
        }
    }

    /// Keeps the connection for another request.
    pub(super) fn park(self) {
        let Some(upstream) = self.upstream.upgrade() else {
            return;
        };
        if self.sender.is_closed() {
            return;
        }
        let mut idle = idle(&upstream);
        let now = Instant::now();
        expire(&mut idle, now);
        if idle.len() < IDLE_MOST {
            idle.push_back((now, self));
        }
    }
}

fn idle(upstream: &Upstream) -> MutexGuard<'_, Idle> {
    upstream
        .idle
        .lock()
        .expect("nothing panics while it holds this lock")
}

fn expire(idle: &mut Idle, now: Instant) {
    while idle
        .front()
        .is_some_and(|(since, _)| now.duration_since(*since) > IDLE_LONGEST)
    {
        idle.pop_front();
    }
}
