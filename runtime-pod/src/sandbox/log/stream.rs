//! An output of an instance, cut into lines.

use std::{
    io,
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

use super::{LINE_MAX_BYTES, RequestLog, Source};

/// What a guest may write in one go.
const WRITE_BYTES: usize = 64 << 10;

/// One of an instance's outputs; clones share the line that is being written.
#[derive(Clone, Debug)]
pub struct LogStream(Arc<Mutex<Lines>>);

#[derive(Debug)]
struct Lines {
    log: RequestLog,
    stream: &'static str,
    pending: Vec<u8>,
    is_cut: bool,
}

impl Lines {
    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            match part.strip_suffix(b"\n") {
                Some(rest) => {
                    self.append(rest);
                    self.end();
                }
                None => self.append(part),
            }
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        let room = LINE_MAX_BYTES - self.pending.len();
        self.is_cut |= bytes.len() > room;
        self.pending
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn end(&mut self) {
        if self.is_cut {
            self.pending.extend_from_slice(" [cut]".as_bytes());
        }
        let text = String::from_utf8_lossy(&self.pending);
        self.log.line(Source::Output(self.stream), &text);
        self.pending.clear();
        self.is_cut = false;
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if !self.pending.is_empty() {
            self.end();
        }
    }
}

impl LogStream {
    pub(super) fn new(log: RequestLog, name: &'static str) -> Self {
        Self(Arc::new(Mutex::new(Lines {
            log,
            stream: name,
            pending: Vec::new(),
            is_cut: false,
        })))
    }

    fn write_now(&self, bytes: &[u8]) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write(bytes);
    }
}

impl IsTerminal for LogStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for LogStream {
    fn poll_write(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write_now(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Pollable for LogStream {
    fn ready<'life, 'future>(&'life mut self) -> Pin<Box<dyn Future<Output = ()> + Send + 'future>>
    where
        'life: 'future,
        Self: 'future,
    {
        Box::pin(std::future::ready(()))
    }
}

impl OutputStream for LogStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.write_now(&bytes);
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
    use crate::sandbox::GuestLog;

    fn stdout() -> LogStream {
        RequestLog::new(GuestLog::new("f", Arc::default())).stream("stdout")
    }

    #[test]
    fn long_lines_are_cut_and_take_no_more_memory() {
        let stream = stdout();
        for _ in 0..10 {
            stream.write_now(&[b'a'; LINE_MAX_BYTES]);
        }
        let lines = stream.0.lock().unwrap();
        assert_eq!(lines.pending.len(), LINE_MAX_BYTES);
        assert!(lines.is_cut);
    }

    #[test]
    fn lines_end_where_the_guest_ends_them() {
        let stream = stdout();
        stream.write_now(b"one\ntw");
        assert_eq!(stream.0.lock().unwrap().pending, b"tw");
        stream.write_now(b"o\n");
        assert!(stream.0.lock().unwrap().pending.is_empty());
    }
}
