//! The body that a client sends.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use thiserror::Error;
use tokio::time::Sleep;

use super::BodyError;
use crate::{
    metrics::{Fault, GatewayMetrics},
    proxy::headers,
    routes::Entrance,
};

/// How long a client may send nothing of a body that is asked for.
#[derive(Clone, Debug)]
pub struct Pace {
    /// So long.
    pub within: Duration,
    /// Where the client came in.
    pub entrance: Entrance,
    /// Where one that is too slow is noted.
    pub metrics: Arc<GatewayMetrics>,
}

/// A client's body. Where it has broken off it stays so: however often it is asked for again, it
/// never comes to an end that could be taken for that of a whole one.
///
/// It breaks off, too, where a pod asks for it and nothing comes for a while. While no pod asks,
/// since it does not read or the request waits, the client has all the time.
#[derive(Debug)]
pub(super) struct Upload {
    body: UnsyncBoxBody<Bytes, BodyError>,
    pace: Pace,
    /// When the client is too late, counted since a pod has asked.
    late: Option<Pin<Box<Sleep>>>,
    broken: bool,
}

/// The client sends no more.
#[derive(Debug, Error)]
#[error("nothing more of the body came in time")]
struct SlowBody;

/// What came last was an error: hyper would say next that the body has come to its end.
#[derive(Debug, Error)]
#[error("the body has broken off")]
struct BrokenOff;

/// A frame, if there is one, or what is wrong with it.
type Next = Option<Result<Frame<Bytes>, BodyError>>;

impl Upload {
    pub(super) fn new<B>(body: B, pace: Pace) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
    {
        Self {
            body: body.map_err(Into::into).boxed_unsync(),
            pace,
            late: None,
            broken: false,
        }
    }

    /// What has come, without asking the client for more.
    pub(super) fn poll_come(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        if self.broken {
            return Poll::Ready(Some(Err(BrokenOff.into())));
        }
        let next = ready!(Pin::new(&mut self.body).poll_frame(context));
        self.broken = matches!(next, Some(Err(_)));
        Poll::Ready(next.map(|frame| frame.map(without_hop_by_hop)))
    }

    /// What a pod gets that asks for more.
    pub(super) fn poll_asked(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        // First what is there: a pod may have kept it waiting for longer than that.
        if let Poll::Ready(next) = self.poll_come(context) {
            self.late = None;
            return Poll::Ready(next);
        }
        let within = self.pace.within;
        let late = self
            .late
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(within)));
        ready!(late.as_mut().poll(context));
        self.broken = true;
        self.pace.metrics.fault(self.pace.entrance, Fault::SlowBody);
        Poll::Ready(Some(Err(SlowBody.into())))
    }

    /// The pod that asked does so no more.
    pub(super) fn ask_no_more(&mut self) {
        self.late = None;
    }

    pub(super) const fn is_broken(&self) -> bool {
        self.broken
    }

    pub(super) fn is_at_end(&self) -> bool {
        !self.broken && self.body.is_end_stream()
    }

    /// What is left of it.
    pub(super) fn take_rest(&mut self) -> UnsyncBoxBody<Bytes, BodyError> {
        std::mem::take(&mut self.body)
    }
}

fn without_hop_by_hop(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            headers::of_trailers(&mut trailers);
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}
