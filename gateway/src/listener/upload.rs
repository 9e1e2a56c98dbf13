//! The body that a client sends.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use thiserror::Error;
use tokio::time::Sleep;

use super::activity::Activity;
use crate::{
    metrics::Fault,
    proxy::{body::BodyError, headers},
};

/// A client's body. Where it has broken off it stays so: however often it is asked for again, it
/// never comes to an end that could be taken for that of a whole one.
///
/// It breaks off, too, where it is asked for and nothing comes for a while. While nobody asks, since
/// a pod does not read or the request waits, the client has all the time.
#[derive(Debug)]
pub struct Upload {
    body: Incoming,
    within: Duration,
    late: Option<Pin<Box<Sleep>>>,
    broken: bool,
    activity: Arc<Activity>,
}

/// The client sends no more.
#[derive(Debug, Error)]
#[error("nothing more of the body came in time")]
struct SlowBody;

/// What came last was an error: hyper would say next that the body has come to its end.
#[derive(Debug, Error)]
#[error("the body has broken off")]
struct BrokenOff;

impl Upload {
    /// Paces `body`.
    pub const fn new(body: Incoming, within: Duration, activity: Arc<Activity>) -> Self {
        Self {
            body,
            within,
            late: None,
            broken: false,
            activity,
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this.broken {
            return Poll::Ready(Some(Err(BrokenOff.into())));
        }
        // First what is there: a pod may have kept it waiting for longer than that.
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            this.late = None;
            this.broken = matches!(frame, Some(Err(_)));
            return Poll::Ready(frame.map(|frame| match frame {
                Ok(frame) => Ok(without_hop_by_hop(frame)),
                Err(error) => Err(error.into()),
            }));
        }
        let within = this.within;
        let late = this
            .late
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(within)));
        ready!(late.as_mut().poll(context));
        this.broken = true;
        this.activity.note(Fault::SlowBody);
        Poll::Ready(Some(Err(SlowBody.into())))
    }

    fn is_end_stream(&self) -> bool {
        !self.broken && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
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
