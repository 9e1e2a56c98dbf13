use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;

/// First digits of statuses, zero for what is none.
const CLASSES: usize = 6;

/// Answers by class of status and wasmfn's reason, counted without a lock.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// Those of guests.
    plain: [AtomicU64; CLASSES],
    /// Those of wasmfn, by its word. There are as many as wasmfn has reasons: guests cannot make any.
    reasoned: ArcSwap<HashMap<(usize, String), Arc<AtomicU64>>>,
}

impl Answers {
    pub(super) fn count(&self, status: u16, reason: Option<&str>) {
        let class = class(status);
        match reason {
            None => self.plain[class].fetch_add(1, Ordering::Relaxed),
            Some(reason) => self.reasoned(class, reason).fetch_add(1, Ordering::Relaxed),
        };
    }

    fn reasoned(&self, class: usize, reason: &str) -> Arc<AtomicU64> {
        let key = (class, reason.to_owned());
        if let Some(count) = self.reasoned.load().get(&key) {
            return count.clone();
        }
        let new = Arc::<AtomicU64>::default();
        self.reasoned.rcu(|reasoned| {
            let mut next = HashMap::clone(reasoned);
            next.entry(key.clone()).or_insert_with(|| new.clone());
            next
        });
        self.reasoned.load().get(&key).cloned().unwrap_or(new)
    }

    /// Class, reason and count of all that were counted, in order.
    pub(super) fn all(&self) -> Vec<(usize, String, u64)> {
        let plain = self.plain.iter().enumerate();
        let plain = plain.map(|(class, count)| (class, String::new(), count));
        let reasoned = self.reasoned.load();
        let reasoned = reasoned
            .iter()
            .map(|((class, reason), count)| (*class, reason.clone(), &**count));
        let mut all: Vec<_> = plain
            .chain(reasoned)
            .map(|(class, reason, count)| (class, reason, count.load(Ordering::Relaxed)))
            .filter(|(_, _, count)| *count > 0)
            .collect();
        all.sort();
        all
    }
}

fn class(status: u16) -> usize {
    let class = usize::from(status / 100);
    if class < CLASSES { class } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart_by_class_and_reason() {
        let answers = Answers::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        answers.count(200, None);
                        answers.count(503, Some("QueueFull"));
                        answers.count(503, Some("Suspended"));
                        answers.count(999, None);
                    }
                });
            }
        });
        let expected = [
            (0, "", 400),
            (2, "", 400),
            (5, "QueueFull", 400),
            (5, "Suspended", 400),
        ];
        let expected = expected.map(|(class, reason, count)| (class, reason.to_owned(), count));
        assert_eq!(answers.all(), expected);
    }
}
