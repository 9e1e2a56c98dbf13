use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::{
    AttemptBody, BodyError,
    budget::{Account, Budget, Share},
    linger,
    upload::{Pace, Upload},
};
use crate::upstream::Protocol;

/// Bytes of one request's body that are kept, at most, while no pod is known to have begun it.
pub const KEPT_BYTES: usize = 64 * 1024;
/// A body of at most so many bytes may be gathered before a pod is tried.
const SHORT_BYTES: usize = 16 * 1024;
/// Time for that: a short body mostly comes together with its head.
const SHORT_WITHIN: Duration = Duration::from_millis(5);

/// The body of a client's request, held until a pod is known to have begun.
///
/// A short one is gathered and passed on at once, as often as it takes. Of any other, a pod gets
/// nothing over HTTP/1.1 before it says that it has begun ([`open`](Self::open)): a pod that refuses
/// and closes while a body still comes in would have its refusal lost on the way. Over HTTP/2,
/// where a refusal cannot be lost so, the first [`KEPT_BYTES`] pass before that and are kept.
///
/// Dropped, it ends whatever attempt still reads it.
#[derive(Debug)]
pub struct HeldBody(Arc<Mutex<Inner>>);

/// What may be kept of a body.
#[derive(Debug)]
pub struct Keeping<'a> {
    /// Of all requests.
    pub budget: &'a Budget,
    /// Of the function's.
    pub account: &'a Account,
    /// How the request travels.
    pub protocol: Protocol,
    /// The client sends nothing before it is told to, which the server does when the body is first
    /// read.
    pub expects: bool,
    /// The request may be sent to another pod after one has begun it.
    pub repeatable: bool,
    /// How slowly the client may send it.
    pub pace: Pace,
}

impl Keeping<'_> {
    /// Bytes to set apart for a body of `expected` bytes while no pod has begun: what may be read of
    /// it by then.
    fn first_bytes(&self, expected: usize) -> usize {
        match self.protocol {
            _ if self.expects => 0,
            Protocol::Http2 => expected.min(KEPT_BYTES),
            Protocol::Http1 if expected == usize::MAX => SHORT_BYTES,
            Protocol::Http1 if expected > SHORT_BYTES => 0,
            Protocol::Http1 => expected,
        }
    }
}

#[derive(Debug)]
pub(super) struct Inner {
    upload: Upload,
    /// All that was read, if `whole`; else what the attempt has yet to get of it.
    kept: VecDeque<Piece>,
    /// How many of those the attempt has got.
    passed: usize,
    kept_bytes: usize,
    share: Share,
    /// Bytes to keep before a pod has begun; beyond them nothing is read until then.
    limit: usize,
    /// Its length, as far as it is known; else the largest number.
    expected: usize,
    hint: SizeHint,
    /// What goes on is kept as well, so that another pod may get it should this one be lost.
    repeatable: bool,
    /// All that was read is kept.
    whole: bool,
    open: bool,
    ended: bool,
    /// Number of the attempt that may read.
    attempt: u32,
    waker: Option<Waker>,
    /// The client sends nothing before it is told to, and was not told yet.
    expects: bool,
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
    /// Holds `body`, keeping what `keeping` allows.
    pub fn new<B>(body: B, keeping: Keeping<'_>) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
    {
        let hint = body.size_hint();
        let expected = hint
            .upper()
            .and_then(|bytes| usize::try_from(bytes).ok())
            .unwrap_or(usize::MAX);
        let mut share = keeping.budget.share(keeping.account);
        share.grow_to(keeping.first_bytes(expected));
        Self(Arc::new(Mutex::new(Inner {
            ended: body.is_end_stream(),
            upload: Upload::new(body, keeping.pace),
            kept: VecDeque::new(),
            passed: 0,
            kept_bytes: 0,
            // A short one of known length is kept to its end.
            limit: if share.bytes() == expected {
                usize::MAX
            } else {
                share.bytes()
            },
            share,
            expected,
            hint,
            repeatable: keeping.repeatable,
            whole: true,
            open: false,
            attempt: 0,
            waker: None,
            expects: keeping.expects,
        })))
    }

    /// Reads the body if it is short and there already.
    pub async fn gather(&self) {
        let gathered = poll_fn(|context| lock(&self.0).poll_gather(context));
        // What is not there in time comes later.
        let _ = tokio::time::timeout(SHORT_WITHIN, gathered).await;
    }

    /// The body for the next attempt, from its beginning. Ends the attempt before.
    #[must_use]
    pub fn attempt(&self, protocol: Protocol) -> AttemptBody {
        let mut inner = lock(&self.0);
        if inner.is_in_hand() {
            inner.join();
        }
        inner.open = false;
        let withheld = protocol == Protocol::Http1 && !inner.is_in_hand();
        let hint = inner.hint;
        let attempt = inner.supersede();
        drop(inner);
        AttemptBody::new(self.0.clone(), attempt, withheld, hint)
    }

    /// A pod has begun, or must have by now: lets everything through.
    pub fn open(&self) {
        open(&self.0);
    }

    /// What [`open`](Self::open) does, for whoever hears from the pod first.
    pub fn opener(&self) -> impl Fn() + Send + Sync + use<> {
        let inner = self.0.clone();
        move || open(&inner)
    }

    /// Whether another pod could be sent the whole of it.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let inner = lock(&self.0);
        inner.whole && !inner.upload.is_broken()
    }

