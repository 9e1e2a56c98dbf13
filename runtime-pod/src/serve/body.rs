//! Bodies, counted against their limits as they pass.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::{runtime::Handle, time::Sleep};
use wasmfn_crds::answer::AnswerReason;
use wasmtime_wasi_http::Error;

use super::{
    admission::Permit,
    ending::{Failure, Fate},
    gathered::Gathered,
    guest::Guest,
    headers,
    length::Outstanding,
    observe::Watch,
};

/// The body of a request on its way to the guest. Passing the limit ends the guest.
pub(super) struct RequestBody<B> {
    inner: B,
    left_bytes: u64,
    limit_bytes: u64,
    fate: Arc<Fate>,
}

impl<B: Body> RequestBody<B> {
    pub(super) fn new(inner: B, limit_bytes: u64, fate: Arc<Fate>) -> Self {
        if inner.is_end_stream() {
            fate.request_over();
        }
        Self {
            inner,
            left_bytes: limit_bytes,
            limit_bytes,
            fate,
        }
    }
}

impl<B> Drop for RequestBody<B> {
    fn drop(&mut self) {
        self.fate.request_over();
    }
}

/// What a client is told whose request is too large.
pub(super) fn request_too_large(limit_bytes: u64) -> Failure {
    Failure::new(
        AnswerReason::RequestTooLarge,
        format!("the body of the request is larger than the allowed {limit_bytes} bytes"),
    )
}

/// The same, of a request that says how long its body is.
pub(super) fn announced_too_large(length_bytes: u64, limit_bytes: u64) -> Failure {
    let more = length_bytes.saturating_sub(limit_bytes);
    Failure::new(
        AnswerReason::RequestTooLarge,
        format!(
            "the body of the request has {length_bytes} bytes, {more} more than the allowed {limit_bytes}"
        ),
    )
}

/// What is said where an answer is too large.
pub(super) fn response_too_large(limit_bytes: u64) -> Failure {
    Failure::new(
        AnswerReason::ResponseTooLarge,
        format!("the body of the answer is larger than the allowed {limit_bytes} bytes"),
    )
}

