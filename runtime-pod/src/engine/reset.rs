//! How the memory of a slot is made fresh again after an instance.

use wasmtime::{Enabled, PoolingAllocationConfig};

/// A guest whose data, stack and start of heap end here or before is [`Reset::Small`]: to copy that
/// much costs less than the page faults that follow when it is given back to the kernel.
const SMALL_END_BYTES: u64 = 256 << 10;

/// Memory of a small guest that is reset by copying: what it lays out, and as much again for its
/// heap. Only what the guest really has is copied. Measured against 256 KiB: 1.07 times.
const SMALL_KEEP_BYTES: usize = 512 << 10;

/// Written pages that are reset by copying, in bytes, where the kernel can say which were written.
const SCAN_KEEP_BYTES: usize = 2 << 20;

/// Part of a table that is reset by copying. Measured: 1.1 times the throughput of none.
const TABLE_KEEP_BYTES: usize = 64 << 10;

/// Memories and tables that are given back to the kernel in one go: 1.06 times the throughput of one by
/// one (2026-11-26, stock Rust guest; 64 at once are 1.03 times that, and slower for JavaScript).
pub(super) const DECOMMIT_BATCH: usize = 16;

/// How memory is made fresh. Whatever is not reset by copying is given back to the kernel, so a slot
/// is fresh in each class; they differ in what that costs.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Reset {
    /// The beginning of the memory is copied back: for guests whose layout is small.
    Small,
    /// The kernel says which pages were written, and those are copied back.
    Scan,
    /// Everything is given back to the kernel, several slots at a time.
    Batch,
}

impl Reset {
    /// The class of a guest whose initial layout ends at `initial_end_bytes`.
    /// `scan_is_useful` says whether this kernel tells written pages from others.
    #[must_use]
    pub fn choose(initial_end_bytes: u64, scan_is_useful: impl FnOnce() -> bool) -> Self {
        if initial_end_bytes <= SMALL_END_BYTES {
            Self::Small
        } else if scan_is_useful() {
            Self::Scan
        } else {
            Self::Batch
        }
    }

    /// What a slot that nobody uses may go on holding, in bytes.
    #[must_use]
    pub const fn kept_bytes(self) -> u64 {
        let memory = match self {
            Self::Small => SMALL_KEEP_BYTES,
            Self::Scan => SCAN_KEEP_BYTES,
            Self::Batch => 0,
        };
        (memory + TABLE_KEEP_BYTES) as u64
    }

    /// Sets a pool up for this class.
    pub(super) fn apply(self, pool: &mut PoolingAllocationConfig) {
        pool.table_keep_resident(TABLE_KEEP_BYTES);
        // Where most instances give nothing back, those that do wait for nobody: what waits is held.
        match self {
            Self::Small => pool
                .decommit_batch_size(1)
                .linear_memory_keep_resident(SMALL_KEEP_BYTES),
            Self::Scan => pool
                .decommit_batch_size(1)
                .linear_memory_keep_resident(SCAN_KEEP_BYTES)
                .pagemap_scan(Enabled::Yes),
            Self::Batch => pool
                .decommit_batch_size(DECOMMIT_BATCH)
                .linear_memory_keep_resident(0),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_layouts_are_copied_whatever_the_kernel_can_do() {
        let cases = [
            (0, true, Reset::Small),
            (SMALL_END_BYTES, true, Reset::Small),
            (SMALL_END_BYTES, false, Reset::Small),
            (SMALL_END_BYTES + 1, true, Reset::Scan),
            (SMALL_END_BYTES + 1, false, Reset::Batch),
            (u64::MAX, false, Reset::Batch),
        ];
        for (end, scan, expected) in cases {
            assert_eq!(Reset::choose(end, || scan), expected, "{end} {scan}");
        }
    }

    #[test]
    fn the_kernel_is_not_tried_for_small_layouts() {
        let reset = Reset::choose(1, || panic!("it was tried"));
        assert_eq!(reset, Reset::Small);
    }
}
