//! Requests in flight and queued, per function: exact at every instant, without a lock.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use tokio::sync::watch;

/// Where a request is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stage {
    /// It waits for a pod that can begin it.
    Queued,
    /// It was passed on and is not answered in full.
    InFlight,
}

/// Tells readers at once that a count went from zero or came to zero.
#[derive(Clone, Debug)]
pub struct Crossings(Arc<watch::Sender<()>>);

impl Default for Crossings {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(())))
    }
}

impl Crossings {
    /// Marks as changed at each crossing from now on.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.0.subscribe()
    }

    fn tell(&self) {
        self.0.send_replace(());
    }
}

/// Counts of one function at this gateway.
#[derive(Debug)]
pub struct Counts {
    in_flight: AtomicU32,
    queued: AtomicU32,
    ever: AtomicBool,
    crossings: Crossings,
}

impl Counts {
    /// Nothing counted yet.
    #[must_use]
    pub fn new(crossings: Crossings) -> Self {
        Self {
            in_flight: AtomicU32::new(0),
            queued: AtomicU32::new(0),
            ever: AtomicBool::new(false),
            crossings,
        }
    }

    /// Requests that were passed on and are not answered in full.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Acquire)
    }

    /// Requests that wait.
    #[must_use]
    pub fn queued(&self) -> u32 {
        self.queued.load(Ordering::Acquire)
    }

    /// Whether a request was ever counted.
    #[must_use]
    pub fn ever_counted(&self) -> bool {
        self.ever.load(Ordering::Acquire)
    }

    /// Whether nothing is in flight or queued.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.in_flight() == 0 && self.queued() == 0
    }

    const fn of(&self, stage: Stage) -> &AtomicU32 {
        match stage {
            Stage::Queued => &self.queued,
            Stage::InFlight => &self.in_flight,
        }
    }

    fn add(&self, stage: Stage) {
        if self.of(stage).fetch_add(1, Ordering::AcqRel) == 0 {
            self.ever.store(true, Ordering::Release);
            self.crossings.tell();
        }
    }

    fn remove(&self, stage: Stage) {
        if self.of(stage).fetch_sub(1, Ordering::AcqRel) == 1 {
            self.crossings.tell();
        }
    }
}

/// One request, counted until this is dropped.
#[derive(Debug)]
pub struct Counted {
    counts: Arc<Counts>,
    stage: Stage,
}

impl Counted {
    /// Counts a request.
    #[must_use]
    pub fn new(counts: Arc<Counts>, stage: Stage) -> Self {
        counts.add(stage);
        Self { counts, stage }
    }

    /// Moves the request. It is never uncounted in between.
    pub fn move_to(&mut self, stage: Stage) {
        if self.stage != stage {
            self.counts.add(stage);
            self.counts.remove(self.stage);
            self.stage = stage;
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.counts.remove(self.stage);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_once_until_it_is_dropped() {
        let crossings = Crossings::default();
        let mut seen = crossings.subscribe();
        let counts = Arc::new(Counts::new(crossings));
        assert!(!counts.ever_counted());
        let mut first = Counted::new(counts.clone(), Stage::Queued);
        assert!(seen.has_changed().unwrap());
        seen.mark_unchanged();
        let second = Counted::new(counts.clone(), Stage::Queued);
        assert!(!seen.has_changed().unwrap(), "one to two crosses nothing");
        first.move_to(Stage::InFlight);
        assert_eq!((counts.in_flight(), counts.queued()), (1, 1));
        drop(second);
        drop(first);
        assert!(counts.is_idle());
        assert!(counts.ever_counted());
    }

    #[test]
    fn a_panic_leaks_nothing() {
        let counts = Arc::new(Counts::new(Crossings::default()));
        let held = counts.clone();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _counted = Counted::new(held, Stage::InFlight);
            panic!("as a test");
        }));
        assert!(panicked.is_err());
        assert!(counts.is_idle());
    }
}
