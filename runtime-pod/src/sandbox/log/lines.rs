//! An output of an instance, cut into lines.

use super::{LINE_MAX_BYTES, RequestLog, Source};
use crate::sandbox::Print;

/// One of an instance's outputs.
#[derive(Debug)]
pub(crate) struct Lines {
    log: RequestLog,
    stream: &'static str,
    pending: Vec<u8>,
    is_cut: bool,
}

impl Print for Lines {
    fn print(&mut self, bytes: &[u8]) {
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
}

impl Lines {
    pub(super) const fn new(log: RequestLog, stream: &'static str) -> Self {
        Self {
            log,
            stream,
            pending: Vec::new(),
            is_cut: false,
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

impl Lines {
    /// Ends a line that the guest has left open.
    pub(crate) fn finish(&mut self) {
        if !self.pending.is_empty() {
            self.end();
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::sandbox::GuestLog;

    fn stdout() -> Lines {
        Lines::new(
            RequestLog::new(GuestLog::new("f", Arc::default())),
            "stdout",
        )
    }

    #[test]
    fn long_lines_are_cut_and_take_no_more_memory() {
        let mut lines = stdout();
        for _ in 0..10 {
            lines.print(&[b'a'; LINE_MAX_BYTES]);
        }
        assert_eq!(lines.pending.len(), LINE_MAX_BYTES);
        assert!(lines.is_cut);
    }

    #[test]
    fn lines_end_where_the_guest_ends_them() {
        let mut lines = stdout();
        lines.print(b"one\ntw");
        assert_eq!(lines.pending, b"tw");
        lines.print(b"o\n");
        assert!(lines.pending.is_empty());
    }
}
