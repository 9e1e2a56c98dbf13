//! Bodies of calls, counted as they pass and given up where they stall.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep, sleep},
};
use wasmtime_wasi_http::{Error, WasiBody};

use super::{Caller, allowance::Allowance};
use crate::sandbox::Refused;

/// What a guest sends.
pub(super) struct Sent {
    pub(super) inner: WasiBody,
    pub(super) caller: Caller,
    pub(super) allowance: Arc<Allowance>,
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        let Poll::Ready(Some(Ok(frame))) = &polled else {
            return polled;
        };
        let volume = self.allowance.sent();
        if volume.take(length(frame)) {
            return polled;
        }
        let limit = volume.limit_bytes();
        too_much(&self.caller, "sent", limit);
        Poll::Ready(Some(Err(Error::HttpRequestBodySize(Some(limit)))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// What a guest receives. The call counts as running until this is dropped.
pub(super) struct Received {
    inner: Incoming,
    caller: Caller,
    allowance: Arc<Allowance>,
    pause_limit: Duration,
    timer: Pin<Box<Sleep>>,
    _running: Running,
}

/// A call that is under way: one of its request's, and one of its function's.
pub(super) struct Running {
    pub(super) _of_request: OwnedSemaphorePermit,
    pub(super) _of_function: OwnedSemaphorePermit,
}

impl Received {
    /// A body that may pause for at most `pause_limit`.
    pub(super) fn new(
        inner: Incoming,
        caller: Caller,
        allowance: Arc<Allowance>,
        pause_limit: Duration,
        running: Running,
    ) -> Self {
        Self {
            inner,
            caller,
            allowance,
            pause_limit,
            timer: Box::pin(sleep(pause_limit)),
            _running: running,
        }
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = match Pin::new(&mut self.inner).poll_frame(context) {
            Poll::Pending if self.timer.as_mut().poll(context).is_ready() => {
                return Poll::Ready(Some(Err(Error::ConnectionReadTimeout)));
            }
            Poll::Pending => return Poll::Pending,
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(Some(Ok(frame))) => frame,
        };
        let next_at = Instant::now() + self.pause_limit;
        self.timer.as_mut().reset(next_at);
        let volume = self.allowance.received();
        if volume.take(length(&frame)) {
            return Poll::Ready(Some(Ok(frame)));
        }
        let limit = volume.limit_bytes();
        too_much(&self.caller, "received", limit);
        Poll::Ready(Some(Err(Error::HttpResponseBodySize(Some(limit)))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn length(frame: &Frame<Bytes>) -> u64 {
    frame.data_ref().map_or(0, Bytes::len) as u64
}

fn too_much(caller: &Caller, direction: &str, limit_bytes: u64) {
    let message = format!("the calls of one request {direction} more than {limit_bytes} bytes");
    caller.log.refused(Refused::OutboundBytes, &message);
}
