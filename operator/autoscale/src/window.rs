use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// A window keeps at most about this many steps, whatever the number of samples: those that ended
/// within one such part of it are kept as one, which lasts at most that much longer.
const PARTS: u32 = 256;

/// Which extreme of a window is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Extreme {
    Lowest,
    Highest,
}

impl Extreme {
    /// Whether `left` is strictly further out than `right`.
    const fn beats(self, left: u64, right: u64) -> bool {
        match self {
            Self::Lowest => left < right,
            Self::Highest => left > right,
        }
    }
}

/// The extreme of a step function over a moving window, in constant time on the average: values
/// that a later and further one outlives are dropped.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Window {
    extreme: Extreme,
    length: Duration,
    latest: u64,
    latest_since: Instant,
    past: VecDeque<Step>,
}

/// A value that held until `ended`.
#[derive(Clone, Debug, PartialEq)]
struct Step {
    value: u64,
    /// When the first of the values ended that this step stands for.
    first_ended: Instant,
    ended: Instant,
}

impl Window {
    /// Begins with `value`, which has held for the whole length before `now`.
    pub(crate) fn new(extreme: Extreme, length: Duration, value: u64, now: Instant) -> Self {
        Self {
            extreme,
            length,
            latest: value,
            latest_since: now.checked_sub(length).unwrap_or(now),
            past: VecDeque::new(),
        }
    }

    /// From `now` on, `value` holds.
    pub(crate) fn record(&mut self, value: u64, now: Instant) {
        self.forget(now);
        if value == self.latest {
            return;
        }
        if self.latest_since < now {
            self.end(self.latest, now);
        }
        self.latest = value;
        self.latest_since = now;
    }

    /// The extreme of what has held at any moment of the window that ends at `now`.
    pub(crate) fn value(&self, now: Instant) -> u64 {
        self.outlier(now).map_or(self.latest, |step| step.value)
    }

    /// When the extreme changes though nothing new is recorded.
    pub(crate) fn changes_at(&self, now: Instant) -> Option<Instant> {
        self.outlier(now).map(|step| step.ended + self.length)
    }

    /// Whether nothing but zero is in it.
    pub(crate) fn is_zero(&self, now: Instant) -> bool {
        self.latest == 0 && self.value(now) == 0
    }

    /// The furthest past step, where it is further than the latest value.
    fn outlier(&self, now: Instant) -> Option<&Step> {
        let step = self
            .past
            .iter()
            .find(|step| self.is_inside(step.ended, now))?;
        self.extreme.beats(step.value, self.latest).then_some(step)
    }

    fn end(&mut self, value: u64, now: Instant) {
        while let Some(last) = self.past.back()
            && !self.extreme.beats(last.value, value)
        {
            self.past.pop_back();
        }
        let part = self.length / PARTS;
        match self.past.back_mut() {
            Some(last) if now.saturating_duration_since(last.first_ended) < part => {
                last.ended = now;
            }
            _ => self.past.push_back(Step {
                value,
                first_ended: now,
                ended: now,
            }),
        }
    }

    fn forget(&mut self, now: Instant) {
        while let Some(first) = self.past.front()
            && !self.is_inside(first.ended, now)
        {
            self.past.pop_front();
        }
    }

    fn is_inside(&self, ended: Instant, now: Instant) -> bool {
        ended + self.length > now
    }

    #[cfg(test)]
    pub(crate) fn steps(&self) -> usize {
        self.past.len()
    }
}
