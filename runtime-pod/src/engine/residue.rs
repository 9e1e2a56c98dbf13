//! Memory of instances that have ended and that the kernel has not got back yet. Where slots are given
//! back several at a time, those that wait for more to come would hold as much as their guests may
//! use, long after the pod's budget stopped counting it.

use std::{cell::Cell, num::NonZero, thread::available_parallelism};

use thread_local::ThreadLocal;
use wasmtime::{Engine, Instance, Module, Result, Store};

use super::reset::DECOMMIT_BATCH;

/// `(module (memory 1))`
const MODULE: [u8; 13] = [0, b'a', b's', b'm', 1, 0, 0, 0, 5, 3, 1, 0, 1];

/// Share of the pod's memory that waits to be given back at most, in all threads together: as that of
/// unused slots it comes on top of the budget.
const SHARE: u64 = 16;

/// What ended instances of one engine hold, by thread: each has a queue of its own in wasmtime, which
/// is emptied when it is full and not before.
#[derive(Debug)]
pub(super) struct Residue {
    limit_bytes: u64,
    queues: ThreadLocal<Cell<Queue>>,
    engine: Engine,
    module: Module,
}

/// What is known of a thread's queue.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Queue {
    /// Memories and tables in it.
    regions: usize,
    /// What those hold at most.
    bytes: u64,
}

impl Queue {
    /// With an instance more, each of whose memories and tables may have filled the queue.
    const fn with(self, bytes: u64, regions: usize) -> Self {
        let total = self.regions + regions;
        Self {
            regions: total % DECOMMIT_BATCH,
            bytes: if total < DECOMMIT_BATCH {
                self.bytes.saturating_add(bytes)
            } else if total.is_multiple_of(DECOMMIT_BATCH) {
                0
            } else {
                bytes
            },
        }
    }
}

impl Residue {
    /// Of an `engine` that gives memory back in batches, in a pod that may use `memory_bytes` in all.
    ///
    /// # Errors
    /// Wasmtime's, if it does not compile the module that fills the queue.
    pub(super) fn new(engine: &Engine, memory_bytes: u64) -> Result<Self> {
        let threads = available_parallelism().map_or(1, NonZero::get) as u64;
        Ok(Self {
            limit_bytes: memory_bytes / SHARE / threads,
            queues: ThreadLocal::new(),
            engine: engine.clone(),
            module: Module::new(engine, MODULE)?,
        })
    }

    /// An instance with so many bytes in so many memories and tables is about to end on this thread.
    pub(super) fn add(&self, bytes: u64, regions: usize) {
        let queue = self.queues.get_or_default();
        queue.set(queue.get().with(bytes, regions));
    }

    /// Gives back what waits on this thread, where it is too much.
    pub(super) fn settle(&self) {
        let queue = self.queues.get_or_default();
        if queue.get().bytes > self.limit_bytes {
            queue.set(Queue::default());
            self.fill();
        }
    }

    /// Fills the queue with memories that nobody has touched, so that it is emptied. Where there is no
    /// room for them, wasmtime empties it for that reason.
    fn fill(&self) {
        let mut store = Store::new(&self.engine, ());
        for _ in 0..DECOMMIT_BATCH {
            if let Err(error) = Instance::new(&mut store, &self.module, &[]) {
                tracing::debug!(
                    error = format!("{error:#}"),
                    "the queue of memory is emptied"
                );
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::Arc};

    use super::*;
    use crate::{
        budget::Budget,
        engine::{Combination, EngineSet, Occupancy, Reset, Wasi},
    };

    /// Of the pod.
    const MEMORY_BYTES: u64 = 256 << 20;
    /// What an instance uses: more than the whole residue may be.
    const USED_BYTES: usize = 32 << 20;

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
        assert_eq!(queue.bytes, 10 * ended as u64);
        // Some of the last one's may be in it still, or nothing is.
        assert_eq!(
            queue.with(10, 3),
            Queue {
                regions: 1,
                bytes: 10
            }
        );
        assert_eq!(queue.with(10, 2), Queue::default());
    }

    /// What is left of an instance that has written to all its memory.
    fn left_bytes(combination: Combination) -> u64 {
        let engines = EngineSet::new(4, Budget::new(MEMORY_BYTES), false).unwrap();
        let engine = engines.engine(combination).unwrap();
        let pages = USED_BYTES >> 16;
        let text = format!(r#"(module (memory (export "memory") {pages}))"#);
        let module = Module::new(engine.wasmtime(), wat::parse_str(text).unwrap()).unwrap();
        let slot = engine.slots().take().unwrap();
        let mut occupancy = Occupancy::new(Arc::clone(engine.slots()));
        occupancy.set(USED_BYTES as u64);
        occupancy.add_region();
        let mut store = Store::new(engine.wasmtime(), occupancy);
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        memory.data_mut(&mut store).fill(1);
        let address = memory.data_ptr(&store).addr();
        assert!(resident_bytes(address) >= USED_BYTES as u64);
        drop(store);
        drop(slot);
        resident_bytes(address)
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
            let left = left_bytes(combination);
            assert!(
                left <= combination.reset.kept_bytes(),
                "{combination:?}: {left}"
            );
        }
    }
}
