use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use prometheus_client::encoding::MetricEncoder;

/// Upper bounds, in seconds.
const BOUNDS_SECONDS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
];
/// Buckets: one for each bound, and one for what is beyond.
const BUCKETS: usize = BOUNDS_SECONDS.len() + 1;

/// Durations, counted without a lock.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum_microseconds: AtomicU64,
}

impl Histogram {
    pub(super) fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = BOUNDS_SECONDS.partition_point(|bound| *bound < seconds);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.sum_microseconds
            .fetch_add(microseconds, Ordering::Relaxed);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.buckets
            .iter()
            .all(|bucket| bucket.load(Ordering::Relaxed) == 0)
    }

    pub(super) fn encode(&self, mut encoder: MetricEncoder) -> std::fmt::Result {
        let bounds = BOUNDS_SECONDS.into_iter().chain([f64::MAX]);
        let counts = self
            .buckets
            .iter()
            .map(|bucket| bucket.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = Duration::from_micros(self.sum_microseconds.load(Ordering::Relaxed));
        encoder.encode_histogram::<[(&str, &str); 0]>(sum.as_secs_f64(), count, &buckets, None)
    }
}
