//! Whether the kernel's scan for written pages (`PAGEMAP_SCAN`, Linux 6.7) makes slots fresh sooner
//! than giving their memory back does. Some kernels report pages as written that nobody touched:
//! there the scan is right, but copies everything. So both are tried.

use std::time::{Duration, Instant};

use wasmtime::{
    Config, Engine, Instance, InstanceAllocationStrategy, Module, PoolingAllocationConfig, Result,
    Store,
};

use super::reset::Reset;

/// `(module (memory (export "memory") 17))`: as much as rustc lays out by default.
const MODULE: [u8; 25] = [
    0, b'a', b's', b'm', 1, 0, 0, 0, // magic and version
    5, 3, 1, 0, 17, // one memory of 17 pages
    7, 10, 1, 6, b'm', b'e', b'm', b'o', b'r', b'y', 2, 0, // the exports
];

/// Where a guest with the default stack writes: its stack's top, its data, its heap.
const WRITTEN: [usize; 4] = [0xfe000, 0xff000, 0x10_0000, 0x10_4000];

/// Slots of a pool that is tried, and instances of a round: several times what is given back in one
/// go.
const SLOTS: u32 = 32;
const INSTANCES: u32 = 64;
const ROUNDS: u32 = 5;

/// Tries both ways on a guest of the usual layout, in some 20 ms, and says whether scanning wins.
pub(super) fn is_useful() -> bool {
    match try_both() {
        Ok((scan, batch)) => {
            let is_useful = wins(scan, batch);
            tracing::info!(
                scan_microseconds = (scan / INSTANCES).as_micros(),
                decommit_microseconds = (batch / INSTANCES).as_micros(),
                is_useful,
                "tried the kernel's scan for written pages"
            );
            is_useful
        }
        Err(error) => {
            tracing::info!(
                error = format!("{error:#}"),
                "the kernel offers no scan for written pages"
            );
            false
        }
    }
}

/// The scan has to be faster by a fifth: less is noise, and it holds more memory.
fn wins(scan: Duration, batch: Duration) -> bool {
    scan * 5 < batch * 4
}

/// The least time of several rounds, for each way.
fn try_both() -> Result<(Duration, Duration)> {
    let scan = Try::new(Reset::Scan)?;
    let batch = Try::new(Reset::Batch)?;
    let mut least = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        least.0 = least.0.min(scan.round()?);
        least.1 = least.1.min(batch.round()?);
    }
    Ok(least)
}

/// One way, ready to be tried.
struct Try {
    engine: Engine,
    module: Module,
}

impl Try {
    fn new(reset: Reset) -> Result<Self> {
        let mut pool = PoolingAllocationConfig::new();
        pool.total_memories(SLOTS)
            .total_core_instances(SLOTS)
            .total_tables(SLOTS)
            .total_stacks(SLOTS);
        reset.apply(&mut pool);
        let mut config = Config::new();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let engine = Engine::new(&config)?;
        let module = Module::new(&engine, MODULE)?;
        Ok(Self { engine, module })
    }

    fn round(&self) -> Result<Duration> {
        let start = Instant::now();
        for _ in 0..INSTANCES {
            let mut store = Store::new(&self.engine, ());
            let instance = Instance::new(&mut store, &self.module, &[])?;
            if let Some(memory) = instance.get_memory(&mut store, "memory") {
                for address in WRITTEN {
                    memory.write(&mut store, address, &[1])?;
                }
            }
        }
        Ok(start.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scanning_has_to_be_clearly_faster() {
        let millisecond = Duration::from_millis(1);
        assert!(wins(millisecond * 7, millisecond * 10));
        assert!(!wins(millisecond * 8, millisecond * 10));
        assert!(!wins(millisecond * 20, millisecond * 10));
    }

    #[test]
    fn the_module_that_is_tried_is_valid() {
        let way = Try::new(Reset::Batch).unwrap();
        way.round().unwrap();
    }
}
