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
