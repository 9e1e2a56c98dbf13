//! Requests in flight and queued, per function: exact at every instant, without a lock.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
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

impl Stage {
    const ALL: [Self; 2] = [Self::Queued, Self::InFlight];

    /// One request, in a word that holds the queued ones below and those in flight above.
    const fn one(self) -> u64 {
        match self {
            Self::Queued => 1,
            Self::InFlight => 1 << 32,
        }
    }
}

/// Both counts at the same instant.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Demand {
    /// Requests that were passed on and are not answered in full.
    pub in_flight: u32,
    /// Requests that wait.
    pub queued: u32,
}

impl Demand {
    const fn of_word(word: u64) -> Self {
        Self {
            in_flight: (word >> 32) as u32,
            queued: word as u32,
        }
    }

    const fn at(self, stage: Stage) -> u32 {
        match stage {
            Stage::Queued => self.queued,
            Stage::InFlight => self.in_flight,
        }
    }
}

/// Tells readers at once that a count, which one of them knows as zero, is so no more.
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
    /// Both counts in one word, so that a request that moves is never counted twice or not at all.
    both: AtomicU64,
    ever: AtomicBool,
    /// For each stage: a reader was told of zero, or is about to be, and wants to hear of the next
    /// request. Most requests find this unset and touch nothing that functions share.
    armed: [AtomicBool; 2],
    /// A request was passed on since a reader last looked.
    busy: AtomicBool,
    crossings: Crossings,
}

impl Counts {
    /// Nothing counted yet.
    #[must_use]
    pub fn new(crossings: Crossings) -> Self {
        Self {
            both: AtomicU64::new(0),
            ever: AtomicBool::new(false),
            armed: [AtomicBool::new(true), AtomicBool::new(true)],
            busy: AtomicBool::new(false),
            crossings,
        }
    }

    /// Both counts.
    #[must_use]
    pub fn demand(&self) -> Demand {
        Demand::of_word(self.both.load(Ordering::SeqCst))
    }

