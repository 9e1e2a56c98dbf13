//! How WASI writes to an [`Output`]: no more than the client takes.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::{
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamError, StreamResult},
};

use super::{NotTaken, Output};

/// What a program may write in one go.
const WRITE_BYTES: usize = 16 << 10;

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(Unsupported)
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl Pollable for Output {
    fn ready<'life, 'future>(&'life mut self) -> Pin<Box<dyn Future<Output = ()> + Send + 'future>>
    where
        'life: 'future,
        Self: 'future,
    {
        let pieces = self.pieces();
        Box::pin(async move {
            if let Some(pieces) = pieces {
                // Where the client has gone, the write says so.
                let _ = pieces.reserve().await;
            }
        })
    }
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(bytes).map_err(|error| match error {
            NotTaken::Closed => StreamError::Closed,
            NotTaken::Refused => StreamError::trap("the answer cannot be sent"),
        })
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        match self.pieces() {
            Some(pieces) if pieces.is_closed() => Err(StreamError::Closed),
            Some(pieces) if pieces.capacity() == 0 => Ok(0),
            _ => Ok(WRITE_BYTES),
        }
    }
}

/// Preview 1 writes through the other kind of stream.
struct Unsupported;

impl AsyncWrite for Unsupported {
    fn poll_write(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        _bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
