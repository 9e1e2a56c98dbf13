//! One request and its answer on a connection.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use thiserror::Error;
use tokio::{task::AbortHandle, time::Instant};
use wasmfn_connection::Upload;

use super::activity::Activity;
use crate::{
    metrics::{Fault, Outcome},
    places::Room,
    proxy::body::{AnswerBody, BodyError},
};

/// A request that has begun, until it is dropped: answered in full, or given up.
#[derive(Debug)]
pub(super) struct Exchange {
    activity: Arc<Activity>,
    begun: Instant,
    outcome: Outcome,
    _upload: Option<Upload>,
    room: Option<Room>,
}

impl Exchange {
    /// The head of a request has come, and there may be room for it. It counts as `upload`, if it is
    /// one.
    pub(super) fn begin(
        activity: Arc<Activity>,
        upload: Option<Upload>,
        room: Option<Room>,
    ) -> Self {
        activity.open();
        Self {
            activity,
            begun: Instant::now(),
            outcome: Outcome::Abandoned,
            _upload: upload,
            room,
        }
    }

    /// The request's place, if there was one.
    pub(super) const fn room(&self) -> Option<&Room> {
        self.room.as_ref()
    }

    /// The head of the answer is there. With `taken_within`, the client must take something of its
    /// body that often.
    pub(super) fn answer(
        mut self,
        response: Response<AnswerBody>,
        taken_within: Option<Duration>,
    ) -> Response<Download> {
        self.outcome = Outcome::of(&response);
        response.map(|body| Download {
            shared: Arc::new(Mutex::new(Shared {
                answer: Some((body, self)),
                given_at: None,
            })),
            taken_within,
            watch: None,
        })
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.activity.close(self.outcome != Outcome::Abandoned);
        let metrics = self.activity.metrics();
        metrics.answered(self.outcome, self.begun.elapsed());
    }
}

/// The body of an answer on its way to a client.
///
/// Over HTTP/2 a client that reads nothing of one answer does not hold up the connection, so that
/// no write ever fails. What lasts as long as the answer (the guest, its place in the counts) is
/// let go then, and the stream is reset.
#[derive(Debug)]
pub struct Download {
    shared: Arc<Mutex<Shared>>,
    taken_within: Option<Duration>,
    watch: Option<AbortHandle>,
}

#[derive(Debug)]
struct Shared {
    /// Taken away where the client is too slow.
    answer: Option<(AnswerBody, Exchange)>,
    /// Since when the client has had something and asked for nothing more.
    given_at: Option<Instant>,
}

/// The client reads nothing.
#[derive(Debug, Error)]
#[error("the client took nothing of the answer in time")]
struct SlowReader;

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared
        .lock()
        .expect("nothing panics while it holds this lock")
}

impl Body for Download {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let mut shared = lock(&this.shared);
        shared.given_at = None;
        let Some((body, _)) = &mut shared.answer else {
            return Poll::Ready(Some(Err(SlowReader.into())));
        };
        let frame = Pin::new(&mut *body).poll_frame(context);
        if let Some(within) = this.taken_within
            && matches!(frame, Poll::Ready(Some(Ok(_))))
            && !body.is_end_stream()
        {
            shared.given_at = Some(Instant::now());
            let watched = &this.shared;
            this.watch
                .get_or_insert_with(|| tokio::spawn(watch(watched.clone(), within)).abort_handle());
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        let shared = lock(&self.shared);
        shared
            .answer
            .as_ref()
            .is_some_and(|(body, _)| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let shared = lock(&self.shared);
        shared
            .answer
            .as_ref()
            .map_or_else(SizeHint::default, |(body, _)| body.size_hint())
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.abort();
        }
        // At once, and not only when the task that watched it has gone.
        let answer = lock(&self.shared).answer.take();
        drop(answer);
    }
}

/// Takes the answer away once its client has asked for nothing more for `within`.
async fn watch(shared: Arc<Mutex<Shared>>, within: Duration) {
    loop {
        let deadline = match lock(&shared).given_at {
            Some(given_at) => given_at + within,
            // The pod is asked for more: the client waits.
            None => Instant::now() + within,
        };
        tokio::time::sleep_until(deadline).await;
        let mut shared = lock(&shared);
        if shared
            .given_at
            .is_some_and(|given_at| given_at.elapsed() >= within)
        {
            let taken = shared.answer.take();
            drop(shared);
            if let Some((_, exchange)) = &taken {
                exchange.activity.note(Fault::SlowReader);
            }
            return;
        }
    }
}
