//! Memory of instances that have ended and that the kernel has not got back yet. Where slots are given
//! back several at a time, those that wait for more to come would hold as much as their guests may
//! use, long after the pod's budget stopped counting it.

use std::{cell::Cell, num::NonZero, thread::available_parallelism};

use thread_local::ThreadLocal;
use wasmtime::{Engine, Instance, Module, Result, Store};

use super::reset::{DECOMMIT_BATCH, Reset};

/// `(module (memory 1))`
const MODULE: [u8; 13] = [0, b'a', b's', b'm', 1, 0, 0, 0, 5, 3, 1, 0, 1];

/// Share of the pod's memory that waits to be given back at most, in all threads together: as that of
/// unused slots it comes on top of the budget.
const SHARE: u64 = 16;

/// What ended instances of one engine hold, by thread: each has a queue in wasmtime (where there are more
/// threads than cores, or than 16, some share one), which is emptied when it is full and not before.
#[derive(Debug)]
pub(super) struct Residue {
    limit_bytes: u64,
    queues: ThreadLocal<Cell<Queue>>,
    engine: Engine,
    module: Module,
}

/// What is known of a thread's queue. Memories and tables that are empty lie in it as well and are not
/// counted: with such guests it may have been emptied earlier, and hold what came since, up to twice the
/// limit.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Queue {
    /// Memories and tables in it.
    regions: usize,
    /// What those hold at most.
    bytes: u64,
}

impl Queue {
    /// With an instance more. Where that fills the queue, some of the instance may still lie in it.
    const fn with(self, bytes: u64, regions: usize) -> Self {
        let total = self.regions + regions;
        let before = if total < DECOMMIT_BATCH {
            self.bytes
        } else {
            0
        };
        Self {
            regions: total % DECOMMIT_BATCH,
            bytes: before.saturating_add(bytes),
        }
    }
}

impl Residue {
    /// Of an `engine` in a pod that may use `memory_bytes` in all; none, where nothing waits to be given
    /// back.
    ///
    /// # Errors
    /// Wasmtime's, if it does not compile the module that fills the queue.
    pub(super) fn of(engine: &Engine, reset: Reset, memory_bytes: u64) -> Result<Option<Self>> {
        if reset != Reset::Batch || engine.pooling_allocator_metrics().is_none() {
            return Ok(None);
        }
        let threads = available_parallelism().map_or(1, NonZero::get) as u64;
        Ok(Some(Self {
            limit_bytes: memory_bytes / SHARE / threads,
            queues: ThreadLocal::new(),
            engine: engine.clone(),
            module: Module::new(engine, MODULE)?,
        }))
    }

    /// An instance with so many bytes in so many memories and tables is about to end on this thread.
    pub(super) fn add(&self, bytes: u64, regions: usize) {
        let queue = self.queues.get_or_default();
        queue.set(queue.get().with(bytes, regions));
    }

    /// Gives back what waits on this thread, where it is too much.
    pub(super) fn settle(&self) {
        let cell = self.queues.get_or_default();
        let queue = cell.get();
        if queue.bytes > self.limit_bytes && self.fill() {
            // As many regions lie in it as before.
            cell.set(Queue { bytes: 0, ..queue });
        }
    }

