//! Things that wait to be used again, by what they belong to: a pure container. Time comes as an
//! argument.

use std::{
    collections::HashMap,
    hash::Hash,
    time::{Duration, Instant},
};

/// Things that wait, the one that waits for the shortest time last.
#[derive(Debug)]
pub(super) struct Shelf<K, T> {
    waiting: HashMap<K, Vec<Waiting<T>>>,
    count: usize,
    most: usize,
    most_each: usize,
}

#[derive(Debug)]
struct Waiting<T> {
    since: Instant,
    /// How long it may.
    patience: Duration,
    thing: T,
}

impl<K: Copy + Eq + Hash, T> Shelf<K, T> {
    /// Holds at most `most` things, and `most_each` of one owner.
    pub(super) fn new(most: usize, most_each: usize) -> Self {
        Self {
            waiting: HashMap::new(),
            count: 0,
            most,
            most_each,
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Takes the owner's thing that waits for the shortest time: it is warmest, and the rest can
    /// leave when there are too many.
    pub(super) fn take(&mut self, owner: K) -> Option<T> {
        let waiting = self.waiting.get_mut(&owner)?.pop()?;
        self.count -= 1;
        Some(waiting.thing)
    }

    /// Has a thing wait from `now` on. What comes back has no room any more: the owner's or, where
    /// all owners have too many, the one that waits for the longest time.
    pub(super) fn put(
        &mut self,
        owner: K,
        thing: T,
        patience: Duration,
        now: Instant,
    ) -> Option<T> {
        let own = self.waiting.entry(owner).or_default();
        own.push(Waiting {
            since: now,
            patience,
            thing,
        });
        self.count += 1;
        if own.len() > self.most_each {
            self.count -= 1;
            return Some(own.remove(0).thing);
        }
        if self.count > self.most {
            return self.take_longest(|_| true).map(|(_, thing)| thing);
        }
        None
    }

    /// Since when the thing has waited that has for the longest time, of those that `may_go`.
    pub(super) fn longest(&self, may_go: impl Fn(&T) -> bool) -> Option<Instant> {
        let all = self.waiting.values().flatten();
        all.filter(|waiting| may_go(&waiting.thing))
            .map(|waiting| waiting.since)
            .min()
    }

    /// Takes that thing.
    pub(super) fn take_longest(&mut self, may_go: impl Fn(&T) -> bool) -> Option<(Instant, T)> {
        let since = self.longest(&may_go)?;
        self.waiting.values_mut().find_map(|own| {
            let place = own
                .iter()
                .position(|waiting| waiting.since == since && may_go(&waiting.thing))?;
            self.count -= 1;
            Some((since, own.remove(place).thing))
        })
    }

    /// Takes out what has waited for too long at `now`, or may not wait any more.
    pub(super) fn sweep(&mut self, now: Instant, may_stay: impl Fn(&T) -> bool) -> Vec<Swept<T>> {
        let mut swept = Vec::new();
        for own in self.waiting.values_mut() {
            let is_over = |waiting: &mut Waiting<T>| {
                let is_late = now.saturating_duration_since(waiting.since) >= waiting.patience;
                is_late || !may_stay(&waiting.thing)
            };
            for waiting in own.extract_if(.., is_over) {
                swept.push(Swept {
                    is_late: may_stay(&waiting.thing),
                    thing: waiting.thing,
                });
            }
        }
        self.waiting.retain(|_, own| !own.is_empty());
        self.count -= swept.len();
        swept
    }
}

/// What a sweep took out.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Swept<T> {
    /// Whether that is because it waited for too long.
    pub(super) is_late: bool,
    pub(super) thing: T,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn nobody_gets_what_is_anothers() {
        let now = Instant::now();
        let mut shelf = Shelf::new(10, 10);
        assert_eq!(shelf.put('a', 1, SECOND, now), None);
        assert_eq!(shelf.take('b'), None);
        assert_eq!(shelf.take('a'), Some(1));
        assert_eq!(shelf.take('a'), None);
        assert!(shelf.is_empty());
    }

    #[test]
    fn the_warmest_is_taken_and_the_coldest_makes_room() {
        let now = Instant::now();
        let mut shelf = Shelf::new(3, 2);
        assert_eq!(shelf.put('a', 1, SECOND, now), None);
        assert_eq!(shelf.put('a', 2, SECOND, now + SECOND), None);
        assert_eq!(shelf.put('a', 3, SECOND, now + SECOND * 2), Some(1));
        assert_eq!(shelf.put('b', 4, SECOND, now + SECOND * 3), None);
        assert_eq!(shelf.put('b', 5, SECOND, now + SECOND * 4), Some(2));
        assert_eq!(shelf.take('b'), Some(5));
        assert_eq!(shelf.take('a'), Some(3));
    }

    #[test]
    fn what_waits_longest_is_let_go_first_if_it_may() {
        let now = Instant::now();
        let mut shelf = Shelf::new(10, 10);
        for thing in 0..3 {
            shelf.put('a', thing, SECOND, now + SECOND * thing);
        }
        assert_eq!(shelf.longest(|_| true), Some(now));
        let second = now + SECOND;
        assert_eq!(shelf.take_longest(|thing| *thing != 0), Some((second, 1)));
        assert_eq!(shelf.take_longest(|thing| *thing > 5), None);
        assert_eq!(shelf.take_longest(|_| true), Some((now, 0)));
    }

    #[test]
    fn a_sweep_takes_what_is_late_or_may_not_stay() {
        let now = Instant::now();
        let mut shelf = Shelf::new(10, 10);
        shelf.put('a', 1, SECOND, now);
        shelf.put('a', 2, SECOND * 10, now);
        shelf.put('b', 3, SECOND * 10, now);
        assert_eq!(shelf.sweep(now + SECOND / 2, |_| true), []);
        let swept = shelf.sweep(now + SECOND, |thing| *thing != 3);
        let late = |thing, is_late| Swept { is_late, thing };
        assert_eq!(swept.len(), 2);
        assert!(swept.contains(&late(1, true)) && swept.contains(&late(3, false)));
        assert_eq!(shelf.take('a'), Some(2));
        assert!(shelf.is_empty());
    }
}
