//! How fast a function may log: lines and bytes in a second, with some saved up.

use std::time::Instant;

/// Lines of one function in a second, and how many it may save up.
pub(super) const LINES_PER_SECOND: u32 = 100;
pub(super) const BURST_LINES: u32 = 1000;
/// Bytes of them: a node's disk and the collector behind it are everybody's.
pub(super) const BYTES_PER_SECOND: u32 = 128 << 10;
pub(super) const BURST_BYTES: u32 = 1 << 20;

/// Whether a line may be written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// Yes; so many were dropped since the last one.
    Admitted { dropped: u64 },
    /// No.
    Dropped,
}

/// Two buckets that fill by the second: one of lines, one of bytes.
#[derive(Debug)]
pub(super) struct Rate {
    lines: Bucket,
    bytes: Bucket,
    filled_at: Instant,
    dropped: u64,
}

#[derive(Debug)]
struct Bucket {
    level: f64,
    per_second: f64,
    most: f64,
}

impl Bucket {
    fn full(per_second: u32, most: u32) -> Self {
        Self {
            level: most.into(),
            per_second: per_second.into(),
            most: most.into(),
        }
    }

    fn fill(&mut self, seconds: f64) {
        let filled = seconds.mul_add(self.per_second, self.level);
        self.level = filled.min(self.most);
    }
}

impl Rate {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            lines: Bucket::full(LINES_PER_SECOND, BURST_LINES),
            bytes: Bucket::full(BYTES_PER_SECOND, BURST_BYTES),
            filled_at: now,
            dropped: 0,
        }
    }

    /// Takes a line of `bytes` out, if there is room for it.
    pub(super) fn take(&mut self, bytes: u32, now: Instant) -> Verdict {
        let passed = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.filled_at = now;
        self.lines.fill(passed);
        self.bytes.fill(passed);
        let bytes = f64::from(bytes);
        if self.lines.level < 1.0 || self.bytes.level < bytes {
            self.dropped += 1;
            return Verdict::Dropped;
        }
        self.lines.level -= 1.0;
        self.bytes.level -= bytes;
        Verdict::Admitted {
            dropped: std::mem::take(&mut self.dropped),
        }
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
            assert_eq!(rate.take(10, start), Verdict::Admitted { dropped: 0 });
        }
        assert_eq!(rate.take(10, start), Verdict::Dropped);
        assert_eq!(rate.take(10, start), Verdict::Dropped);
        let later = start + Duration::from_millis(20);
        assert_eq!(rate.take(10, later), Verdict::Admitted { dropped: 2 });
        assert_eq!(rate.take(10, later), Verdict::Admitted { dropped: 0 });
        assert_eq!(rate.take(10, later), Verdict::Dropped);
    }

    #[test]
    fn bytes_beyond_the_rate_are_dropped_too() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        let long = 8 << 10;
        for _ in 0..BURST_BYTES / long {
            assert_eq!(rate.take(long, start), Verdict::Admitted { dropped: 0 });
        }
        assert_eq!(rate.take(long, start), Verdict::Dropped);
        let later = start + Duration::from_millis(100);
        assert_eq!(rate.take(long, later), Verdict::Admitted { dropped: 1 });
        assert_eq!(rate.take(long, later), Verdict::Dropped);
    }
}
