use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::Exclusive;
use crate::proxy::body::Progress;

/// The body of a pod's answer. Read to its end, it gives its connection back; dropped before, it
/// ends the request in the pod.
#[derive(Debug)]
pub struct PodBody {
    body: Incoming,
    exclusive: Option<(Exclusive, Progress)>,
    /// It has broken off, which the next look at it tells.
    broken: Option<hyper::Error>,
}

impl PodBody {
    pub(super) fn exclusive(body: Incoming, connection: Exclusive, sent: Progress) -> Self {
        let mut this = Self {
            body,
            exclusive: Some((connection, sent)),
            broken: None,
        };
        if this.body.is_end_stream() {
            this.give_back();
        }
        this
    }

    pub(super) const fn shared(body: Incoming) -> Self {
        Self {
            body,
            exclusive: None,
            broken: None,
        }
    }

    /// A connection on which the request is still being sent is not free: it is closed.
    fn give_back(&mut self) {
        if let Some((connection, sent)) = self.exclusive.take()
            && sent.is_done()
        {
            connection.park();
        }
    }
}

impl Body for PodBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let Self {
            body, exclusive, ..
        } = &mut *self;
        let mut next = |context: &mut Context<'_>| Pin::new(&mut *body).poll_frame(context);
        let frame = ready!(match exclusive {
            Some((connection, _)) => connection.poll(context, next),
            None => next(context),
        });
        match frame {
            None => self.give_back(),
            Some(Ok(_)) if self.body.is_end_stream() => self.give_back(),
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                self.exclusive = None;
                // The client gets the head, and what came of the body, before it is cut off.
                self.broken = Some(error);
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.broken.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
