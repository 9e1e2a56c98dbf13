//! An output of a guest that takes at once whatever is written to it, so that a guest never waits
//! for it.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::{
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamResult},
};

/// What a guest may write in one go.
const WRITE_BYTES: usize = 64 << 10;

/// What becomes of the bytes that a guest prints.
pub(crate) trait Print: Send + 'static {
    /// Takes all of `bytes`.
    fn print(&mut self, bytes: &[u8]);
}

/// One of an instance's outputs; clones share what takes the bytes.
#[derive(Debug)]
pub(crate) struct Printer<P>(Arc<Mutex<P>>);

impl<P> Printer<P> {
    pub(crate) fn to(print: P) -> Self {
        Self(Arc::new(Mutex::new(print)))
    }

    /// What takes the bytes.
    pub(crate) fn lock(&self) -> MutexGuard<'_, P> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P> Clone for Printer<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P> IsTerminal for Printer<P> {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl<P: Print> StdoutStream for Printer<P> {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl<P: Print> AsyncWrite for Printer<P> {
    fn poll_write(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.lock().print(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl<P: Print> Pollable for Printer<P> {
    fn ready<'life, 'future>(&'life mut self) -> Pin<Box<dyn Future<Output = ()> + Send + 'future>>
    where
        'life: 'future,
        Self: 'future,
    {
        Box::pin(std::future::ready(()))
    }
}

impl<P: Print> OutputStream for Printer<P> {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.lock().print(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}
