//! What of an answer's body is there at once: it goes out with the head, in one write.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::timeout;
use wasmfn_crds::answer::AnswerReason;
use wasmtime_wasi_http::Error;

use super::{answer::AnswerBody, body, ending::Failure, length::Outstanding};

/// With so many bytes in hand no more are waited for: a write is large enough.
const MOST_BYTES: usize = 64 << 10;

/// Frames in hand at most: empty ones count as well.
const MOST_FRAMES: usize = 8;

/// How long an answer is held for its body where that cannot be had by running its guest: about what
/// sixteen small ones take together in one instance.
const MOMENT: Duration = Duration::from_millis(5);

/// An answer of a guest that runs in another task, with what comes of its body within a [`MOMENT`].
pub(super) async fn within_a_moment(answer: Response<AnswerBody>) -> Response<AnswerBody> {
    let (head, body) = answer.into_parts();
    let mut body = Gathered::new(body);
    // Where it is over, the rest comes as it comes.
    let _ = timeout(MOMENT, poll_fn(|context| body.poll_gather(context))).await;
    Response::from_parts(head, body.boxed_unsync())
}

/// A body whose beginning was taken before anybody asked for it.
pub(super) struct Gathered {
    /// None, where it has ended.
    rest: Option<AnswerBody>,
    ready: VecDeque<Result<Frame<Bytes>, Error>>,
    ready_bytes: usize,
    /// What the body says of its length before anything is taken.
    hint: SizeHint,
}

impl Gathered {
    /// Nothing of `body` yet.
    pub(super) fn new(body: AnswerBody) -> Self {
        Self {
            hint: body.size_hint(),
            rest: Some(body),
            ready: VecDeque::new(),
            ready_bytes: 0,
        }
    }

    /// Takes what is there, until it is enough.
    pub(super) fn poll_gather(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.ready_bytes < MOST_BYTES && self.ready.len() < MOST_FRAMES {
            let Some(rest) = &mut self.rest else { break };
            match ready!(Pin::new(rest).poll_frame(context)) {
                Some(Ok(frame)) => {
                    self.ready_bytes += frame.data_ref().map_or(0, Bytes::len);
                    self.ready.push_back(Ok(frame));
                }
                Some(Err(error)) => {
                    self.ready.push_back(Err(error));
                    self.rest = None;
                }
                // Let go at once: its guest may wait for that.
                None => self.rest = None,
            }
        }
        Poll::Ready(())
    }

    /// Whether all of it is in hand, or has been handed over.
    pub(super) const fn has_ended(&self) -> bool {
        self.rest.is_none()
    }

    /// Why what is in hand cannot be the beginning of a whole answer of at most so many bytes, of which
    /// the connection will ask for what is `outstanding`.
    pub(super) fn flaw(&self, outstanding: Outstanding, limit_bytes: u64) -> Option<Failure> {
        let in_hand = self.ready_bytes as u64;
        let message = match (outstanding, self.ready.back()) {
            (Outstanding::NoBody, _) => return None,
            _ if in_hand > limit_bytes => return Some(body::response_too_large(limit_bytes)),
            (Outstanding::Bytes(announced), _) if in_hand >= announced => return None,
            (_, Some(Err(error))) => format!("the function broke its answer off: {error}"),
            (Outstanding::Bytes(announced), _) if self.has_ended() => format!(
                "the function ended its answer after {in_hand} of {announced} announced bytes"
            ),
            _ => return None,
        };
        Some(Failure::new(AnswerReason::InvalidResponse, message))
    }

    /// What is not in hand, if anything is left.
    pub(super) fn take_rest(&mut self) -> Option<AnswerBody> {
        self.rest.take()
    }
}

impl Body for Gathered {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        // It was of all that has not been handed over yet.
        self.hint = SizeHint::default();
        if let Some(frame) = self.ready.pop_front() {
            return Poll::Ready(Some(frame));
        }
        match &mut self.rest {
            Some(rest) => Pin::new(rest).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.hint
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, stream};
    use http_body_util::{Full, StreamBody};

    use super::*;

    fn gathered(frames: Vec<Result<Frame<Bytes>, Error>>, ends: bool) -> Gathered {
        let frames = stream::iter(frames);
        let body = if ends {
            StreamBody::new(frames).boxed_unsync()
        } else {
            use futures::StreamExt;
            StreamBody::new(frames.chain(stream::pending())).boxed_unsync()
        };
        Gathered::new(body)
    }

    fn data(bytes: usize) -> Result<Frame<Bytes>, Error> {
        Ok(Frame::data(vec![7; bytes].into()))
    }

