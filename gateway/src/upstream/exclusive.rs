use std::{
    future::poll_fn,
    pin::pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
};

use http::{Request, Response};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{ConnectError, PodBody, SendError, Sending, Upstream, driver::Driver};
use crate::proxy::body::AttemptBody;

/// Largest head of a pod's answer, in bytes.
const HEAD_BYTES: usize = 256 * 1024;
/// Most headers of a pod's answer: pods let guests have 200, and add their own.
const HEADERS: usize = 256;

/// An HTTP/1.1 connection for one request at a time. Dropped, it is closed.
#[derive(Debug)]
pub struct Exclusive {
    upstream: Weak<Upstream>,
    /// What kind of requests it is for.
    sending: Sending,
    sender: SendRequest<AttemptBody>,
    driver: Driver,
    used: bool,
}

impl Exclusive {
    pub(super) async fn begin(
        upstream: &Arc<Upstream>,
        sending: Sending,
        stream: TcpStream,
    ) -> Result<Self, ConnectError> {
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES)
            .max_headers(HEADERS)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(ConnectError::Handshake)?;
        Ok(Self {
            upstream: Arc::downgrade(upstream),
            sending,
            sender,
            driver: Driver::new(connection, sending),
            used: false,
        })
    }

    pub(super) const fn is_used(&self) -> bool {
        self.used
    }

    /// Whether the pod has closed it, looked at now.
    pub(super) fn is_closed(&mut self) -> bool {
        self.driver.idle();
        self.sender.is_closed()
    }

    /// Whether it took requests when it was last looked at. One that has just been given back may need a
    /// moment.
    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    /// Looks what has come of `work`, which goes on with what the connection brings.
    pub(super) fn poll<T>(
        &mut self,
        context: &mut Context<'_>,
        work: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.driver.poll(context, work)
    }

    pub(super) async fn send(
        mut self,
        request: Request<AttemptBody>,
    ) -> Result<Response<PodBody>, SendError> {
        let sent = request.body().progress();
        let mut answer = pin!(self.sender.try_send_request(request));
        let answered = poll_fn(|context| {
            self.driver
                .poll(context, |context| answer.as_mut().poll(context))
        });
        match answered.await {
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
            upstream.park(self.sending, self);
        }
    }
}
