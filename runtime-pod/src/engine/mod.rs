//! Compiles modules and holds what all instances share: the wasmtime engine, its pool of slots,
//! the host functions, and the clock that interrupts guests.

mod compile;
mod imports;
mod inspect;
mod pool;
mod settings;
#[cfg(test)]
mod tests;
mod ticker;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Semaphore;
use wasmtime::component::Linker;

pub use compile::{CompileError, Module};
pub use ticker::Running;

use crate::{budget::Budget, sandbox::Sandbox};
use ticker::Ticker;

/// Modules that are compiled at the same time, so that the parts of one that cannot be split leave
/// no core idle; the rest waits its turn.
const COMPILATIONS: usize = 2;

/// Niceness of the threads that compile: they use what serving leaves, at a quarter of its weight
/// where it leaves nothing.
const COMPILE_NICENESS: i32 = 5;

/// Working memory of a compilation, as a multiple of the module's size. Measured: 290 to 385 MB
/// for a component of 12.8 MB.
const COMPILE_FACTOR: u64 = 30;

/// The engine could not be made.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Wasmtime refused the settings, or the memory could not be had.
    #[error("the wasm engine cannot start: {0:#}")]
    Start(wasmtime::Error),
    /// The threads that compile could not be started.
    #[error("the threads that compile cannot start")]
    Compilers(#[source] rayon::ThreadPoolBuildError),
    /// The thread that interrupts guests could not be started.
    #[error("the engine's clock cannot start")]
    Ticker(#[source] std::io::Error),
}

/// What all guests of this process share.
pub struct Engine {
    wasmtime: wasmtime::Engine,
    linker: Linker<Sandbox>,
    ticker: Ticker,
    slots: u32,
    compiling: Semaphore,
    compilers: Arc<rayon::ThreadPool>,
    budget: Arc<Budget>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Engine")
            .field("slots", &self.slots)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine for at most `slots` instances at the same time; fewer, where the address space
    /// does not suffice. Code and compilation draw on `budget`.
    ///
    /// # Errors
    /// [`EngineError`] if wasmtime cannot start at all.
    pub fn new(slots: u32, budget: Arc<Budget>) -> Result<Self, EngineError> {
        let (wasmtime, slots) = pool::engine(slots).map_err(EngineError::Start)?;
        let linker = imports::linker(&wasmtime).map_err(EngineError::Start)?;
        let ticker = Ticker::start(&wasmtime).map_err(EngineError::Ticker)?;
        Ok(Self {
            wasmtime,
            linker,
            ticker,
            slots,
            compiling: Semaphore::new(COMPILATIONS),
            compilers: Arc::new(compilers().map_err(EngineError::Compilers)?),
            budget,
        })
    }

    /// Instances that it can hold at the same time.
    #[must_use]
    pub const fn slots(&self) -> u32 {
        self.slots
    }

    /// Says that a guest runs, for as long as the result lives: only then does the clock tick.
    #[must_use]
    pub fn running(&self) -> Running {
        self.ticker.running()
    }

    /// Compiles and links a module, off the threads that serve.
    ///
    /// # Errors
    /// [`CompileError`] that says what is wrong with the module.
    pub async fn compile(&self, digest: &str, bytes: Bytes) -> Result<Module, CompileError> {
        compile::refuse_foreign(&bytes)?;
        let _turn = self
            .compiling
            .acquire()
            .await
            .map_err(|_| CompileError::Stopped)?;
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let _working_memory = self.budget.charge(size.saturating_mul(COMPILE_FACTOR));
        let wasmtime = self.wasmtime.clone();
        let linker = self.linker.clone();
        let digest = digest.to_owned();
        let budget = Arc::clone(&self.budget);
        let compilers = Arc::clone(&self.compilers);
        tokio::task::spawn_blocking(move || {
            compilers.install(|| compile::compile(&wasmtime, &linker, &digest, &bytes, &budget))
        })
        .await
        .map_err(|_| CompileError::Stopped)?
    }
}

/// Threads that compile the functions of a module side by side.
fn compilers() -> Result<rayon::ThreadPool, rayon::ThreadPoolBuildError> {
    rayon::ThreadPoolBuilder::new()
        .thread_name(|index| format!("compile-{index}"))
        .start_handler(|_| {
            if let Err(error) = rustix::process::nice(COMPILE_NICENESS) {
                tracing::debug!(%error, "compilation runs at the priority of serving");
            }
        })
        .build()
}
