//! Links compiled modules and holds what all instances share: wasmtime engines with their pools of slots,
//! the host functions, and the clock that interrupts guests.
//!
//! There is an engine for each `combination` in use of WASI generation, way in which slots are made
//! fresh (`reset`, chosen by the module's `layout`), and whether instructions are counted. The
//! `set` makes them when they are first needed.

mod advice;
mod combination;
mod compile;
mod core_module;
#[cfg(test)]
mod freshness;
mod imports;
mod inspect;
mod layout;
mod pool;
mod reset;
mod residue;
mod scan;
mod set;
mod settings;
mod slots;
mod space;
mod target;
#[cfg(test)]
mod tests;
mod ticker;

use std::sync::Arc;

use wasmtime::component::Linker;

pub use combination::{Combination, Wasi};
pub(crate) use compile::precompile;
pub use compile::{CompileError, Guest, Module};
pub use reset::Reset;
pub use set::EngineSet;
pub use slots::{Occupancy, Slot, Slots};
pub use target::{GuestKind, TARGET_BYTES, Target};
pub use ticker::{Clock, Running, TICK};

use crate::sandbox::Sandbox;
use residue::Residue;

/// Version of wasmtime that this is built with. A test compares it with the lock file.
const WASMTIME_VERSION: &str = "50.0.1";

/// An engine could not be made.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Wasmtime refused the settings, or the memory could not be had.
    #[error("the wasm engine cannot start: {0:#}")]
    Start(wasmtime::Error),
    /// The thread that interrupts guests could not be started.
    #[error("the engine's clock cannot start")]
    Ticker(#[source] std::io::Error),
}

/// One wasmtime engine: its pool, and what its guests may import.
pub struct Engine {
    combination: Combination,
    wasmtime: wasmtime::Engine,
    linker: Linker<Sandbox>,
    slots: Arc<Slots>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Engine")
            .field("combination", &self.combination)
            .field("slots", &self.slots)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine for at most `slots` instances at the same time, in a pod with `memory_bytes`.
    fn new(combination: Combination, slots: u32, memory_bytes: u64) -> Result<Self, EngineError> {
        let (wasmtime, slots) =
            pool::engine(combination, slots, memory_bytes).map_err(EngineError::Start)?;
        let linker = imports::linker(&wasmtime, combination.wasi).map_err(EngineError::Start)?;
        let residue =
            Residue::of(&wasmtime, combination.reset, memory_bytes).map_err(EngineError::Start)?;
        Ok(Self {
            combination,
            wasmtime,
            linker,
            slots: Slots::with_residue(slots, residue),
        })
    }

    /// What it was made for.
    #[must_use]
    pub const fn combination(&self) -> Combination {
        self.combination
    }

    /// Wasmtime's part.
    #[must_use]
    pub const fn wasmtime(&self) -> &wasmtime::Engine {
        &self.wasmtime
    }

    /// What guests may import.
    #[must_use]
    pub const fn linker(&self) -> &Linker<Sandbox> {
        &self.linker
    }

    /// Its instances at the same time.
    #[must_use]
    pub const fn slots(&self) -> &Arc<Slots> {
        &self.slots
    }
}
