//! Counts the instances of an engine against those that it has room for.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use super::residue::Residue;

/// How many instances there may be at the same time, and how many there are.
#[derive(Debug)]
pub struct Slots {
    total: u32,
    used: AtomicU32,
    residue: Option<Residue>,
}

impl Slots {
    /// Room for `total` instances.
    #[must_use]
    pub fn new(total: u32) -> Arc<Self> {
        Self::with_residue(total, None)
    }

    /// The same, where what instances leave behind has to be seen to.
    pub(super) fn with_residue(total: u32, residue: Option<Residue>) -> Arc<Self> {
        Arc::new(Self {
            total,
            used: AtomicU32::new(0),
            residue,
        })
    }

    /// How many there may be.
    #[must_use]
    pub const fn total(&self) -> u32 {
        self.total
    }

    /// How many there are.
    #[must_use]
    pub fn used(&self) -> u32 {
        self.used.load(Ordering::Relaxed)
    }

    /// How many more there may be.
    #[must_use]
    pub fn free(&self) -> u32 {
        self.total.saturating_sub(self.used())
    }

    /// Takes room for one, if there is any.
    #[must_use]
    pub fn take(self: &Arc<Self>) -> Option<Slot> {
        self.used
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                (used < self.total).then_some(used + 1)
            })
            .ok()
            .map(|_| Slot(Arc::clone(self)))
    }
}

/// Room for one instance, given back when dropped.
#[derive(Debug)]
pub struct Slot(Arc<Slots>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.used.fetch_sub(1, Ordering::Relaxed);
        if let Some(residue) = &self.0.residue {
            residue.settle();
        }
    }
}

/// What the instance in a slot holds. It is dropped with the instance's store, before the slot is.
#[derive(Debug)]
pub struct Occupancy {
    slots: Arc<Slots>,
    bytes: u64,
    regions: usize,
}

impl Occupancy {
    /// Nothing yet, of an instance in one of `slots`.
    #[must_use]
    pub const fn new(slots: Arc<Slots>) -> Self {
        Self {
            slots,
            bytes: 0,
            regions: 0,
        }
    }

    /// Size of its memories and tables together, in bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// They have so many bytes now.
    pub const fn set(&mut self, bytes: u64) {
        self.bytes = bytes;
    }

    /// One that was empty is not any more.
    pub const fn add_region(&mut self) {
        self.regions += 1;
    }

    /// It is empty after all.
    pub const fn remove_region(&mut self) {
        self.regions -= 1;
    }
}

impl Drop for Occupancy {
    fn drop(&mut self) {
        if let Some(residue) = &self.slots.residue {
            residue.add(self.bytes, self.regions);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_no_more_than_there_are_and_takes_them_back() {
        let slots = Slots::new(2);
        let first = slots.take().unwrap();
        let _second = slots.take().unwrap();
        assert!(slots.take().is_none());
        assert_eq!(slots.used(), 2);
        drop(first);
        assert!(slots.take().is_some());
    }
}
