//! What guests write to their output, as log lines: at a limited rate and length.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmfn_crds::condition::cut;
use wasmtime_wasi::{
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamResult},
};

/// Lines of one function in a second, and how many it may save up.
const LINES_PER_SECOND: u32 = 100;
const BURST_LINES: u32 = 1000;
/// Longest line; the rest of a longer one is cut.
const LINE_MAX_BYTES: usize = 8 << 10;
/// What a guest may write in one go.
const WRITE_BYTES: usize = 64 << 10;

/// The log of one function.
#[derive(Debug)]
pub struct GuestLog {
    function: String,
    rate: Mutex<Rate>,
}

impl GuestLog {
    /// A log whose lines carry the function's name.
    #[must_use]
    pub fn new(function: &str) -> Arc<Self> {
        Arc::new(Self {
            function: function.to_owned(),
            rate: Mutex::new(Rate::new(Instant::now())),
        })
    }

    /// Name of the function.
    #[must_use]
    pub fn function(&self) -> &str {
        &self.function
    }

    /// Writes a line about the guest, under the same limit as its own.
    pub fn warn(&self, reason: &str, message: &str) {
        if self.admits() {
            let message = cut(message, LINE_MAX_BYTES);
            tracing::warn!(target: "guest", function = self.function, reason, "{message}");
        }
    }

    fn line(&self, stream: &str, line: &[u8]) {
        if self.admits() {
            let text = String::from_utf8_lossy(line);
            tracing::info!(target: "guest", function = self.function, stream, "{text}");
        }
    }

    fn admits(&self) -> bool {
        let verdict = self
            .rate
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(Instant::now());
        if let Verdict::Admitted { dropped } = verdict
            && dropped > 0
        {
            tracing::warn!(target: "guest", function = self.function, dropped, "lines were dropped: more than {LINES_PER_SECOND} a second");
        }
        matches!(verdict, Verdict::Admitted { .. })
    }

    /// An output of one instance.
    #[must_use]
    pub fn stream(self: &Arc<Self>, name: &'static str) -> LogStream {
        LogStream(Arc::new(Mutex::new(Lines {
            log: Arc::clone(self),
            stream: name,
            pending: Vec::new(),
            is_cut: false,
        })))
    }
}

/// Whether a line may be written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    /// Yes; so many were dropped since the last one.
    Admitted { dropped: u64 },
    /// No.
    Dropped,
}

/// A bucket of lines that fills by the second.
#[derive(Debug)]
struct Rate {
    lines: f64,
    filled_at: Instant,
    dropped: u64,
}

impl Rate {
    fn new(now: Instant) -> Self {
        Self {
            lines: BURST_LINES.into(),
            filled_at: now,
            dropped: 0,
        }
    }

    fn take(&mut self, now: Instant) -> Verdict {
        let passed = now.saturating_duration_since(self.filled_at);
        self.filled_at = now;
        let filled = passed
            .as_secs_f64()
            .mul_add(LINES_PER_SECOND.into(), self.lines);
        self.lines = filled.min(BURST_LINES.into());
        if self.lines < 1.0 {
            self.dropped += 1;
            return Verdict::Dropped;
        }
        self.lines -= 1.0;
        Verdict::Admitted {
            dropped: std::mem::take(&mut self.dropped),
        }
    }
}

/// One of an instance's outputs; clones share the line that is being written.
#[derive(Clone, Debug)]
pub struct LogStream(Arc<Mutex<Lines>>);

#[derive(Debug)]
struct Lines {
    log: Arc<GuestLog>,
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
        self.log.line(self.stream, &self.pending);
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
    use std::time::Duration;

    #[test]
    fn lines_beyond_the_rate_are_dropped_and_counted() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        for _ in 0..BURST_LINES {
            assert_eq!(rate.take(start), Verdict::Admitted { dropped: 0 });
        }
        assert_eq!(rate.take(start), Verdict::Dropped);
        assert_eq!(rate.take(start), Verdict::Dropped);
        let later = start + Duration::from_millis(20);
        assert_eq!(rate.take(later), Verdict::Admitted { dropped: 2 });
        assert_eq!(rate.take(later), Verdict::Admitted { dropped: 0 });
        assert_eq!(rate.take(later), Verdict::Dropped);
    }

    #[test]
    fn long_lines_are_cut_and_take_no_more_memory() {
        let stream = GuestLog::new("f").stream("stdout");
        for _ in 0..10 {
            stream.write_now(&[b'a'; LINE_MAX_BYTES]);
        }
        let lines = stream.0.lock().unwrap();
        assert_eq!(lines.pending.len(), LINE_MAX_BYTES);
        assert!(lines.is_cut);
    }

    #[test]
    fn lines_end_where_the_guest_ends_them() {
        let stream = GuestLog::new("f").stream("stdout");
        stream.write_now(b"one\ntw");
        assert_eq!(stream.0.lock().unwrap().pending, b"tw");
        stream.write_now(b"o\n");
        assert!(stream.0.lock().unwrap().pending.is_empty());
    }
}
