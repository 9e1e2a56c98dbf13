//! How a pod leaves: it goes on accepting until gateways have let go, finishes what runs, then
//! ends, all within its grace period.

use std::time::{Duration, Instant};

/// Gateways have let go when no request came for this long.
const QUIET: Duration = Duration::from_secs(1);

/// Kept of the grace period for what comes after the last request.
const RESERVE: Duration = Duration::from_secs(3);

/// The times of a departure.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Drain {
    told_at: Instant,
    least: Duration,
    grace: Duration,
}

impl Drain {
    /// A departure that was asked for at `told_at`: requests are accepted for at least `least`,
    /// and everything is over after `grace`.
    #[must_use]
    pub const fn new(told_at: Instant, least: Duration, grace: Duration) -> Self {
        Self {
            told_at,
            least,
            grace,
        }
    }

    /// When the pod stops accepting, as things stand: not before `least` has passed, nor while
    /// requests still come, but at last at half of the grace period, so that the last of them may
    /// finish.
    #[must_use]
    pub fn closes_at(&self, last_arrival: Instant) -> Instant {
        let earliest = self.told_at + self.least;
        let latest = (self.told_at + self.grace / 2).max(earliest);
        (last_arrival + QUIET).clamp(earliest, latest)
    }

    /// When the process ends, whatever still runs.
    #[must_use]
    pub fn ends_at(&self) -> Instant {
        self.told_at + self.grace.saturating_sub(RESERVE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_until_gateways_have_let_go() {
        let told = Instant::now();
        let seconds = Duration::from_secs;
        let drain = Drain::new(told, seconds(5), seconds(40));
        let cases = [
            (told, seconds(5)),
            (told + seconds(3), seconds(5)),
            (told + seconds(6), seconds(7)),
            (told + seconds(19), seconds(20)),
            // They never let go.
            (told + seconds(30), seconds(20)),
        ];
        for (last_arrival, expected) in cases {
            assert_eq!(drain.closes_at(last_arrival), told + expected);
        }
        assert_eq!(drain.ends_at(), told + seconds(37));
    }

    #[test]
    fn a_short_grace_does_not_shorten_the_least() {
        let told = Instant::now();
        let drain = Drain::new(told, Duration::from_secs(5), Duration::from_secs(4));
        assert_eq!(drain.closes_at(told), told + Duration::from_secs(5));
    }
}
