//! TCP connections of clients that go, or that take nothing of what they are sent.
//!
//! A server reads no more of a body than is asked for. The end of a connection lies behind what
//! nobody reads, so that reading never finds it: [`Watched`] asks the kernel.

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
    net::TcpStream,
    time::{Instant, Sleep, sleep},
};

mod hang_up;
mod uploads;

pub use uploads::{Upload, Uploads};

/// How often the kernel is asked whether the client of an open upload has gone.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A connection that fails where its client takes nothing for a while of what is to be sent, or has
/// gone while a request with a body is open.
///
/// Whoever serves it must flush whenever it is woken, as hyper's HTTP/1.1 does: that is when it looks
/// whether the client is there. A client that has closed its side for writing counts as gone, as it
/// does for hyper.
#[derive(Debug)]
pub struct Watched<F> {
    stream: TcpStream,
    uploads: Arc<Uploads>,
    taken_within: Duration,
    note_slow: F,
    late: Option<Pin<Box<Sleep>>>,
    look: Option<Pin<Box<Sleep>>>,
}

/// The client reads nothing.
#[derive(Debug, Error)]
#[error("the client took nothing of what it was sent in time")]
struct SlowReader;

/// The client is not there any more.
#[derive(Debug, Error)]
#[error("the client has gone before its request was answered")]
struct Gone;

impl<F: Fn()> Watched<F> {
    /// Watches `stream`, on which `uploads` are open. Its client must take something of what is to be
    /// sent every `taken_within`; if it does not, that is told to `note_slow`.
    pub const fn new(
        stream: TcpStream,
        uploads: Arc<Uploads>,
        taken_within: Duration,
        note_slow: F,
    ) -> Self {
        Self {
            stream,
            uploads,
            taken_within,
            note_slow,
            late: None,
            look: None,
        }
    }

    /// What a write has come to, if that is not too late.
    fn timed<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.late = None;
            return written;
        }
        let within = self.taken_within;
        let late = self.late.get_or_insert_with(|| Box::pin(sleep(within)));
        ready!(late.as_mut().poll(context));
        (self.note_slow)();
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, SlowReader)))
    }

    /// Looks now and then whether the client is there.
    fn look(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if !self.uploads.are_open() {
            return Ok(());
        }
        let look = self.look.get_or_insert_with(|| Box::pin(sleep(LOOK_EVERY)));
        while look.as_mut().poll(context).is_ready() {
            if hang_up::has_come(&self.stream) {
                return Err(io::Error::new(io::ErrorKind::ConnectionAborted, Gone));
            }
            look.as_mut().reset(Instant::now() + LOOK_EVERY);
        }
        Ok(())
    }
}

impl<F: Unpin> AsyncRead for Watched<F> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

impl<F: Fn() + Unpin> AsyncWrite for Watched<F> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.timed(written, context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        this.timed(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.look(context)?;
        Pin::new(&mut this.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
