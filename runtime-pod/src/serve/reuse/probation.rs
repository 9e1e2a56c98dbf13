//! What it takes to run a request once more: its head, its body while nobody has read of it, and its
//! answer while it has not begun.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, request::Parts};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::sync::oneshot;
use wasmtime_wasi_http::{Error, p2::bindings::http::types::ErrorCode};

use crate::serve::{AnswerBody, guest::Said};

/// A request that a guest gets which may fail at it for having served others.
pub(in crate::serve) struct Probation {
    head: Parts,
    body: Arc<Mutex<Lent>>,
    answer: Arc<Mutex<Answer>>,
}

struct Lent {
    body: AnswerBody,
    is_read: bool,
}

struct Answer {
    sender: Option<oneshot::Sender<Said>>,
    gave_up: Option<ErrorCode>,
}

/// A request's answer, before it has begun.
pub(in crate::serve) type Unanswered = oneshot::Sender<Said>;

impl Probation {
    /// Keeps `request` and `sender`. The request is what the guest gets.
    pub(in crate::serve) fn new(
        request: Request<AnswerBody>,
        sender: Unanswered,
    ) -> (Request<AnswerBody>, Self) {
        let (head, body) = request.into_parts();
        let body = Arc::new(Mutex::new(Lent {
            body,
            is_read: false,
        }));
        let lent = LentBody(Arc::clone(&body)).boxed_unsync();
        let request = Request::from_parts(head.clone(), lent);
        let answer = Arc::new(Mutex::new(Answer {
            sender: Some(sender),
            gave_up: None,
        }));
        (request, Self { head, body, answer })
    }

    /// What takes the guest's answer. An error in its place is held back.
    pub(in crate::serve) fn say(&self) -> impl FnOnce(Said) + Send + Sync + 'static {
        let answer = Arc::clone(&self.answer);
        move |said| {
            let mut answer = lock(&answer);
            match said {
                Ok(response) => {
                    if let Some(sender) = answer.sender.take() {
                        // Where nobody waits for it any more, the guest is ended anyway.
                        let _ = sender.send(Ok(response));
                    }
                }
                Err(code) => answer.gave_up = Some(code),
            }
        }
    }

    /// Whether the answer has begun.
    pub(in crate::serve) fn is_answered(&self) -> bool {
        lock(&self.answer).sender.is_none()
    }

    /// The request as it was and its answer, if nobody has begun on either.
    pub(in crate::serve) fn take_back(self) -> Option<(Request<AnswerBody>, Unanswered)> {
        let mut lent = lock(&self.body);
        if lent.is_read {
            drop(lent);
            self.pass_error_on();
            return None;
        }
        let sender = lock(&self.answer).sender.take()?;
        let body = std::mem::take(&mut lent.body);
        Some((Request::from_parts(self.head, body), sender))
    }

    /// The error that was held back is the answer after all.
    pub(in crate::serve) fn pass_error_on(&self) {
        let mut answer = lock(&self.answer);
        if let Some(code) = answer.gave_up.take()
            && let Some(sender) = answer.sender.take()
        {
            let _ = sender.send(Err(code));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A body that can be taken back until it is read.
struct LentBody(Arc<Mutex<Lent>>);

impl Body for LentBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let mut lent = lock(&self.0);
        // To find that there is nothing takes nothing away.
        if lent.body.is_end_stream() {
            return Poll::Ready(None);
        }
        lent.is_read = true;
        Pin::new(&mut lent.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.0).body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        lock(&self.0).body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Response;
    use http_body_util::{Empty, Full};

    fn body(text: &'static str) -> AnswerBody {
        Full::new(Bytes::from(text))
            .map_err(|never| match never {})
            .boxed_unsync()
    }

    fn probation(text: &'static str) -> (Request<AnswerBody>, Probation, oneshot::Receiver<Said>) {
        let (sender, receiver) = oneshot::channel();
        let request = Request::post("/path").body(body(text)).unwrap();
        let (request, probation) = Probation::new(request, sender);
        (request, probation, receiver)
    }

    #[tokio::test]
    async fn what_nobody_has_begun_on_comes_back_whole() {
        let (request, probation, _receiver) = probation("text");
        drop(request);
        let (request, _) = probation.take_back().unwrap();
        assert_eq!(request.uri(), "/path");
        let bytes = request.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(bytes, "text");
    }

    #[tokio::test]
    async fn a_body_that_was_read_does_not_come_back() {
        let (request, probation, _receiver) = probation("text");
        request.into_body().collect().await.unwrap();
        assert!(probation.take_back().is_none());
    }

    #[tokio::test]
    async fn an_empty_body_comes_back_also_when_it_was_looked_at() {
        let (request, probation, _receiver) = probation("");
        request.into_body().collect().await.unwrap();
        assert!(probation.take_back().is_some());
    }

    #[tokio::test]
    async fn an_answer_is_passed_on_and_an_error_held_back() {
        let empty = || Empty::new().map_err(|never| match never {}).boxed_unsync();
        let (_request, first, receiver) = probation("");
        first.say()(Ok(Response::new(empty())));
        assert!(first.is_answered());
        assert!(receiver.await.unwrap().is_ok());
        assert!(first.take_back().is_none());

        let (_request, second, receiver) = probation("");
        second.say()(Err(ErrorCode::InternalError(None)));
        assert!(!second.is_answered());
        second.pass_error_on();
        assert!(receiver.await.unwrap().is_err());
    }
}
