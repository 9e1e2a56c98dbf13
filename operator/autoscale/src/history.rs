use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{
    Inputs,
    demand::excess,
    window::{Extreme, Window},
};

/// How long a demand has to last before pods are added to those that are there: longer than a burst
/// that one pod clears in 200 ms, and half of what a change of load may take to show in `replicas`.
pub const LASTING: Duration = Duration::from_millis(250);

/// Whoever was not asked for this long (a suspended machine, a process that had no CPU) cannot vouch
/// for what happened meanwhile. Three times as long as the operator ever leaves a deployment alone.
const GAP: Duration = Duration::from_secs(30);

/// What was asked of a deployment of late: kept between decisions, for each deployment.
///
/// Demand is kept as what is asked for beyond the functions' fewest pods, summed over those with the
/// same window, so that a thousand functions take as much room as one, and a changed `minReplicas`
/// counts at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    watched: Option<Watched>,
    lasting: Option<Window>,
    highest: BTreeMap<Duration, Window>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Watched {
    since: Instant,
    until: Instant,
}

impl History {
    /// Takes in what is there now.
    pub fn observe(&mut self, inputs: &Inputs, now: Instant) {
        let watched = match self.watched {
            Some(watched) if now.saturating_duration_since(watched.until) <= GAP => watched,
            _ => Watched {
                since: now,
                until: now,
            },
        };
        let now = now.max(watched.until);
        self.watched = Some(Watched {
            since: watched.since,
            until: now,
        });
        let mut by_window = self.of_no_function();
        for function in &inputs.functions {
            let sum: &mut u64 = by_window.entry(function.scale_down_window).or_default();
            *sum = sum.saturating_add(excess(function));
        }
        let all = by_window
            .values()
            .fold(0_u64, |all, sum| all.saturating_add(*sum));
        self.lasting
            .get_or_insert_with(|| Window::new(Extreme::Lowest, LASTING, 0, now))
            .record(all, now);
        for (length, sum) in by_window {
            if sum > 0 || self.highest.contains_key(&length) {
                self.highest
                    .entry(length)
                    .or_insert_with(|| Window::new(Extreme::Highest, length, 0, now))
                    .record(sum, now);
            }
        }
        self.highest.retain(|_, window| !window.is_zero(now));
    }

    /// Since when it has been observed without a gap.
    pub(crate) fn since(&self) -> Option<Instant> {
        self.watched.map(|watched| watched.since)
    }

    /// The demand beyond the fewest pods that has lasted, in millionths of a pod.
    pub(crate) fn lasting(&self, now: Instant) -> u64 {
        self.lasting.as_ref().map_or(0, |window| window.value(now))
    }

    /// The highest demand beyond the fewest pods, each function over its own window.
    pub(crate) fn highest(&self, now: Instant) -> u64 {
        self.highest
            .values()
            .fold(0_u64, |all, window| all.saturating_add(window.value(now)))
    }

    /// When [`Self::lasting`] may rise by time alone.
    pub(crate) fn rises_at(&self, now: Instant) -> Option<Instant> {
        self.lasting.as_ref()?.changes_at(now)
    }

    /// When [`Self::highest`] may fall by time alone.
    pub(crate) fn falls_at(&self, now: Instant) -> Option<Instant> {
        let windows = self.highest.values();
        windows.filter_map(|window| window.changes_at(now)).min()
    }

    /// A window whose functions are gone has nobody who asks any more.
    fn of_no_function(&self) -> BTreeMap<Duration, u64> {
        self.highest.keys().map(|length| (*length, 0)).collect()
    }
}
