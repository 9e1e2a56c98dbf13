use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Bytes that may be kept over all requests.
///
/// A function may have as many as it leaves to others: alone it gets half of all, two that take what
/// they can a third each, and there is always something left for one more. No function has to be
/// known beforehand, and none gets less because it came late (Choudhury and Hahne, "Dynamic queue
/// length thresholds for shared-memory packet switches", 1998, with a factor of one).
#[derive(Clone, Debug)]
pub struct Budget(Arc<Total>);

#[derive(Debug)]
struct Total {
    bytes: usize,
    free: AtomicUsize,
}

/// What one function has of a budget.
#[derive(Clone, Debug, Default)]
pub struct Account(Arc<AtomicUsize>);

/// A share of the budget, given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Budget,
    account: Account,
    bytes: usize,
}

impl Budget {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Total {
            bytes,
            free: AtomicUsize::new(bytes),
        }))
    }

    /// Bytes that are not taken.
    #[must_use]
    pub fn free(&self) -> usize {
        self.0.free.load(Ordering::Relaxed)
    }

    /// Bytes that are taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.0.bytes.saturating_sub(self.free())
    }

    /// An empty share of a function.
    pub(super) fn share(&self, account: &Account) -> Share {
        Share {
            budget: self.clone(),
            account: account.clone(),
            bytes: 0,
        }
    }
}

impl Share {
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Grows to `bytes`, or not at all where the function may not have them.
    pub(super) fn grow_to(&mut self, bytes: usize) {
        let more = bytes.saturating_sub(self.bytes);
        if more == 0 {
            return;
        }
        let has = self.account.0.fetch_add(more, Ordering::Relaxed) + more;
        let taken = self
            .budget
            .0
            .free
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |free| {
                free.checked_sub(more).filter(|_| has <= free)
            });
        if taken.is_ok() {
            self.bytes = bytes;
        } else {
            self.account.0.fetch_sub(more, Ordering::Relaxed);
        }
    }

    pub(super) fn give_back(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.account.0.fetch_sub(bytes, Ordering::Relaxed);
        self.budget.0.free.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PIECE: usize = 100;

    fn take(budget: &Budget, account: &Account) -> Option<Share> {
        let mut share = budget.share(account);
        share.grow_to(PIECE);
        (share.bytes() == PIECE).then_some(share)
    }

    proptest! {
        #[test]
        fn a_flood_leaves_a_fair_share_to_the_next(floods in 1_usize..6, pieces in 100_usize..1000) {
            let budget = Budget::new(PIECE * pieces);
            let accounts: Vec<_> = (0..floods).map(|_| Account::default()).collect();
            let mut held: Vec<Vec<Share>> = (0..floods).map(|_| Vec::new()).collect();
            for _ in 0..pieces {
                for (account, held) in accounts.iter().zip(&mut held) {
                    held.extend(take(&budget, account));
                }
            }
            let fair = pieces / (floods + 1);
            for held in &held {
                prop_assert!(held.len().abs_diff(fair) <= 1, "{} of {pieces}", held.len());
            }
            let late = Account::default();
            let shares: Vec<_> = std::iter::from_fn(|| take(&budget, &late)).collect();
            prop_assert!(shares.len() >= fair / 2);
            drop((held, shares));
            prop_assert_eq!(budget.taken(), 0);
        }
    }

    #[test]
    fn a_share_that_cannot_grow_stays_as_it_is() {
        let (budget, account) = (Budget::new(1000), Account::default());
        let mut share = budget.share(&account);
        share.grow_to(300);
        share.grow_to(800);
        assert_eq!((share.bytes(), budget.free()), (300, 700));
        share.grow_to(400);
        assert_eq!((share.bytes(), budget.taken()), (400, 400));
    }
}