impl<B> Body for RequestBody<B>
where
    B: Body<Data = Bytes, Error = hyper::Error> + Unpin,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
            None => {
                self.fate.request_over();
                return Poll::Ready(None);
            }
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            Some(Ok(frame)) => frame,
        };
        let length = frame.data_ref().map_or(0, Bytes::len) as u64;
        match self.left_bytes.checked_sub(length) {
            Some(left) => {
                self.left_bytes = left;
                Poll::Ready(Some(Ok(without_own(frame))))
            }
            None => {
                let limit = self.limit_bytes;
                self.fate.stop(request_too_large(limit));
                Poll::Ready(Some(Err(Error::HttpRequestBodySize(Some(limit)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The next frame that is not empty. Gateways share a connection among answers, and end it after a number of
/// empty frames.
fn poll_something<B>(
    body: &mut B,
    context: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, Error>>>
where
    B: Body<Data = Bytes, Error = Error> + Unpin,
{
    let next = ready!(Pin::new(body).poll_frame(context));
    let data = next
        .as_ref()
        .and_then(|frame| frame.as_ref().ok()?.data_ref());
    if data.is_some_and(Bytes::is_empty) {
        // Others first: there may be any number of them.
        context.waker().wake_by_ref();
        return Poll::Pending;
    }
    Poll::Ready(next)
}

/// Trailers pass, but for those that belong to wasmfn.
fn without_own(mut frame: Frame<Bytes>) -> Frame<Bytes> {
    if let Some(trailers) = frame.trailers_mut() {
        headers::remove_own(trailers);
    }
    frame
}

/// The body of a guest's answer on its way to the client. It ends as the guest says, or not at
/// all: what was cut short is never ended as if it were whole.
pub(super) struct GuestBody {
    // First: where the client has left, the guest knows that before its answer is let go.
    pub(super) guest: Guest,
    pub(super) inner: Gathered,
    pub(super) left_bytes: u64,
    pub(super) limit_bytes: u64,
    /// None, where the guest has ended: nothing more is waited for.
    pub(super) deadline: Option<Pin<Box<Sleep>>>,
    pub(super) fate: Arc<Fate>,
    pub(super) outstanding: Outstanding,
    pub(super) is_over: bool,
    /// Said a turn later than it comes: until then what came before it can be sent, the head as well.
    pub(super) broken_off: Option<Error>,
    /// Told of the end.
    pub(super) watch: Option<Watch>,
    pub(super) _permit: Arc<Permit>,
}

impl GuestBody {
    /// Lets `watch` see the end of it.
    pub(super) fn watched_by(mut self, watch: Watch) -> Self {
        self.watch = Some(watch);
        self
    }

    fn break_off<T>(&mut self, error: Error, context: &Context<'_>) -> Poll<T> {
        self.is_over = true;
        self.broken_off = Some(error);
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn complete(&mut self) {
        self.guest.let_finish();
        self.note_complete();
    }

    fn note_complete(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.complete();
        }
    }

    /// Reads on, though nothing comes any more: a guest that ends its answer finds it open.
    fn read_to_end(&mut self) {
        if self.guest.has_ended() {
            return;
        }
        let Some(mut rest) = self.inner.take_rest() else {
            return;
        };
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move { while let Some(Ok(_)) = rest.frame().await {} });
        }
    }
}

impl Drop for GuestBody {
    fn drop(&mut self) {
        if self.is_over || self.fate.failure().is_some() {
            return;
        }
        match self.outstanding {
            Outstanding::Bytes(0) => {
                self.complete();
                self.read_to_end();
            }
            // What the guest does after it has said all is its own business.
            Outstanding::NoBody if self.inner.has_ended() => self.complete(),
            // Its guest ends: what it would send is for nobody.
            Outstanding::NoBody => self.note_complete(),
            Outstanding::Bytes(_) | Outstanding::Unknown => {}
        }
    }
}

impl Body for GuestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some(error) = self.broken_off.take() {
            return Poll::Ready(Some(Err(error)));
        }
        if self.is_over {
            return Poll::Ready(None);
        }
        let deadline = self.deadline.as_mut();
        if deadline.is_some_and(|deadline| deadline.as_mut().poll(context).is_ready()) {
            self.fate.stop(Failure::new(
                AnswerReason::Timeout,
                "the answer was not sent in time",
            ));
            return self.break_off(Error::HttpResponseTimeout, context);
        }
        match ready!(poll_something(&mut self.inner, context)) {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                let Some(left) = self.left_bytes.checked_sub(length) else {
                    let limit = self.limit_bytes;
                    self.fate.stop(response_too_large(limit));
                    return self.break_off(Error::HttpResponseBodySize(Some(limit)), context);
                };
                self.left_bytes = left;
                self.outstanding.handed_over(length);
                Poll::Ready(Some(Ok(without_own(frame))))
            }
            Some(Err(error)) => self.break_off(error, context),
            // The stream of a guest that was ended closes like that of one that finished it.
            None if self.fate.failure().is_some() || self.outstanding.is_short() => {
                self.break_off(Error::HttpResponseIncomplete, context)
            }
            None => {
                self.is_over = true;
                self.complete();
                Poll::Ready(None)
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures::stream;
    use http::HeaderMap;
    use http_body_util::StreamBody;

    use super::*;

    #[tokio::test]
    async fn empty_frames_do_not_pass() {
        let data = |text: &'static str| Ok(Frame::data(Bytes::from_static(text.as_bytes())));
        let end = Ok(Frame::trailers(HeaderMap::new()));
        let frames = [data(""), data("a"), data(""), data(""), data("b"), end];
        let mut body = StreamBody::new(stream::iter(frames));
        let mut passed = Vec::new();
        while let Some(frame) = poll_fn(|context| poll_something(&mut body, context)).await {
            passed.push(frame.unwrap().into_data().ok());
        }
        assert_eq!(passed, [Some("a".into()), Some("b".into()), None]);
    }
}