    fn gather(body: &mut Gathered) -> bool {
        poll_fn(|context| body.poll_gather(context))
            .now_or_never()
            .is_some()
    }

    /// Lengths of the frames that come at once.
    fn lengths(body: &mut Gathered) -> Vec<usize> {
        let mut lengths = Vec::new();
        while let Some(Some(Ok(frame))) = body.frame().now_or_never() {
            lengths.push(frame.into_data().unwrap().len());
        }
        lengths
    }

    #[test]
    fn what_is_there_is_taken_with_its_end() {
        let mut body = gathered(vec![data(1), data(2)], true);
        assert!(gather(&mut body));
        assert!(body.has_ended());
        assert_eq!(lengths(&mut body), [1, 2]);
        assert!(body.frame().now_or_never().unwrap().is_none());
    }

    #[test]
    fn what_is_yet_to_come_is_not_waited_for() {
        let mut body = gathered(vec![data(1)], false);
        assert!(!gather(&mut body));
        assert!(!body.has_ended());
        assert_eq!(lengths(&mut body), [1]);
        assert!(body.frame().now_or_never().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_whose_body_is_slow_begins_after_a_moment() {
        let body = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Error>>());
        let answer = Response::new(body.boxed_unsync());
        let begun = timeout(2 * MOMENT, within_a_moment(answer)).await;
        assert!(begun.is_ok());
    }

    #[test]
    fn no_more_is_taken_than_a_write_is_worth() {
        let large = || vec![data(MOST_BYTES), data(1)];
        let many = || (0..=MOST_FRAMES).map(|_| data(0)).collect();
        for frames in [large(), many()] {
            let expected: Vec<usize> = frames
                .iter()
                .map(|frame| frame.as_ref().unwrap().data_ref().unwrap().len())
                .collect();
            let mut body = gathered(frames, true);
            assert!(gather(&mut body));
            assert!(!body.has_ended());
            assert_eq!(lengths(&mut body), expected);
        }
    }

    #[test]
    fn an_error_comes_after_what_was_before_it() {
        let mut body = gathered(vec![data(1), Err(Error::ConnectionTerminated)], true);
        assert!(gather(&mut body));
        assert_eq!(lengths(&mut body), [1]);
        let mut body = gathered(vec![Err(Error::ConnectionTerminated)], true);
        assert!(gather(&mut body));
        assert!(body.frame().now_or_never().unwrap().unwrap().is_err());
        assert!(body.frame().now_or_never().unwrap().is_none());
    }

    #[test]
    fn a_flaw_in_hand_is_told() {
        use AnswerReason::{InvalidResponse, ResponseTooLarge};
        use Outstanding::{Bytes, NoBody, Unknown};
        let broken = || Err(Error::ConnectionTerminated);
        let cases = [
            (vec![data(4), data(4)], Unknown, None),
            (vec![data(4), data(5)], Unknown, Some(ResponseTooLarge)),
            (vec![data(4), broken()], Unknown, Some(InvalidResponse)),
            (vec![data(4), broken()], Bytes(5), Some(InvalidResponse)),
            (vec![data(4)], Bytes(5), Some(InvalidResponse)),
            // Nobody asks for more.
            (vec![data(4), broken()], Bytes(4), None),
            (vec![data(4), broken()], NoBody, None),
            (vec![data(4), data(5)], NoBody, None),
        ];
        for (frames, outstanding, expected) in cases {
            let name = format!("{frames:?}, {outstanding:?}");
            let mut body = gathered(frames, true);
            assert!(gather(&mut body));
            let flaw = body.flaw(outstanding, 8).map(|failure| failure.reason);
            assert_eq!(flaw, expected, "{name}");
        }
    }

    #[test]
    fn a_body_that_goes_on_has_no_flaw_yet() {
        let mut body = gathered(vec![data(4)], false);
        assert!(!gather(&mut body));
        assert!(body.flaw(Outstanding::Bytes(5), 8).is_none());
    }

    #[test]
    fn a_length_is_said_before_anything_is_handed_over() {
        let full = Full::new(Bytes::from_static(b"body")).map_err(|never| match never {});
        let mut body = Gathered::new(full.boxed_unsync());
        assert!(gather(&mut body));
        assert_eq!(body.size_hint().exact(), Some(4));
        let mut unknown = gathered(vec![data(4)], true);
        assert!(gather(&mut unknown));
        assert_eq!(
            unknown.size_hint().exact(),
            None,
            "its end has to be asked for"
        );
    }
}
