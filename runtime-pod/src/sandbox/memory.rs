//! The memory limit of one request, over all memories and tables of its instance together.

use wasmtime::{Error, ResourceLimiter, Result};

use crate::{budget::Reservation, engine::Occupancy};

/// Bytes of a table's element.
const ELEMENT_BYTES: usize = size_of::<usize>();

/// Core instances, memories and tables of one request.
const MAX_INSTANCES: usize = 64;
const MAX_MEMORIES: usize = 16;
const MAX_TABLES: usize = 64;

/// Whose limit a guest ran into.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exceeded {
    /// Its own, `memoryPerRequest`.
    Own,
    /// The pod's budget.
    Pod,
}

/// Counts what an instance uses and refuses what passes its limit or the pod's budget.
#[derive(Debug)]
pub struct MemoryLimit {
    limit_bytes: u64,
    occupancy: Occupancy,
    last_granted: Growth,
    reservation: Reservation,
    exceeded: Option<Exceeded>,
}

impl MemoryLimit {
    /// At most `limit_bytes`; what `reservation` does not hold yet is drawn from its budget.
    #[must_use]
    pub fn new(limit_bytes: u64, reservation: Reservation, occupancy: Occupancy) -> Self {
        Self {
            limit_bytes,
            occupancy,
            last_granted: Growth::default(),
            reservation,
            exceeded: None,
        }
    }

    /// What the instance uses, in bytes. Memories never shrink, so it is its peak as well.
    #[must_use]
    pub const fn used_bytes(&self) -> u64 {
        self.occupancy.bytes()
    }

    /// The limit, in bytes.
    #[must_use]
    pub const fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }

    /// Whether something was refused, and for whose limit.
    #[must_use]
    pub const fn exceeded(&self) -> Option<Exceeded> {
        self.exceeded
    }

    /// What was drawn from the budget, for another instance.
    pub(super) fn into_reservation(self) -> Reservation {
        self.reservation
    }

    fn grow(&mut self, current_bytes: usize, desired_bytes: usize) -> bool {
        let more = u64::try_from(desired_bytes.saturating_sub(current_bytes)).unwrap_or(u64::MAX);
        let total = self.used_bytes().saturating_add(more);
        if total > self.limit_bytes {
            self.exceeded = Some(Exceeded::Own);
            return false;
        }
        if !self.reservation.grow_to(total) {
            self.exceeded = Some(Exceeded::Pod);
            return false;
        }
        self.occupancy.set(total);
        self.last_granted = Growth {
            bytes: more,
            is_from_nothing: current_bytes == 0 && more > 0,
        };
        if self.last_granted.is_from_nothing {
            self.occupancy.add_region();
        }
        true
    }

    fn take_back(&mut self) {
        let granted = std::mem::take(&mut self.last_granted);
        self.occupancy.set(self.used_bytes() - granted.bytes);
        if granted.is_from_nothing {
            self.occupancy.remove_region();
        }
    }
}

/// Whether the module itself lets a memory or table grow so far. Wasmtime asks for the limit first, and
/// what is granted of the budget stays with the request.
fn is_within(desired: usize, maximum: Option<usize>) -> bool {
    maximum.is_none_or(|maximum| desired <= maximum)
}

/// What a memory or table grew by.
#[derive(Clone, Copy, Debug, Default)]
struct Growth {
    bytes: u64,
    is_from_nothing: bool,
}

/// The data of a store whose memory is limited.
pub trait Limited {
    /// What the guest used of its memory.
    fn memory(&self) -> &MemoryLimit;
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        Ok(is_within(desired, maximum) && self.grow(current, desired))
    }

    fn memory_grow_failed(&mut self, _error: Error) -> Result<()> {
        self.take_back();
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        let bytes = |elements: usize| elements.saturating_mul(ELEMENT_BYTES);
        Ok(is_within(desired, maximum) && self.grow(bytes(current), bytes(desired)))
    }

    fn table_grow_failed(&mut self, _error: Error) -> Result<()> {
        self.take_back();
        Ok(())
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }

    fn tables(&self) -> usize {
        MAX_TABLES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{budget::Budget, engine::Slots};

    const PAGE: usize = 64 << 10;

    fn limit(own_pages: usize, pod_pages: usize) -> MemoryLimit {
        let budget = Budget::new((pod_pages * PAGE) as u64);
        let occupancy = Occupancy::new(Slots::new(1));
        let reservation = budget.reserve(0).unwrap();
        MemoryLimit::new((own_pages * PAGE) as u64, reservation, occupancy)
    }

    #[test]
    fn several_memories_and_tables_share_one_limit() {
        let mut limit = limit(4, 100);
        assert!(limit.memory_growing(0, 2 * PAGE, None).unwrap());
        assert!(limit.memory_growing(0, PAGE, None).unwrap());
        assert!(limit.table_growing(0, PAGE / ELEMENT_BYTES, None).unwrap());
        assert_eq!(limit.exceeded(), None);
        assert!(!limit.table_growing(0, 1, None).unwrap());
        assert_eq!(limit.exceeded(), Some(Exceeded::Own));
    }

    #[test]
    fn the_pods_budget_is_a_limit_as_well() {
        let mut limit = limit(100, 3);
        assert!(limit.memory_growing(0, 3 * PAGE, None).unwrap());
        assert!(!limit.memory_growing(3 * PAGE, 4 * PAGE, None).unwrap());
        assert_eq!(limit.exceeded(), Some(Exceeded::Pod));
    }

    #[test]
    fn what_the_module_forbids_is_not_asked_of_the_pod() {
        let mut limit = limit(4, 100);
        assert!(!limit.memory_growing(0, 3 * PAGE, Some(2 * PAGE)).unwrap());
        assert!(!limit.table_growing(0, 3, Some(2)).unwrap());
        assert_eq!(limit.exceeded(), None);
        assert_eq!(limit.into_reservation().bytes(), 0);
    }

    #[test]
    fn growth_that_failed_is_not_counted() {
        let mut limit = limit(4, 100);
        assert!(limit.memory_growing(0, 4 * PAGE, None).unwrap());
        limit.memory_grow_failed(Error::msg("no memory")).unwrap();
        assert_eq!(limit.used_bytes(), 0);
    }
}