    /// Whether the client broke off.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        lock(&self.0).upload.is_broken()
    }

    /// Whether all of it is here.
    #[must_use]
    pub fn is_in_hand(&self) -> bool {
        lock(&self.0).is_in_hand()
    }

    /// No other pod will be tried: lets go of what was kept.
    pub fn settle(&self) {
        let mut inner = lock(&self.0);
        inner.repeatable = false;
        inner.forget_passed();
        inner.share.give_back();
        inner.let_through();
    }
}

impl Drop for HeldBody {
    fn drop(&mut self) {
        let mut inner = lock(&self.0);
        inner.supersede();
        if !inner.ended && !inner.upload.is_broken() && !inner.expects {
            linger(inner.upload.take_rest());
        }
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
        self.passed = 0;
        self.upload.ask_no_more();
        self.wake();
        self.attempt
    }

    fn let_through(&mut self) {
        self.open = true;
        // One that is known to be longer cannot be kept whole.
        if self.repeatable
            && self.whole
            && (self.expected <= KEPT_BYTES || self.hint.upper().is_none())
        {
            self.share.grow_to(self.expected.min(KEPT_BYTES));
        }
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    const fn is_in_hand(&self) -> bool {
        self.ended && self.whole
    }

    fn poll_gather(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let bound = SHORT_BYTES.min(self.limit);
        let too_long = self.hint.lower() > SHORT_BYTES as u64;
        while !(self.ended || too_long || self.kept_bytes >= bound) {
            match ready!(self.upload.poll_come(context)) {
                None => self.ended = true,
                Some(Err(_)) => break,
                Some(Ok(frame)) => {
                    self.ended = self.upload.is_at_end();
                    if let Some(piece) = piece(frame) {
                        self.keep(piece);
                    }
                }
            }
        }
        Poll::Ready(())
    }

    /// Until the pod has begun, or `attempt` is over.
    pub(super) fn poll_open(&mut self, attempt: u32, context: &Context<'_>) -> Poll<()> {
        if self.open || self.attempt != attempt {
            return Poll::Ready(());
        }
        self.waker = Some(context.waker().clone());
        Poll::Pending
    }

    /// The next frame for `attempt`.
    pub(super) fn poll_frame(
        &mut self,
        attempt: u32,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.attempt != attempt {
            return Poll::Ready(Some(Err(GivenUp.into())));
        }
        if let Some(piece) = self.next_kept() {
            return Poll::Ready(Some(Ok(piece.frame())));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        if !self.open && self.kept_bytes >= self.limit {
            self.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        // The server tells the client at the first look.
        self.expects = false;
        match self.upload.poll_asked(context) {
            Poll::Pending => {
                self.waker = Some(context.waker().clone());
                Poll::Pending
            }
            Poll::Ready(None) => {
                self.ended = true;
                Poll::Ready(None)
            }
            broken @ Poll::Ready(Some(Err(_))) => broken,
            Poll::Ready(Some(Ok(frame))) => {
                self.ended = self.upload.is_at_end();
                let Some(piece) = piece(frame) else {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                };
                self.keep(piece.clone());
                self.passed = self.kept.len();
                Poll::Ready(Some(Ok(piece.frame())))
            }
        }
    }

    /// Makes one piece of the data: over HTTP/2 each is a frame, and h2 bears few small ones that nobody
    /// reads before it ends the connection, which others share.
    fn join(&mut self) {
        let is_data = |piece: &&Piece| matches!(piece, Piece::Data(_));
        if self.kept.iter().filter(is_data).count() < 2 {
            return;
        }
        let mut joined = BytesMut::with_capacity(self.kept_bytes);
        self.kept.retain(|piece| match piece {
            Piece::Data(data) => {
                joined.extend_from_slice(data);
                false
            }
            Piece::Trailers(_) => true,
        });
        self.kept.push_front(Piece::Data(joined.freeze()));
    }

    fn next_kept(&mut self) -> Option<Piece> {
        if !self.whole {
            return self.kept.pop_front();
        }
        let piece = self.kept.get(self.passed)?.clone();
        self.passed += 1;
        Some(piece)
    }

    fn keep(&mut self, piece: Piece) {
        if !self.whole {
            return;
        }
        if let Piece::Data(data) = &piece {
            self.kept_bytes += data.len();
        }
        self.kept.push_back(piece);
        // One frame may pass the share: it was read before its size was known.
        if self.open && self.kept_bytes > self.share.bytes() {
            self.passed = self.kept.len();
            self.forget_passed();
        }
    }

    /// Lets go of what the attempt has got, and of the rest as it gets it.
    fn forget_passed(&mut self) {
        self.whole = false;
        self.kept.drain(..self.passed);
        self.kept.shrink_to_fit();
        self.passed = 0;
    }

    /// Whether `attempt` has got all of it.
    pub(super) fn is_done(&self, attempt: u32) -> bool {
        self.attempt == attempt && self.ended && self.passed >= self.kept.len()
    }
}

/// What a pod has to get of it. Of empty frames h2 bears few as well.
fn piece(frame: Frame<Bytes>) -> Option<Piece> {
    match frame.into_data() {
        Ok(data) if data.is_empty() => None,
        Ok(data) => Some(Piece::Data(data)),
        Err(frame) => frame.into_trailers().ok().map(Piece::Trailers),
    }
}
