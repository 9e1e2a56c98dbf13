//! Tells those who report that there is something new to report.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

/// Counts changes: those that are told at once, and all.
#[derive(Debug)]
pub struct Changes {
    urgent: watch::Sender<u64>,
    all: AtomicU64,
}

impl Default for Changes {
    fn default() -> Self {
        Self {
            urgent: watch::channel(0).0,
            all: AtomicU64::new(0),
        }
    }
}

impl Changes {
    /// Something changed that is told at once.
    pub fn urgent(&self) {
        self.all.fetch_add(1, Ordering::Relaxed);
        self.urgent
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    /// A number changed; that it is no longer zero is told at once.
    pub fn count(&self, from_zero: bool) {
        if from_zero {
            self.urgent();
        } else {
            self.all.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Follows the urgent changes.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<u64> {
        self.urgent.subscribe()
    }

    /// A number that differs from an earlier one if anything has changed since.
    #[must_use]
    pub fn stamp(&self) -> u64 {
        self.all.load(Ordering::Relaxed)
    }
}
