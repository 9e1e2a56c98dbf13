use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};

use super::{
    AttemptBody, BodyError,
    budget::{Budget, Share},
};

/// Bytes of one request's body that are kept, at most, while no pod is known to have begun it.
pub const KEPT_BYTES: usize = 64 * 1024;

/// The body of a client's request. Nothing of it is read before a pod is tried. Its first
/// [`KEPT_BYTES`] are kept, so that another pod can be tried; then it stops, until the pod says
/// that it has begun ([`open`](Self::open)). Dropped, it ends whatever attempt still reads it.
#[derive(Debug)]
pub struct HeldBody(Arc<Mutex<Inner>>);

#[derive(Debug)]
pub(super) struct Inner {
    body: UnsyncBoxBody<Bytes, BodyError>,
    kept: Vec<Piece>,
    kept_bytes: usize,
    share: Share,
    /// Bytes to keep before a pod has begun; beyond them nothing is read until then.
    limit: usize,
    hint: SizeHint,
    /// All that was read is kept.
    whole: bool,
    open: bool,
    ended: bool,
    failed: bool,
    /// Number of the attempt that may read.
    attempt: u32,
    waker: Option<Waker>,
}

#[derive(Clone, Debug)]
enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl Piece {
    fn frame(self) -> Frame<Bytes> {
        match self {
            Self::Data(data) => Frame::data(data),
            Self::Trailers(trailers) => Frame::trailers(trailers),
        }
    }
}

/// An attempt reads no more: another one has taken its place, or the client is gone.
#[derive(Debug, thiserror::Error)]
#[error("the attempt was given up")]
struct GivenUp;

impl HeldBody {
    /// Holds `body`, keeping what `budget` allows.
    pub fn new<B>(body: B, budget: &Budget) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
    {
        let hint = body.size_hint();
        let expected = hint
            .upper()
            .and_then(|bytes| usize::try_from(bytes).ok())
            .unwrap_or(usize::MAX);
        let share = budget.take(expected.min(KEPT_BYTES));
        Self(Arc::new(Mutex::new(Inner {
            ended: body.is_end_stream(),
            body: body.map_err(Into::into).boxed_unsync(),
            kept: Vec::new(),
            kept_bytes: 0,
            // A short one of known length is kept to its end.
            limit: if share.bytes() == expected {
                usize::MAX
            } else {
                share.bytes()
            },
            share,
            hint,
            whole: true,
            open: false,
            failed: false,
            attempt: 0,
            waker: None,
        })))
    }

    /// The body for the next attempt, from its beginning. Ends the attempt before.
    #[must_use]
    pub fn attempt(&self) -> AttemptBody {
        let mut inner = lock(&self.0);
        let hint = inner.hint.clone();
        let attempt = inner.supersede();
        drop(inner);
        AttemptBody::new(self.0.clone(), attempt, hint)
    }

    /// A pod has begun, or must have by now: lets everything through.
    pub fn open(&self) {
        open(&self.0);
    }

    /// What [`open`](Self::open) does, for whoever hears from the pod first.
    #[must_use]
    pub fn opener(&self) -> impl Fn() + Send + Sync + use<> {
        let inner = self.0.clone();
        move || open(&inner)
    }

    /// Whether another pod could be sent the whole of it.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let inner = lock(&self.0);
        inner.whole && !inner.failed
    }

    /// Whether the client broke off.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        lock(&self.0).failed
    }

    /// Whether it has more than may be kept, or an unknown length: an attempt then asks the pod to
    /// say when it begins.
    #[must_use]
    pub fn is_long(&self) -> bool {
        lock(&self.0).limit != usize::MAX
    }

    /// No other pod will be tried: lets go of what was kept.
    pub fn settle(&self) {
        let mut inner = lock(&self.0);
        inner.share.give_back();
        inner.let_through();
    }
}

impl Drop for HeldBody {
    fn drop(&mut self) {
        lock(&self.0).supersede();
    }
}

pub(super) fn lock(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    inner
        .lock()
        .expect("nothing panics while it holds this lock")
}

fn open(inner: &Mutex<Inner>) {
    lock(inner).let_through();
}

impl Inner {
    fn supersede(&mut self) -> u32 {
        self.attempt += 1;
        self.wake();
        self.attempt
    }

    fn let_through(&mut self) {
        self.open = true;
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// The frame at `next` for `attempt`.
    pub(super) fn poll_frame(
        &mut self,
        attempt: u32,
        next: &mut usize,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.attempt != attempt {
            return Poll::Ready(Some(Err(GivenUp.into())));
        }
        if let Some(piece) = self.kept.get(*next) {
            *next += 1;
            return Poll::Ready(Some(Ok(piece.clone().frame())));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        if !self.open && self.kept_bytes >= self.limit {
            self.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Pending => {
                self.waker = Some(context.waker().clone());
                Poll::Pending
            }
            Poll::Ready(None) => {
                self.ended = true;
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                self.failed = true;
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(Some(Ok(frame))) => {
                self.ended = self.body.is_end_stream();
                let Some(piece) = piece(frame) else {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                };
                self.keep(&piece, next);
                Poll::Ready(Some(Ok(piece.frame())))
            }
        }
    }

    fn keep(&mut self, piece: &Piece, next: &mut usize) {
        if !self.whole {
            return;
        }
        if let Piece::Data(data) = piece {
            self.kept_bytes += data.len();
        }
        // One frame may pass the share: it was read before its size was known.
        if self.open && self.kept_bytes > self.share.bytes() {
            self.whole = false;
            self.kept = Vec::new();
            *next = 0;
        } else {
            self.kept.push(piece.clone());
            *next = self.kept.len();
        }
    }

    pub(super) fn is_done(&self, next: usize) -> bool {
        self.ended && next >= self.kept.len()
    }
}

fn piece(frame: Frame<Bytes>) -> Option<Piece> {
    match frame.into_data() {
        Ok(data) => Some(Piece::Data(data)),
        Err(frame) => frame.into_trailers().ok().map(Piece::Trailers),
    }
}
