//! A row of a table: how measured times are spread.

use std::time::Duration;

/// Measured times, sorted.
pub(super) struct Distribution(Vec<Duration>);

impl Distribution {
    pub(super) fn of(mut times: Vec<Duration>) -> Self {
        times.sort();
        Self(times)
    }

    /// The time that `percent` of the samples do not exceed.
    pub(super) fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or_default()
    }

    pub(super) fn row(&self, name: &str) -> String {
        let milliseconds = |percent| self.percentile(percent).as_secs_f64() * 1000.0;
        format!(
            "{name:<28} {:>8} {:>10.0} {:>10.0} {:>10.0} {:>10.0}",
            self.0.len(),
            milliseconds(0),
            milliseconds(50),
            milliseconds(99),
            milliseconds(100),
        )
    }

    pub(super) fn head() -> String {
        let [samples, min, p50, p99, max] = ["samples", "min ms", "p50 ms", "p99 ms", "max ms"];
        format!(
            "{:<28} {samples:>8} {min:>10} {p50:>10} {p99:>10} {max:>10}",
            ""
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples() {
        let times = (1..=30).rev().map(Duration::from_millis).collect();
        let distribution = Distribution::of(times);
        for (percent, expected) in [(0, 1), (50, 15), (99, 30), (100, 30)] {
            assert_eq!(
                distribution.percentile(percent),
                Duration::from_millis(expected)
            );
        }
    }
}
