use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Instants are kept as microseconds since this one, so that they fit an atomic. It lies a little
/// back: whoever asks first brings an instant that was taken before.
static BEGINNING: LazyLock<Instant> = LazyLock::new(|| {
    let now = Instant::now();
    now.checked_sub(Duration::from_secs(60)).unwrap_or(now)
});

/// How long something is set aside: each time in a row twice as long. Read without a lock.
#[derive(Debug, Default)]
pub struct Aside {
    /// When it may be tried again; zero where it is not set aside.
    until_microseconds: AtomicU64,
    /// Until when the one who tries it again has to find out.
    claimed_until_microseconds: AtomicU64,
    in_a_row: AtomicU32,
}

/// The first pause and the longest.
#[derive(Clone, Copy, Debug)]
pub struct Pauses {
    /// After the first failure.
    pub first: Duration,
    /// Never longer.
    pub longest: Duration,
}

impl Aside {
    /// It failed once more. Failures while it is set aside already say nothing new: many requests
    /// that fail together count once.
    pub fn extend(&self, now: Instant, pauses: Pauses) {
        let now_microseconds = microseconds(now);
        if now_microseconds < self.until_microseconds.load(Ordering::Acquire) {
            return;
        }
        let in_a_row = self.in_a_row.fetch_add(1, Ordering::Relaxed);
        let pause = pauses
            .first
            .saturating_mul(1 << in_a_row.min(16))
            .min(pauses.longest);
        self.until_microseconds
            .store(microseconds(now + pause), Ordering::Release);
        self.claimed_until_microseconds.store(0, Ordering::Release);
    }

    /// Whether it is set aside at `now`, or another one finds out whether it still has to be.
    #[must_use]
    pub fn holds(&self, now: Instant) -> bool {
        self.left(now) > Duration::ZERO
    }

    /// Whether it has failed and not succeeded since, be its pause over or not.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.until_microseconds.load(Ordering::Acquire) > 0
    }

    /// How long it is still set aside.
    #[must_use]
    pub fn left(&self, now: Instant) -> Duration {
        let until = self.until_microseconds.load(Ordering::Acquire);
        if until == 0 {
            return Duration::ZERO;
        }
        let claimed_until = self.claimed_until_microseconds.load(Ordering::Acquire);
        Duration::from_micros(until.max(claimed_until).saturating_sub(microseconds(now)))
    }

    /// Lets one caller try what has failed before: to others it is set aside for `during` longer.
    pub fn claim(&self, now: Instant, during: Duration) -> bool {
        if !self.is_set() {
            return true;
        }
        let claimed_until = self.claimed_until_microseconds.load(Ordering::Acquire);
        !self.holds(now)
            && self
                .claimed_until_microseconds
                .compare_exchange(
                    claimed_until,
                    microseconds(now + during),
                    Ordering::AcqRel,
                    Ordering::Acquire,
                )
                .is_ok()
    }

    /// There is reason to try again now. Should that fail, the pause goes on growing.
    pub fn lift(&self) {
        self.until_microseconds.store(0, Ordering::Release);
    }

    /// It succeeded.
    pub fn clear(&self) {
        if self.in_a_row.load(Ordering::Relaxed) > 0 {
            self.in_a_row.store(0, Ordering::Relaxed);
            self.lift();
        }
    }
}

fn microseconds(instant: Instant) -> u64 {
    // One more, so that zero is free to mean "not set aside".
    let since = instant.saturating_duration_since(*BEGINNING).as_micros();
    u64::try_from(since).unwrap_or(u64::MAX - 1) + 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAUSES: Pauses = Pauses {
        first: Duration::from_millis(10),
        longest: Duration::from_millis(160),
    };

    #[test]
    fn pauses_double_up_to_a_bound_and_end_with_success() {
        let aside = Aside::default();
        let mut now = Instant::now();
        for expected in [10, 20, 40, 80, 160, 160] {
            aside.extend(now, PAUSES);
            let pause = Duration::from_millis(expected);
            assert_eq!(aside.left(now), pause);
            assert!(aside.holds(now + pause - Duration::from_micros(1)));
            now += pause;
            assert!(!aside.holds(now));
            assert!(aside.is_set());
        }
        aside.lift();
        assert!(!aside.is_set());
        aside.extend(now, PAUSES);
        assert_eq!(aside.left(now), PAUSES.longest);
        aside.clear();
        assert!(!aside.is_set());
        aside.extend(now, PAUSES);
        assert_eq!(aside.left(now), PAUSES.first);
    }

    #[test]
    fn one_at_a_time_tries_what_has_failed() {
        let aside = Aside::default();
        let now = Instant::now();
        let during = Duration::from_secs(1);
        assert!(aside.claim(now, during), "it never failed");
        assert!(aside.claim(now, during));
        aside.extend(now, PAUSES);
        assert!(!aside.claim(now, during), "it is set aside");
        let later = now + PAUSES.first;
        assert!(aside.claim(later, during));
        assert!(!aside.claim(later, during), "another one tries");
        aside.extend(later, PAUSES);
        assert_eq!(aside.left(later), PAUSES.first * 2);
        assert!(aside.claim(later + during, during));
    }

    proptest! {
        #[test]
        fn failures_together_count_once(together in 1_u32..100) {
            let aside = Aside::default();
            let now = Instant::now();
            for _ in 0..together {
                aside.extend(now, PAUSES);
            }
            prop_assert_eq!(aside.left(now), PAUSES.first);
        }
    }
}
