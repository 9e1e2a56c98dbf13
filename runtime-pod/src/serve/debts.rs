//! What functions owe the others of a thread: time that their guests took there all at once.
//!
//! A guest that is in a call of the host cannot be interrupted, nor can the end of one that leaves much
//! behind. Each may stay within its first slice, or take a long one alone; many after the other would keep
//! everybody else waiting.

use std::time::{Duration, Instant};

use super::turns::Group;

/// What took less is not written down: most guests.
pub(super) const WORTH_NOTING: Duration = Duration::from_micros(300);
/// A function may run a quarter as long as it leaves the thread to others before it has to wait its turn.
const TIMES_AS_LONG: u32 = 4;
/// As much as it may owe without waiting: one first slice.
const PATIENCE: Duration = Duration::from_millis(2).saturating_mul(TIMES_AS_LONG);
/// Nobody owes more, whatever it took: a thread that waits for a core takes long as well.
const LONGEST: Duration = Duration::from_millis(100);

/// Who owes, and until when. Few do, so it is a list.
#[derive(Debug, Default)]
pub(super) struct Debts(Vec<(Group, Instant)>);

impl Debts {
    /// A guest of `group` has taken so long until `now`.
    pub(super) fn charge(&mut self, group: Group, took: Duration, now: Instant) {
        self.forget(now);
        let more = took.saturating_mul(TIMES_AS_LONG);
        let until = match self.0.iter_mut().find(|(debtor, _)| *debtor == group) {
            Some((_, until)) => until,
            None => &mut self.0.push_mut((group, now)).1,
        };
        *until = (*until + more).min(now + LONGEST);
    }

    /// Whether guests of `group` have to wait their turn from the start.
    pub(super) fn has(&self, group: Group, now: Instant) -> bool {
        let owed = self.0.iter().find(|(debtor, _)| *debtor == group);
        owed.is_some_and(|(_, until)| until.saturating_duration_since(now) > PATIENCE)
    }

    /// Whether nobody owes anything.
    pub(super) fn are_paid(&mut self, now: Instant) -> bool {
        self.forget(now);
        self.0.is_empty()
    }

    fn forget(&mut self, now: Instant) {
        self.0.retain(|(_, until)| *until > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn one_long_call_is_not_followed_by_another_at_once() {
        let (mut debts, now) = (Debts::default(), Instant::now());
        debts.charge(1, 5 * MILLISECOND, now);
        assert!(debts.has(1, now));
        assert!(!debts.has(2, now));
        assert!(debts.has(1, now + 11 * MILLISECOND));
        assert!(!debts.has(1, now + 12 * MILLISECOND));
    }

    #[test]
    fn short_ones_add_up() {
        let (mut debts, now) = (Debts::default(), Instant::now());
        debts.charge(1, MILLISECOND, now);
        debts.charge(1, MILLISECOND, now);
        assert!(!debts.has(1, now));
        debts.charge(1, MILLISECOND, now);
        assert!(debts.has(1, now));
    }

    #[test]
    fn a_function_that_runs_a_fifth_of_the_time_waits_for_nobody() {
        let (mut debts, mut now) = (Debts::default(), Instant::now());
        for _ in 0..100 {
            debts.charge(1, MILLISECOND, now);
            assert!(!debts.has(1, now));
            now += 5 * MILLISECOND;
        }
    }

    #[test]
    fn nobody_owes_for_long() {
        let (mut debts, now) = (Debts::default(), Instant::now());
        debts.charge(1, 60_000 * MILLISECOND, now);
        assert!(!debts.are_paid(now + LONGEST - MILLISECOND));
        assert!(debts.are_paid(now + LONGEST));
    }
}