    /// Requests that were passed on and are not answered in full.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.demand().in_flight
    }

    /// Requests that wait.
    #[must_use]
    pub fn queued(&self) -> u32 {
        self.demand().queued
    }

    /// Both counts, for a reader that looks again before long. Once a count that is zero here is so no
    /// more, [`Crossings`] tell; but not of requests that pods take of a function that is called all the
    /// time, and idle between its calls: these its reader finds when it looks again.
    #[must_use]
    pub fn demand_to_tell(&self) -> Demand {
        let was_busy = self.busy.swap(false, Ordering::SeqCst);
        loop {
            let seen = self.demand();
            for stage in Stage::ALL {
                let waits = stage == Stage::Queued || !was_busy;
                if seen.at(stage) == 0 && waits {
                    self.armed[stage as usize].store(true, Ordering::SeqCst);
                }
            }
            // A request that came in between may have found nothing armed: it is seen here.
            let now = self.demand();
            let is_told = |stage| now.at(stage) > 0 || seen.at(stage) == 0;
            if Stage::ALL.into_iter().all(is_told) {
                return now;
            }
        }
    }

    /// Whether a request was ever counted.
    #[must_use]
    pub fn ever_counted(&self) -> bool {
        self.ever.load(Ordering::Acquire)
    }

    /// Whether nothing is in flight or queued.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.demand() == Demand::default()
    }

    fn add(&self, stage: Stage) {
        if !self.ever_counted() {
            self.ever.store(true, Ordering::Release);
        }
        let before = self.both.fetch_add(stage.one(), Ordering::SeqCst);
        self.entered(stage, before);
    }

    fn remove(&self, stage: Stage) {
        self.both.fetch_sub(stage.one(), Ordering::SeqCst);
    }

    fn shift(&self, from: Stage, to: Stage) {
        let difference = to.one().wrapping_sub(from.one());
        let before = self.both.fetch_add(difference, Ordering::SeqCst);
        self.entered(to, before);
    }

    fn entered(&self, stage: Stage, before: u64) {
        if stage == Stage::InFlight && !self.busy.load(Ordering::Relaxed) {
            self.busy.store(true, Ordering::Relaxed);
        }
        let armed = &self.armed[stage as usize];
        if Demand::of_word(before).at(stage) == 0
            && armed.load(Ordering::SeqCst)
            && armed.swap(false, Ordering::SeqCst)
        {
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

    /// Moves the request, in one step.
    pub fn move_to(&mut self, stage: Stage) {
        if self.stage != stage {
            self.counts.shift(self.stage, stage);
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
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[test]
    fn a_request_is_counted_once_until_it_is_dropped() {
        let counts = Arc::new(Counts::new(Crossings::default()));
        assert!(!counts.ever_counted());
        let mut first = Counted::new(counts.clone(), Stage::Queued);
        let second = Counted::new(counts.clone(), Stage::Queued);
        first.move_to(Stage::InFlight);
        assert_eq!((counts.in_flight(), counts.queued()), (1, 1));
        drop(second);
        drop(first);
        assert!(counts.is_idle());
        assert!(counts.ever_counted());
    }

    #[test]
    fn readers_hear_at_once_of_what_they_know_as_zero_and_of_nothing_else() {
        let crossings = Crossings::default();
        let mut told = crossings.subscribe();
        let mut heard = || {
            let heard = told.has_changed().unwrap();
            told.mark_unchanged();
            heard
        };
        let counts = Arc::new(Counts::new(crossings));
        let mut first = Counted::new(counts.clone(), Stage::Queued);
        assert!(heard(), "nobody has heard of the function");
        drop(Counted::new(counts.clone(), Stage::Queued));
        assert!(!heard(), "one to two crosses nothing");
        first.move_to(Stage::InFlight);
        assert!(heard(), "nobody has heard of any in flight");
        drop(first);
        for _ in 0..10 {
            drop(Counted::new(counts.clone(), Stage::InFlight));
        }
        assert!(!heard(), "readers know of one still");
        assert_eq!(counts.demand_to_tell(), Demand::default());
        drop(Counted::new(counts.clone(), Stage::InFlight));
        assert!(!heard(), "it is called all the time");
        assert_eq!(counts.demand_to_tell(), Demand::default());
        assert_eq!(counts.demand_to_tell(), Demand::default(), "it was quiet");
        let last = Counted::new(counts.clone(), Stage::InFlight);
        assert!(heard());
        assert_eq!(counts.demand_to_tell().in_flight, 1);
        drop(last);
        let _next = Counted::new(counts.clone(), Stage::InFlight);
        assert!(!heard());
    }

    /// One request goes round its stages while another thread looks.
    #[test]
    fn a_moving_request_is_never_seen_twice_or_not_at_all() {
        let counts = Arc::new(Counts::new(Crossings::default()));
        let mut moving = Counted::new(counts.clone(), Stage::Queued);
        let looks = AtomicU32::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..100_000 {
                    let Demand { in_flight, queued } = counts.demand();
                    assert_eq!(in_flight + queued, 1);
                    looks.fetch_add(1, Ordering::Relaxed);
                }
            });
            while looks.load(Ordering::Relaxed) < 100_000 {
                moving.move_to(Stage::InFlight);
                moving.move_to(Stage::Queued);
            }
        });
    }

    /// A reader that has told of zero must hear of the next request, however the two interleave.
    #[test]
    fn no_request_slips_past_a_reader() {
        let crossings = Crossings::default();
        let mut told = crossings.subscribe();
        let counts = Arc::new(Counts::new(crossings));
        for stage in Stage::ALL {
            for _ in 0..2000 {
                // A reader that has seen a quiet function.
                let _ = counts.demand_to_tell();
                drop(Counted::new(counts.clone(), Stage::Queued));
                told.mark_unchanged();
                let held = counts.clone();
                let coming = std::thread::spawn(move || Counted::new(held, stage));
                let seen = counts.demand_to_tell();
                let counted = coming.join().unwrap();
                assert!(seen.at(stage) == 1 || told.has_changed().unwrap());
                drop(counted);
            }
        }
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
