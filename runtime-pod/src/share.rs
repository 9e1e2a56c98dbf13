//! How much one function may take of what all functions of a pod have together.

/// A function may have so many times what it leaves to the others: alone eight ninths, and two that
/// take all they get eight seventeenths each, so that a third still finds something. The dynamic
/// thresholds of shared-memory switches (Choudhury and Hahne, 1998).
const TIMES_WHAT_IS_LEFT: u64 = 8;

/// Whether a function has its pod to itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Share {
    /// It has: all is its own.
    All,
    /// It has not.
    Some,
}

impl Share {
    /// What a function may have that has `held` and wants `more` where `free` is left to all. One that
    /// has nothing may have what there is.
    pub(crate) const fn allows(self, held: u64, more: u64, free: u64) -> bool {
        match self {
            Self::All => true,
            Self::Some => {
                let left = free.saturating_sub(more);
                held == 0 || held.saturating_add(more) <= left.saturating_mul(TIMES_WHAT_IS_LEFT)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOTAL: u64 = 900;

    /// What a function ends up with that takes one after the other, beside others that have `others`.
    fn most_beside(others: u64) -> u64 {
        let mut held = 0;
        while Share::Some.allows(held, 1, TOTAL - others - held) && held + others < TOTAL {
            held += 1;
        }
        held
    }

    #[test]
    fn one_that_takes_all_it_gets_leaves_a_ninth() {
        assert_eq!(most_beside(0), 800);
    }

    #[test]
    fn beside_one_that_has_all_it_gets_a_second_finds_room() {
        assert_eq!(most_beside(800), 88);
        assert_eq!(most_beside(888), 10);
    }

    #[test]
    fn one_that_has_nothing_may_have_the_last() {
        assert!(Share::Some.allows(0, 1, 1));
        assert!(Share::Some.allows(0, TOTAL, TOTAL));
        assert!(!Share::Some.allows(1, 1, 1));
    }

    #[test]
    fn one_that_has_the_pod_to_itself_may_have_all() {
        assert!(Share::All.allows(TOTAL - 1, 1, 1));
    }
}
