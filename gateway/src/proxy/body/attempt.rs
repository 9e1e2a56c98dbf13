use std::{
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{
    BodyError,
    held::{Inner, lock},
};

/// A request's body on its way to one pod.
#[derive(Debug, Default)]
pub struct AttemptBody {
    held: Option<Held>,
    done: Progress,
}

#[derive(Debug)]
struct Held {
    inner: Arc<Mutex<Inner>>,
    attempt: u32,
    /// Nothing passes before the pod has begun.
    withheld: bool,
    hint: SizeHint,
}

/// Whether a body was handed over to its end.
#[derive(Clone, Debug, Default)]
pub struct Progress(Option<Arc<AtomicBool>>);

impl Progress {
    /// Whether it was.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.0
            .as_ref()
            .is_none_or(|done| done.load(Ordering::Acquire))
    }

    fn set_done(&self) {
        if let Some(done) = &self.0 {
            done.store(true, Ordering::Release);
        }
    }
}

impl AttemptBody {
    /// The body of a request that has none.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    pub(super) fn new(
        inner: Arc<Mutex<Inner>>,
        attempt: u32,
        withheld: bool,
        hint: SizeHint,
    ) -> Self {
        Self {
            held: Some(Held {
                inner,
                attempt,
                withheld,
                hint,
            }),
            done: Progress(Some(Arc::default())),
        }
    }

    /// Follows how far it is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.done.clone()
    }
}

impl Body for AttemptBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(held) = &mut self.held else {
            return Poll::Ready(None);
        };
        let mut inner = lock(&held.inner);
        if held.withheld {
            ready!(inner.poll_open(held.attempt, context));
            held.withheld = false;
        }
        let frame = inner.poll_frame(held.attempt, context);
        let done = inner.is_done(held.attempt);
        drop(inner);
        if done {
            self.done.set_done();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        // One that another attempt has followed may have got all of it before.
        self.held
            .as_ref()
            .is_none_or(|held| self.done.is_done() || lock(&held.inner).is_done(held.attempt))
    }

    fn size_hint(&self) -> SizeHint {
        self.held
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), |held| held.hint)
    }
}
