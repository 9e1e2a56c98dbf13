//! Memory of instances that have ended and that the kernel has not got back yet. Where slots are given
//! back several at a time, those that wait for more to come would hold as much as their guests may
//! use, long after the pod's budget stopped counting it.

use std::{cell::Cell, num::NonZero, thread::available_parallelism};

use thread_local::ThreadLocal;
use wasmtime::{Engine, Instance, Module, Result, Store};

use super::reset::DECOMMIT_BATCH;

/// `(module (memory 1))`
const MODULE: [u8; 13] = [0, b'a', b's', b'm', 1, 0, 0, 0, 5, 3, 1, 0, 1];

/// Share of the pod's memory that waits to be given back at most, in all threads together: as
/// [`WARM_SHARE`](super::pool) it comes on top of the budget.
const SHARE: u64 = 16;

/// What ended instances of one engine hold, by thread: each has a queue of its own in wasmtime, which
/// is emptied when it is full and not before.
#[derive(Debug)]
pub(super) struct Residue {
    limit_bytes: u64,
    held_bytes: ThreadLocal<Cell<u64>>,
    engine: Engine,
    module: Module,
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
            held_bytes: ThreadLocal::new(),
            engine: engine.clone(),
            module: Module::new(engine, MODULE)?,
        })
    }

    /// An instance with so many bytes of memory is about to end on this thread.
    pub(super) fn add(&self, bytes: u64) {
        let held = self.held_bytes.get_or_default();
        held.set(held.get().saturating_add(bytes));
    }

    /// Gives back what waits on this thread, where it is too much.
    pub(super) fn settle(&self) {
        let held = self.held_bytes.get_or_default();
        if held.get() > self.limit_bytes {
            held.set(0);
            self.fill();
        }
    }

    /// Fills the queue with memories that nobody has touched, so that it is emptied. Where there is no
    /// room for them, wasmtime empties it for that reason.
    fn fill(&self) {
        let mut store = Store::new(&self.engine, ());
        for _ in 0..DECOMMIT_BATCH {
            if let Err(error) = Instance::new(&mut store, &self.module, &[]) {
                tracing::debug!(error = format!("{error:#}"), "the queue of memory is emptied");
                break;
            }
        }
    }
}
