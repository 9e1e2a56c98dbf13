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

    /// Takes room for an instance that needs so many times what most need, if there is any.
    #[must_use]
    pub fn take(self: &Arc<Self>, weight: u32) -> Option<Slot> {
        self.used
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(weight).filter(|used| *used <= self.total)
            })
            .ok()
            .map(|_| Slot {
                slots: Arc::clone(self),
                weight,
            })
    }
}

/// Room for one instance, given back when dropped.
#[derive(Debug)]
pub struct Slot {
    slots: Arc<Slots>,
    weight: u32,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.used.fetch_sub(self.weight, Ordering::Relaxed);
        if let Some(residue) = &self.slots.residue {
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
        let slots = Slots::new(4);
        let first = slots.take(3).unwrap();
        assert!(slots.take(2).is_none());
        let _second = slots.take(1).unwrap();
        assert!(slots.take(1).is_none());
        assert_eq!(slots.used(), 4);
        drop(first);
        assert_eq!(slots.free(), 3);
        assert!(slots.take(u32::MAX).is_none());
        assert!(slots.take(3).is_some());
    }
}