    /// Fills the queue with memories that nobody has touched, so that it is emptied. False, where there
    /// is no room for them: the next instance that ends is another occasion.
    fn fill(&self) -> bool {
        let mut store = Store::new(&self.engine, ());
        (0..DECOMMIT_BATCH).all(|_| Instance::new(&mut store, &self.module, &[]).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::Arc};

    use super::*;
    use crate::{
        budget::Budget,
        engine::{Combination, EngineSet, Occupancy, Wasi},
    };

    /// Of the pod.
    const MEMORY_BYTES: u64 = 256 << 20;
    /// What a large instance uses: more than the whole residue may be.
    const LARGE_PAGES: u64 = (MEMORY_BYTES / SHARE / PAGE_BYTES) + 1;
    const PAGE_BYTES: u64 = 64 << 10;
    /// More than fill a queue.
    const SLOTS: u32 = 64;

    /// How much of the mapping around `address` lies in memory, in bytes.
    fn resident_bytes(address: usize) -> u64 {
        let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
        let mut lines = smaps.lines();
        let mapping = lines.find(|line| {
            let range = line.split(' ').next().and_then(|word| word.split_once('-'));
            range.is_some_and(|(start, end)| {
                let number = |text| usize::from_str_radix(text, 16);
                number(start).is_ok_and(|start| start <= address)
                    && number(end).is_ok_and(|end| address < end)
            })
        });
        if mapping.is_none() {
            return 0;
        }
        let line = lines.find_map(|line| line.strip_prefix("Rss:")).unwrap();
        let kibibytes = line.trim_end_matches("kB").trim();
        kibibytes.parse::<u64>().unwrap() << 10
    }

    #[test]
    fn a_queue_is_emptied_when_it_is_full() {
        let (mut queue, ended) = (Queue::default(), DECOMMIT_BATCH / 2 - 1);
        for _ in 0..ended {
            queue = queue.with(10, 2);
        }
        let regions = 2 * ended;
        assert_eq!(
            queue,
            Queue {
                regions,
                bytes: 10 * ended as u64
            }
        );
        let (regions, bytes) = (0, 10);
        assert_eq!(queue.with(10, 2), Queue { regions, bytes });
    }

    /// One engine, and a guest that writes to all its memory.
    struct Trial {
        engine: Arc<crate::engine::Engine>,
        module: Module,
    }

    impl Trial {
        fn new(combination: Combination) -> Self {
            let engines = EngineSet::new(SLOTS, Budget::new(MEMORY_BYTES), false).unwrap();
            let engine = engines.engine(combination).unwrap();
            let text = r#"(module (memory (export "memory") 1) (table 1 funcref))"#;
            let module = Module::new(engine.wasmtime(), wat::parse_str(text).unwrap()).unwrap();
            Self { engine, module }
        }

        /// Runs an instance that grows to so many pages; says what is left of it, in bytes.
        fn run(&self, pages: u64) -> u64 {
            let slots = self.engine.slots();
            let slot = slots.take(1).unwrap();
            let mut occupancy = Occupancy::new(Arc::clone(slots));
            occupancy.set(pages * PAGE_BYTES);
            occupancy.add_region();
            occupancy.add_region();
            let mut store = Store::new(self.engine.wasmtime(), occupancy);
            let instance = Instance::new(&mut store, &self.module, &[]).unwrap();
            let memory = instance.get_memory(&mut store, "memory").unwrap();
            memory.grow(&mut store, pages - 1).unwrap();
            memory.data_mut(&mut store).fill(1);
            let address = memory.data_ptr(&store).addr();
            assert!(resident_bytes(address) >= pages * PAGE_BYTES);
            drop(store);
            drop(slot);
            resident_bytes(address)
        }
    }

    #[test]
    fn little_is_left_of_an_instance_that_has_ended() {
        let plain = [Reset::Small, Reset::Scan, Reset::Batch].map(Combination::plain);
        let others = [(Wasi::V0_3, false), (Wasi::V0_2, true)].map(|(wasi, counts)| Combination {
            wasi,
            counts_instructions: counts,
            reset: Reset::Batch,
        });
        for combination in plain.into_iter().chain(others) {
            let trial = Trial::new(combination);
            // Wherever the queue is when it comes.
            for others in 0..=DECOMMIT_BATCH / 2 {
                for _ in 0..others {
                    trial.run(2);
                }
                let left = trial.run(LARGE_PAGES);
                let most = combination.reset.kept_bytes();
                assert!(left <= most, "{combination:?}: {left} after {others}");
            }
        }
    }
}
