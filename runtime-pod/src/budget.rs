//! The pod's memory budget: what guests, compiled code and compilation draw on together.

use std::{
    fmt::Debug,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::share::Share;

/// Holds memory that nobody needs right now.
pub trait Relief: Debug + Send + Sync {
    /// Lets some of it go; false where there is none left.
    fn let_go(&self) -> bool;
}

/// Memory that the process may give away, and how much of it is given away.
#[derive(Debug)]
pub struct Budget {
    limit_bytes: u64,
    used_bytes: AtomicU64,
    relief: OnceLock<Weak<dyn Relief>>,
}

impl Budget {
    /// A budget of `limit_bytes`.
    #[must_use]
    pub fn new(limit_bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            limit_bytes,
            used_bytes: AtomicU64::new(0),
            relief: OnceLock::new(),
        })
    }

    /// Asks `relief` to let go of what it holds before anything is refused. The first one stays.
    pub fn relieved_by(&self, relief: Weak<dyn Relief>) {
        let _ = self.relief.set(relief);
    }

    /// How much there is, in bytes.
    #[must_use]
    pub const fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }

    /// How much is given away, in bytes.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// How much is left, in bytes.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        self.limit_bytes.saturating_sub(self.used_bytes())
    }

    /// Gives `bytes` away, unless they are not there.
    #[must_use]
    pub fn reserve(self: &Arc<Self>, bytes: u64) -> Option<Reservation> {
        self.take(bytes).then(|| Reservation {
            budget: Arc::clone(self),
            owner: None,
            bytes,
        })
    }

    /// Gives `bytes` away to a function, as far as its `share` admits that, and counts them in its
    /// `account` with what they grow by.
    #[must_use]
    pub fn reserve_for(
        self: &Arc<Self>,
        account: &Arc<Account>,
        share: Share,
        bytes: u64,
    ) -> Option<Reservation> {
        let owner = Owner {
            account: Arc::clone(account),
            share,
        };
        if !self.is_for(&owner, 0, bytes) {
            return None;
        }
        let mut reservation = self.reserve(bytes)?;
        owner.account.add(bytes);
        reservation.owner = Some(owner);
        Some(reservation)
    }

    /// Gives away what there is: at most `most` bytes, and nothing where there are fewer than
    /// `least`.
    #[must_use]
    pub fn reserve_between(self: &Arc<Self>, least: u64, most: u64) -> Option<Reservation> {
        loop {
            let bytes = self.free_bytes().min(most);
            if bytes < least {
                if self.is_relieved() {
                    continue;
                }
                return None;
            }
            // Somebody else may have taken some of it meanwhile.
            if let Some(reservation) = self.reserve(bytes) {
                return Some(reservation);
            }
        }
    }

    /// Counts `bytes` that are in use whether there is room for them or not.
    #[must_use]
    pub fn charge(self: &Arc<Self>, bytes: u64) -> Reservation {
        self.used_bytes.fetch_add(bytes, Ordering::Relaxed);
        Reservation {
            budget: Arc::clone(self),
            owner: None,
            bytes,
        }
    }

    fn take(&self, bytes: u64) -> bool {
        // What is too much for an empty budget is too much for this one: nothing has to go for it.
        while !self.has_taken(bytes) {
            if bytes > self.limit_bytes || !self.is_relieved() {
                return false;
            }
        }
        true
    }

    /// Whether `owner` may have so much `more` for a request that has `own` of what it holds. A request
    /// that is its only one may have what there is.
    fn is_for(&self, owner: &Owner, own: u64, more: u64) -> bool {
        loop {
            let held = owner.account.bytes();
            if held <= own || owner.share.allows(held, more, self.free_bytes()) {
                return true;
            }
            // What is too much where the others have nothing is too much for any relief.
            let most_free = self.limit_bytes.saturating_sub(held);
            if !owner.share.allows(held, more, most_free) || !self.is_relieved() {
                return false;
            }
        }
    }

    /// Whether somebody has let memory go.
    fn is_relieved(&self) -> bool {
        let relief = self.relief.get().and_then(Weak::upgrade);
        relief.is_some_and(|relief| relief.let_go())
    }

    fn has_taken(&self, bytes: u64) -> bool {
        self.used_bytes
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes)
                    .filter(|total| *total <= self.limit_bytes)
            })
            .is_ok()
    }
}

/// What one function's requests hold of the budget, and what one of them needs.
#[derive(Debug, Default)]
pub struct Account {
    held_bytes: AtomicU64,
    peak_bytes: AtomicU64,
}

impl Account {
    /// Of a function whose requests are taken to need so much until one of them is seen.
    #[must_use]
    pub const fn expecting(peak_bytes: u64) -> Self {
        Self {
            held_bytes: AtomicU64::new(0),
            peak_bytes: AtomicU64::new(peak_bytes),
        }
    }

    /// How much they hold, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.held_bytes.load(Ordering::Relaxed)
    }

    /// How much one of them needs, in bytes, by what was seen.
    #[must_use]
    pub fn peak_bytes(&self) -> u64 {
        self.peak_bytes.load(Ordering::Relaxed)
    }

    /// Takes note of what a request has used: the peak rises at once and sinks slowly.
    pub fn observe(&self, bytes: u64) {
        self.peak_bytes
            .update(Ordering::Relaxed, Ordering::Relaxed, |peak| {
                bytes.max(peak - peak / 64)
            });
    }

    fn add(&self, bytes: u64) {
        self.held_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn subtract(&self, bytes: u64) {
        self.held_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// One that still runs needs so much already: the next ones are admitted on that.
    fn rises_to(&self, bytes: u64) {
        self.peak_bytes.fetch_max(bytes, Ordering::Relaxed);
    }
}

/// A part of a [`Budget`], given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<Budget>,
    owner: Option<Owner>,
    bytes: u64,
}

