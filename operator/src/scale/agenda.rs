//! Which namespaces to look at when.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

/// Shortest time between two looks at one namespace, so that a thousand functions whose demand
/// changes all the time cost a bounded share of a core. Far below the time in which a change has to
/// show.
const PACE: Duration = Duration::from_millis(25);

/// Where a look takes long, since a namespace is very large, it is left alone for so many times as
/// long: it takes no more than a fifth of a core.
const REST: u32 = 4;

/// When to look at which namespace.
#[derive(Debug, Default)]
pub(super) struct Agenda(HashMap<String, Entry>);

#[derive(Debug, Default)]
struct Entry {
    not_before: Option<Instant>,
    due: Option<Instant>,
}

impl Agenda {
    /// Look at `at`, or before if there is reason to; not before the pace allows.
    pub(super) fn at(&mut self, namespace: &str, at: Instant) {
        let entry = self.0.entry(namespace.to_owned()).or_default();
        let at = entry.not_before.map_or(at, |not_before| at.max(not_before));
        entry.due = Some(entry.due.map_or(at, |due| due.min(at)));
    }

    /// The namespaces that are due; they count as looked at.
    pub(super) fn take_due(&mut self, now: Instant) -> BTreeSet<String> {
        let mut due = BTreeSet::new();
        for (namespace, entry) in &mut self.0 {
            if entry.due.is_some_and(|at| at <= now) {
                *entry = Entry {
                    not_before: Some(now + PACE),
                    due: None,
                };
                due.insert(namespace.clone());
            }
        }
        due
    }

    /// The look at a namespace that was due at `now` took that long.
    pub(super) fn took(&mut self, namespace: &str, took: Duration, now: Instant) {
        if let Some(entry) = self.0.get_mut(namespace) {
            let rested = now + took + took * REST;
            entry.not_before = entry.not_before.max(Some(rested));
            entry.due = entry.due.map(|due| due.max(rested));
        }
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.values().filter_map(|entry| entry.due).min()
    }

    /// Forgets namespaces that nothing is due for and that are not `known`.
    pub(super) fn retain(&mut self, known: impl Fn(&str) -> bool) {
        self.0
            .retain(|namespace, entry| entry.due.is_some() || known(namespace));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(namespace: &str) -> BTreeSet<String> {
        [namespace.to_owned()].into()
    }

    #[test]
    fn a_namespace_that_takes_long_is_left_alone_for_longer() {
        let now = Instant::now();
        let mut agenda = Agenda::default();
        agenda.at("a", now);
        assert_eq!(agenda.take_due(now), due("a"));
        agenda.at("a", now + PACE);
        agenda.took("a", PACE, now);
        assert_eq!(agenda.next(), Some(now + 5 * PACE));
        agenda.took("a", Duration::ZERO, now);
        assert_eq!(agenda.next(), Some(now + 5 * PACE));
    }

    #[test]
    fn the_first_news_is_looked_at_at_once_and_the_next_at_its_pace() {
        let now = Instant::now();
        let mut agenda = Agenda::default();
        agenda.at("a", now);
        assert_eq!(agenda.take_due(now), due("a"));
        agenda.at("a", now + Duration::from_millis(1));
        agenda.at("a", now + Duration::from_millis(2));
        assert_eq!(agenda.next(), Some(now + PACE));
        assert!(agenda.take_due(now + Duration::from_millis(3)).is_empty());
        assert_eq!(agenda.take_due(now + PACE), due("a"));
        assert_eq!(agenda.next(), None);
    }

    #[test]
    fn the_earlier_of_two_reasons_counts() {
        let now = Instant::now();
        let mut agenda = Agenda::default();
        agenda.at("a", now + 2 * PACE);
        agenda.at("a", now + PACE);
        agenda.at("a", now + 3 * PACE);
        assert_eq!(agenda.next(), Some(now + PACE));
        agenda.retain(|_| false);
        assert_eq!(agenda.take_due(now + PACE), due("a"), "it was due");
        agenda.retain(|_| false);
        assert!(agenda.0.is_empty());
    }
}
