use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

use super::{BodyError, HeldBody};
use crate::{counts::Counted, endpoints::Load, metrics::Timing, queue::Slot, upstream::PodBody};

/// The body that a client gets.
#[derive(Debug)]
pub enum AnswerBody {
    /// Of the gateway's own making.
    Own(Full<Bytes>),
    /// From a pod. Where it breaks off, so does what the client gets: it is never completed.
    Pod(Box<FromPod>),
}

/// A pod's answer and what lasts as long as it does.
#[derive(Debug)]
pub struct FromPod {
    body: PodBody,
    _following: Following,
}

/// What is held until a request is answered in full, or its client is gone.
#[derive(Debug)]
pub struct Following {
    /// The request's body, if any: ends its sending.
    pub sent: Option<HeldBody>,
    /// The request in the pod.
    pub load: Load,
    /// The request in the function's counts.
    pub counted: Counted,
    /// How long the request has taken.
    pub timing: Timing,
    /// Last of all: its slot is free.
    pub slot: Slot,
}

impl AnswerBody {
    /// The pod's answer.
    #[must_use]
    pub fn pod(body: PodBody, following: Following) -> Self {
        Self::Pod(Box::new(FromPod {
            body,
            _following: following,
        }))
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Own(body) => Pin::new(body)
                .poll_frame(context)
                .map_err(|never| match never {}),
            Self::Pod(from) => Pin::new(&mut from.body)
                .poll_frame(context)
                .map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(body) => body.is_end_stream(),
            Self::Pod(from) => from.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(body) => body.size_hint(),
            Self::Pod(from) => from.body.size_hint(),
        }
    }
}
