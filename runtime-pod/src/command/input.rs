//! Standard input of a command: the body of its request, read as the program reads it.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::Body;
use tokio::io::{AsyncRead, ReadBuf};
use wasmtime_wasi::{
    cli::{IsTerminal, StdinStream},
    p2::{InputStream, Pollable, StreamError, StreamResult},
};

use super::CommandError;
use crate::{budget::Reservation, serve::AnswerBody};

/// One call's input; clones share how far it was read.
#[derive(Clone)]
pub(super) struct Input(Arc<Mutex<Source>>);

struct Source {
    /// None, once it has ended.
    body: Option<AnswerBody>,
    pending: Bytes,
    failed: bool,
}

impl Input {
    /// What `body` brings.
    pub(super) fn body(body: AnswerBody) -> Self {
        Self(Arc::new(Mutex::new(Source {
            body: Some(body),
            pending: Bytes::new(),
            failed: false,
        })))
    }

    /// Reads the body to its end before the program does, and shows it. `held` grows for it: twice, since
    /// its pieces are put together.
    ///
    /// # Errors
    /// [`CommandError::RequestBroken`], [`CommandError::NoMemory`].
    pub(super) async fn whole(&self, held: &mut Reservation) -> Result<Bytes, CommandError> {
        let mut pieces = Vec::new();
        let mut bytes = 0;
        loop {
            std::future::poll_fn(|context| self.poll_filled(context)).await;
            let piece = self.take(usize::MAX);
            let Some(piece) = piece.map_err(|_| CommandError::RequestBroken)? else {
                break;
            };
            bytes += piece.len() as u64;
            if !held.grow_to(2 * bytes) {
                return Err(CommandError::NoMemory("request"));
            }
            pieces.push(piece);
        }
        let whole = match <[Bytes; 1]>::try_from(pieces) {
            Ok([only]) => only,
            Err(several) => several.concat().into(),
        };
        self.lock().pending = whole.clone();
        Ok(whole)
    }

    /// Waits until there is something to read, or nothing will be.
    fn poll_filled(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut source = self.lock();
        while source.pending.is_empty() {
            let Some(body) = source.body.as_mut() else {
                return Poll::Ready(());
            };
            match ready!(Pin::new(body).poll_frame(context)) {
                // Trailers have no place on a standard input.
                Some(Ok(frame)) => source.pending = frame.into_data().unwrap_or_default(),
                Some(Err(_)) => {
                    source.failed = true;
                    source.body = None;
                }
                None => source.body = None,
            }
        }
        Poll::Ready(())
    }

    /// What can be read at once; nothing, at the end.
    fn take(&self, size: usize) -> Result<Option<Bytes>, BrokenBody> {
        let mut source = self.lock();
        if source.pending.is_empty() {
            return match (&source.body, source.failed) {
                (_, true) => Err(BrokenBody),
                (Some(_), false) => Ok(Some(Bytes::new())),
                (None, false) => Ok(None),
            };
        }
        let length = source.pending.len().min(size);
        Ok(Some(source.pending.split_to(length)))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Source> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The client, or a limit, ended the body early.
#[derive(Debug, thiserror::Error)]
#[error("the body of the request ended early")]
pub(super) struct BrokenBody;

impl IsTerminal for Input {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdinStream for Input {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(self.clone())
    }
}

impl AsyncRead for Input {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_filled(context));
        let bytes = self.take(buffer.remaining()).map_err(io::Error::other)?;
        buffer.put_slice(&bytes.unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl Pollable for Input {
    fn ready<'life, 'future>(&'life mut self) -> Pin<Box<dyn Future<Output = ()> + Send + 'future>>
    where
        'life: 'future,
        Self: 'future,
    {
        Box::pin(std::future::poll_fn(|context| self.poll_filled(context)))
    }
}

impl InputStream for Input {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        match self.take(size) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(StreamError::Closed),
            Err(error) => Err(StreamError::LastOperationFailed(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, StreamBody};
    use hyper::body::Frame;
    use tokio::io::AsyncReadExt;
    use wasmtime_wasi_http::Error;

    use super::*;
    use crate::budget::Budget;

    fn body(frames: Vec<Result<&'static str, Error>>) -> Input {
        let frames = frames
            .into_iter()
            .map(|frame| frame.map(|text| Frame::data(Bytes::from(text))));
        Input::body(StreamBody::new(futures::stream::iter(frames)).boxed_unsync())
    }

    #[tokio::test]
    async fn a_body_is_read_in_the_programs_pieces() {
        let mut input = body(vec![Ok("abc"), Ok(""), Ok("de")]);
        input.ready().await;
        assert_eq!(InputStream::read(&mut input, 2).unwrap(), "ab");
        let mut rest = String::new();
        input.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "cde");
        assert!(matches!(
            InputStream::read(&mut input, 1),
            Err(StreamError::Closed)
        ));
    }

    #[tokio::test]
    async fn the_whole_body_can_be_seen_first() {
        for frames in [vec![], vec![Ok("{}")], vec![Ok("{"), Ok("}")]] {
            let expected: String = frames
                .iter()
                .map(|frame| *frame.as_ref().unwrap())
                .collect();
            let mut input = body(frames);
            let mut held = Budget::new(100).reserve(0).unwrap();
            assert_eq!(input.whole(&mut held).await.unwrap(), expected);
            assert_eq!(held.bytes(), 2 * expected.len() as u64);
            let mut text = String::new();
            input.read_to_string(&mut text).await.unwrap();
            assert_eq!(text, expected);
            assert!(matches!(
                InputStream::read(&mut input, 1),
                Err(StreamError::Closed)
            ));
        }
    }

    #[tokio::test]
    async fn a_broken_body_is_no_end() {
        let mut input = body(vec![Ok("a"), Err(Error::HttpRequestBodySize(None))]);
        let mut held = Budget::new(100).reserve(0).unwrap();
        let error = input.whole(&mut held).await.unwrap_err();
        assert!(matches!(error, CommandError::RequestBroken));
        let mut held = Budget::new(5).reserve(0).unwrap();
        let error = body(vec![Ok("abc")]).whole(&mut held).await.unwrap_err();
        assert!(matches!(error, CommandError::NoMemory("request")));
        let mut text = String::new();
        assert!(input.read_to_string(&mut text).await.is_err());
        assert!(matches!(
            InputStream::read(&mut input, 1),
            Err(StreamError::LastOperationFailed(_))
        ));
    }
}