/// Whose a [`Reservation`] is.
#[derive(Debug)]
struct Owner {
    account: Arc<Account>,
    share: Share,
}

impl Reservation {
    /// Its size.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Nothing yet, of the same budget and counted for the same function.
    #[must_use]
    pub fn beside(&self) -> Self {
        let owner = self.owner.as_ref();
        Self {
            budget: Arc::clone(&self.budget),
            owner: owner.map(|owner| Owner {
                account: Arc::clone(&owner.account),
                share: owner.share,
            }),
            bytes: 0,
        }
    }

    /// Makes it at least `bytes` large; false, and unchanged, if the budget has no room for that, or what
    /// there is belongs to other functions.
    pub fn grow_to(&mut self, bytes: u64) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let is_for_owner = || {
            let owner = self.owner.as_ref();
            owner.is_none_or(|owner| self.budget.is_for(owner, self.bytes, more))
        };
        let granted = more == 0 || is_for_owner() && self.budget.take(more);
        if granted {
            self.bytes += more;
            if let Some(owner) = &self.owner {
                owner.account.add(more);
                owner.account.rises_to(bytes);
            }
        }
        granted
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget
            .used_bytes
            .fetch_sub(self.bytes, Ordering::Relaxed);
        if let Some(owner) = &self.owner {
            owner.account.subtract(self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_no_more_than_there_is_and_takes_it_back() {
        let budget = Budget::new(100);
        let mut first = budget.reserve(60).unwrap();
        assert!(budget.reserve(41).is_none());
        assert!(first.grow_to(100));
        assert!(!first.grow_to(101));
        assert_eq!(budget.used_bytes(), 100);
        drop(first);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn an_account_holds_what_its_reservations_do() {
        let budget = Budget::new(100);
        let account = Arc::default();
        let counted = |bytes| budget.reserve_for(&account, Share::All, bytes).unwrap();
        let mut first = counted(10);
        let second = counted(20);
        let _other = budget.reserve(30).unwrap();
        assert!(first.grow_to(40));
        assert!(!first.grow_to(90));
        assert_eq!(account.bytes(), 60);
        drop(second);
        assert_eq!(account.bytes(), 40);
        drop(first);
        assert_eq!(account.bytes(), 0);
    }

    #[test]
    fn who_grows_leaves_some_to_others_unless_it_is_alone() {
        let budget = Budget::new(900);
        let account = Arc::default();
        let counted = || budget.reserve_for(&account, Share::Some, 100).unwrap();
        let mut alone = counted();
        assert!(alone.grow_to(850));
        drop(alone);
        let (mut first, _second) = (counted(), counted());
        assert!(!first.grow_to(750));
        assert!(first.grow_to(700));
        assert_eq!(account.bytes(), 800);
        assert_eq!(account.peak_bytes(), 850);
        // What it holds already says nothing new.
        account.observe(100);
        assert!(first.grow_to(600));
        assert_eq!(account.peak_bytes(), 837);
    }

    #[test]
    fn gives_what_there_is_if_that_is_enough() {
        let budget = Budget::new(100);
        let bytes = |least, most| {
            let reservation = budget.reserve_between(least, most);
            reservation.map(|reservation| reservation.bytes())
        };
        assert_eq!(bytes(10, 60), Some(60));
        assert_eq!(bytes(10, 600), Some(100));
        let _held = budget.charge(95);
        assert_eq!(bytes(5, 60), Some(5));
        assert_eq!(bytes(6, 60), None);
    }

    /// Gives one reservation back at a time.
    #[derive(Debug, Default)]
    struct Idle(std::sync::Mutex<Vec<Reservation>>);

    impl Relief for Idle {
        fn let_go(&self) -> bool {
            self.0.lock().unwrap().pop().is_some()
        }
    }

    #[test]
    fn what_nobody_needs_is_let_go_before_anything_is_refused() {
        let budget = Budget::new(100);
        let idle = Arc::new(Idle::default());
        let relief: Weak<dyn Relief> = Arc::downgrade(&(Arc::clone(&idle) as Arc<dyn Relief>));
        budget.relieved_by(relief);
        let held = (0..3).map(|_| budget.reserve(30).unwrap()).collect();
        *idle.0.lock().unwrap() = held;
        assert!(budget.reserve(101).is_none());
        assert_eq!(idle.0.lock().unwrap().len(), 3);
        let first = budget.reserve(65).unwrap();
        assert_eq!(idle.0.lock().unwrap().len(), 1);
        assert_eq!(budget.reserve_between(30, 35).unwrap().bytes(), 35);
        drop(first);
    }

    #[test]
    fn nothing_is_let_go_for_growth_that_no_relief_makes_room_for() {
        let budget = Budget::new(900);
        let account = Arc::default();
        let idle = Arc::new(Idle::default());
        let relief: Weak<dyn Relief> = Arc::downgrade(&(Arc::clone(&idle) as Arc<dyn Relief>));
        budget.relieved_by(relief);
        let counted = || budget.reserve_for(&account, Share::Some, 100).unwrap();
        let (mut first, _second) = (counted(), counted());
        let held = (0..2).map(|_| budget.reserve(50).unwrap()).collect();
        *idle.0.lock().unwrap() = held;
        assert!(!first.grow_to(750));
        assert_eq!(idle.0.lock().unwrap().len(), 2);
        assert!(first.grow_to(700));
        assert!(idle.0.lock().unwrap().is_empty());
    }

    #[test]
    fn a_charge_may_pass_the_limit_and_then_nothing_else_fits() {
        let budget = Budget::new(100);
        let charge = budget.charge(150);
        assert!(budget.reserve(1).is_none());
        drop(charge);
        assert!(budget.reserve(100).is_some());
    }
}
