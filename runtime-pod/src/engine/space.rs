//! Shares the address space, and the kernel's table of mappings, among the engines.

/// Memories that all engines together reserve. Each takes 4 GiB and a guard: measured, 21 000 fit
/// into the 47 bits that a process has. Each that is in use has up to three mappings of the 65 530
/// that a process may have (`vm.max_map_count`), and each stack has two.
const TOTAL_MEMORIES: u32 = 16_000;

/// Memories for two component instances: most have one, some two.
const MEMORIES_PER_TWO: u32 = 3;

/// Address space that is not reserved yet.
#[derive(Debug)]
pub(super) struct Space {
    free_memories: u32,
}

impl Default for Space {
    fn default() -> Self {
        Self {
            free_memories: TOTAL_MEMORIES,
        }
    }
}

impl Space {
    /// How many slots an engine that wants `slots` gets. Never more than half of what is left, so
    /// that each further one gets some.
    pub(super) fn take(&mut self, slots: u32) -> u32 {
        let granted = memories(slots).min(self.free_memories / 2);
        self.free_memories -= granted;
        slots.min(self::slots(granted))
    }
}

/// Slots that have so many memories.
pub(super) const fn slots(memories: u32) -> u32 {
    memories.saturating_mul(2) / MEMORIES_PER_TWO
}

/// Memories of so many slots.
pub(super) const fn memories(slots: u32) -> u32 {
    slots.saturating_mul(MEMORIES_PER_TWO).div_ceil(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_engine_gets_a_share() {
        let mut space = Space::default();
        let granted: Vec<u32> = (0..12).map(|_| space.take(1000)).collect();
        assert!(granted.iter().all(|slots| *slots >= 100), "{granted:?}");
        assert_eq!(granted[..8], [1000; 8]);
        let total: u32 = granted.iter().copied().map(memories).sum();
        assert!(total <= TOTAL_MEMORIES, "{total}");
    }

    #[test]
    fn one_that_wants_everything_leaves_half() {
        let mut space = Space::default();
        let first = space.take(u32::MAX);
        assert!(memories(first) <= TOTAL_MEMORIES / 2, "{first}");
        assert_eq!(space.take(1000), 1000);
    }
}
