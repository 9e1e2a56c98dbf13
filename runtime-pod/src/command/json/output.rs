//! Standard output of a JSON command: kept up to its limit, counted beyond it.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::{
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamResult},
};

use crate::command::CommandError;

/// What a program may write in one go.
const WRITE_BYTES: usize = 64 << 10;

/// One call's output; clones share it.
#[derive(Clone, Debug)]
pub(in crate::command) struct Output(Arc<Mutex<Printed>>);

#[derive(Debug)]
struct Printed {
    kept: Vec<u8>,
    count_bytes: u64,
    limit_bytes: u64,
}

impl Output {
    /// Keeps at most `limit_bytes`.
    pub(in crate::command) fn new(limit_bytes: u64) -> Self {
        Self(Arc::new(Mutex::new(Printed {
            kept: Vec::new(),
            count_bytes: 0,
            limit_bytes,
        })))
    }

    /// What was printed, if it was not too much.
    ///
    /// # Errors
    /// [`CommandError::AnswerTooLarge`] with the count.
    pub(in crate::command) fn take(&self) -> Result<Bytes, CommandError> {
        let mut printed = self.lock();
        if printed.count_bytes > printed.limit_bytes {
            return Err(CommandError::AnswerTooLarge {
                printed_bytes: printed.count_bytes,
                limit_bytes: printed.limit_bytes,
            });
        }
        Ok(std::mem::take(&mut printed.kept).into())
    }

    fn append(&self, bytes: &[u8]) {
        let mut printed = self.lock();
        printed.count_bytes = printed.count_bytes.saturating_add(bytes.len() as u64);
        if printed.count_bytes <= printed.limit_bytes {
            printed.kept.extend_from_slice(bytes);
        } else {
            // Nothing of it will be sent.
            printed.kept = Vec::new();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Printed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for Output {
    fn poll_write(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.append(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Pollable for Output {
    fn ready<'life, 'future>(&'life mut self) -> Pin<Box<dyn Future<Output = ()> + Send + 'future>>
    where
        'life: 'future,
        Self: 'future,
    {
        Box::pin(std::future::ready(()))
    }
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.append(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_allowed_and_counts_the_rest() {
        let mut output = Output::new(5);
        output.write(Bytes::from_static(b"abc")).unwrap();
        output.write(Bytes::from_static(b"de")).unwrap();
        assert_eq!(output.clone().take().unwrap(), "abcde");

        let mut output = Output::new(5);
        output.write(Bytes::from_static(b"abcdef")).unwrap();
        output.write(Bytes::from_static(b"gh")).unwrap();
        let error = output.take().unwrap_err().to_string();
        assert!(
            error.contains("8 bytes, 3 more than the allowed 5"),
            "{error}"
        );
    }
}
