//! The bytes that a client sends over HTTP/1.1, on their way to hyper.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

use super::{
    activity::Activity,
    framing::{Framing, Refused},
};
use crate::metrics::Fault;

/// What hyper reads instead of the rest of a head that is refused: no head goes on with a NUL, so
/// that it answers 400 in its turn, after what is still being answered.
const SPOILT: &[u8] = b"\0\r\n\r\n";

/// A stream that lets through only what is strictly HTTP/1.1, and heads only in time.
#[derive(Debug)]
pub struct Guard<S> {
    stream: S,
    framing: Framing,
    head_within: Duration,
    head_late: Option<Pin<Box<Sleep>>>,
    end: End,
    activity: Arc<Activity>,
}

/// Whether anything more comes.
#[derive(Debug)]
enum End {
    /// It does.
    Open,
    /// This, and then nothing.
    Spoilt(&'static [u8]),
    /// The body under way breaks off.
    Broken,
}

/// A body breaks off since its chunks are not valid.
#[derive(Debug, Error)]
#[error("the chunks of the body are not valid")]
struct BadChunks;

/// The head of a request took too long.
#[derive(Debug, Error)]
#[error("the head of a request did not come in time")]
struct SlowHead;

impl<S> Guard<S> {
    /// Guards `stream`, each of whose heads must come to its end `head_within` after its beginning.
    pub fn new(stream: S, head_within: Duration, activity: Arc<Activity>) -> Self {
        Self {
            stream,
            framing: Framing::default(),
            head_within,
            head_late: None,
            end: End::Open,
            activity,
        }
    }

    /// What was read from `from` on is checked, and cut where it is refused.
    fn check(&mut self, buffer: &mut ReadBuf<'_>, from: usize) -> io::Result<()> {
        let Err(Refused { passed, in_body }) = self.framing.scan(&buffer.filled()[from..]) else {
            self.time_head();
            return Ok(());
        };
        self.activity.note(Fault::Malformed);
        self.head_late = None;
        buffer.set_filled(from + passed);
        if in_body {
            self.end = End::Broken;
            if passed == 0 {
                return Err(broken());
            }
        } else {
            self.end = End::Spoilt(SPOILT);
            self.spoil(buffer);
        }
        Ok(())
    }

    fn time_head(&mut self) {
        if !self.framing.is_in_head() {
            self.head_late = None;
        } else if self.head_late.is_none() {
            self.activity.touch();
            self.head_late = Some(Box::pin(tokio::time::sleep(self.head_within)));
        }
    }

    fn spoil(&mut self, buffer: &mut ReadBuf<'_>) {
        if let End::Spoilt(left) = &mut self.end {
            let (now, later) = left.split_at(left.len().min(buffer.remaining()));
            buffer.put_slice(now);
            *left = later;
        }
    }
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, BadChunks)
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.end {
            End::Open => {}
            End::Broken => return Poll::Ready(Err(broken())),
            End::Spoilt(_) => {
                this.spoil(buffer);
                return Poll::Ready(Ok(()));
            }
        }
        let from = buffer.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut this.stream).poll_read(context, buffer) {
            return Poll::Ready(read.and_then(|()| this.check(buffer, from)));
        }
        if let Some(late) = &mut this.head_late {
            ready!(late.as_mut().poll(context));
            this.activity.note(Fault::SlowHead);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, SlowHead)));
        }
        Poll::Pending
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::routes::Entrance;

    /// What comes out where `bytes` go in, a few at a time.
    async fn through(bytes: &'static [u8], at_once: usize) -> (Vec<u8>, io::Result<usize>) {
        let (mut client, stream) = tokio::io::duplex(at_once);
        tokio::spawn(async move {
            let _ = client.write_all(bytes).await;
        });
        let activity = Activity::new(Entrance::Public, Arc::default());
        let mut guard = Guard::new(stream, Duration::from_secs(60), activity);
        let mut passed = Vec::new();
        let ended = guard.read_to_end(&mut passed).await;
        (passed, ended)
    }

    #[tokio::test]
    async fn what_is_valid_passes_unchanged() {
        let bytes = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\n\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n";
        for at_once in [1, 2, 3, 7, 1000] {
            let (passed, ended) = through(bytes, at_once).await;
            assert_eq!(passed, bytes, "{at_once}");
            assert!(ended.is_ok());
        }
    }

    #[tokio::test]
    async fn a_head_that_is_refused_never_comes_to_its_end() {
        let heads: [&[u8]; 5] = [
            b"GET / HTTP/1.1\nhost: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost: x\r\n\nGET /b HTTP/1.1\r\n\r\n",
            b"POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            b"POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\na",
            b"GET /a#b HTTP/1.1\r\n\r\n",
        ];
        for (head, at_once) in heads
            .into_iter()
            .zip([1, 2, 3, 7, 1000].into_iter().cycle())
        {
            let (passed, ended) = through(head, at_once).await;
            let before = passed.strip_suffix(SPOILT).expect("spoilt at its end");
            assert!(head.starts_with(before));
            assert!(!before.ends_with(b"\n\r\n") && !before.ends_with(b"\n\n"));
            assert!(ended.is_ok());
        }
    }

    #[tokio::test]
    async fn a_body_that_is_refused_breaks_off() {
        let bytes = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0;\0\r\n\r\n";
        for at_once in [1, 2, 3, 7, 1000] {
            let (passed, ended) = through(bytes, at_once).await;
            assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::InvalidData);
            assert!(bytes.starts_with(&passed) && passed.len() < bytes.len());
        }
    }
}
