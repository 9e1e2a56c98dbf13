//! How many requests there may be at the same time, and how many of one function.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicUsize, Ordering},
};

/// Places for the requests of all clients.
#[derive(Debug)]
pub struct Places {
    most: usize,
    taken: AtomicUsize,
}

/// How many of them one function has.
#[derive(Clone, Debug, Default)]
pub struct Taken(Arc<AtomicUsize>);

/// The place of one request, free again when this is dropped.
#[derive(Debug)]
pub struct Room {
    places: Arc<Places>,
    function: OnceLock<Taken>,
}

impl Places {
    /// So many.
    #[must_use]
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            taken: AtomicUsize::new(0),
        })
    }

    /// Takes one. Nothing where none is free.
    #[must_use]
    pub fn take(self: &Arc<Self>) -> Option<Room> {
        self.taken
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                (taken < self.most).then_some(taken + 1)
            })
            .is_ok()
            .then(|| Room {
                places: self.clone(),
                function: OnceLock::new(),
            })
    }

    fn free(&self) -> usize {
        self.most.saturating_sub(self.taken.load(Ordering::Relaxed))
    }
}

impl Room {
    /// Counts the request, which is for the function that has `taken` others. Not where it would then have more
    /// than are free: a function leaves as many to others as it takes, so that one which answers slowly does not
    /// keep out all (as [`Budget`](crate::proxy::body::Budget) has it for bytes).
    #[must_use]
    pub fn give_to(&self, taken: &Taken) -> bool {
        let before = taken.0.fetch_add(1, Ordering::Relaxed);
        let fits = before <= self.places.free();
        if !fits || self.function.set(taken.clone()).is_err() {
            taken.0.fetch_sub(1, Ordering::Relaxed);
        }
        fits
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.places.taken.fetch_sub(1, Ordering::Relaxed);
        if let Some(taken) = self.function.get() {
            taken.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many as the function gets.
    fn flood(places: &Arc<Places>, taken: &Taken) -> Vec<Room> {
        let one = || places.take().filter(|room| room.give_to(taken));
        std::iter::from_fn(one).collect()
    }

    #[test]
    fn requests_give_their_places_back() {
        let places = Places::new(2);
        let (first, _second) = (places.take().unwrap(), places.take().unwrap());
        assert!(places.take().is_none());
        drop(first);
        let _third = places.take().unwrap();
        assert!(places.take().is_none());
    }

    #[test]
    fn a_function_leaves_as_many_as_it_takes() {
        let places = Places::new(100);
        let (one, other, late) = (Taken::default(), Taken::default(), Taken::default());
        let first = flood(&places, &one);
        assert_eq!(first.len(), 50);
        assert_eq!(flood(&places, &other).len(), 25);
        let _second = flood(&places, &other);
        assert_eq!(flood(&places, &late).len(), 13);
        drop(first);
        assert_eq!(flood(&places, &one).len(), 38, "all were given back");
    }

    #[test]
    fn the_only_place_is_for_any_function() {
        assert_eq!(flood(&Places::new(1), &Taken::default()).len(), 1);
    }
}
