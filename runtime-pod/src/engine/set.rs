//! All engines of the process: made when they are first needed, each for one combination.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::{
    Clock, CompileError, Engine, EngineError, Module, combination::Combination, compile, layout,
    reset::Reset, scan, space::Space, ticker::Ticker,
};
use crate::budget::Budget;

/// Modules that are compiled at the same time, so that the parts of one that cannot be split leave
/// no core idle; the rest waits its turn.
const COMPILATIONS: usize = 2;

/// Niceness of the threads that compile: they use what serving leaves, at a quarter of its weight
/// where it leaves nothing.
const COMPILE_NICENESS: i32 = 5;

/// Working memory of a compilation, as a multiple of the module's size. Measured: 290 to 385 MB
/// for a component of 12.8 MB.
const COMPILE_FACTOR: u64 = 30;

/// What all guests of this process share.
pub struct EngineSet {
    made: Mutex<Made>,
    slots_each: u32,
    ticker: Ticker,
    scan_is_useful: OnceLock<bool>,
    compiling: Semaphore,
    compilers: rayon::ThreadPool,
    budget: Arc<Budget>,
}

/// Engines that were needed so far, and the address space that they left.
#[derive(Debug, Default)]
struct Made {
    engines: BTreeMap<Combination, Arc<Engine>>,
    space: Space,
}

impl std::fmt::Debug for EngineSet {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("EngineSet")
            .field("made", &self.made)
            .finish_non_exhaustive()
    }
}

impl EngineSet {
    /// No engine yet; each that is needed will hold at most `slots_each` instances at the same time:
    /// fewer, where the address space does not suffice. Code and compilation draw on `budget`.
    ///
    /// # Errors
    /// [`EngineError`] if a thread cannot be started.
    pub fn new(slots_each: u32, budget: Arc<Budget>) -> Result<Arc<Self>, EngineError> {
        Ok(Arc::new(Self {
            made: Mutex::default(),
            slots_each,
            ticker: Ticker::start().map_err(EngineError::Ticker)?,
            scan_is_useful: OnceLock::new(),
            compiling: Semaphore::new(COMPILATIONS),
            compilers: compilers().map_err(EngineError::Compilers)?,
            budget,
        }))
    }

    /// The engine for a combination. Making it takes some milliseconds.
    ///
    /// # Errors
    /// [`EngineError`] if wasmtime refuses the settings or the memory cannot be had.
    pub fn engine(&self, combination: Combination) -> Result<Arc<Engine>, EngineError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = made.engines.get(&combination) {
            return Ok(Arc::clone(engine));
        }
        let slots = made.space.take(self.slots_each);
        let engine = Arc::new(Engine::new(combination, slots, self.budget.limit_bytes())?);
        self.ticker.add(engine.wasmtime());
        tracing::info!(
            ?combination,
            slots = engine.slots().total(),
            "made an engine"
        );
        made.engines.insert(combination, Arc::clone(&engine));
        Ok(engine)
    }

    /// The way in which a module's slots are made fresh. The first answer may take some 20 ms.
    #[must_use]
    pub fn reset(&self, bytes: &[u8]) -> Reset {
        Reset::choose(layout::initial_end_bytes(bytes), || {
            *self.scan_is_useful.get_or_init(scan::is_useful)
        })
    }

    /// For a thread that will run guests: it has the clock tick while it does.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.ticker.join()
    }

    /// Compiles and links a module, off the threads that serve.
    ///
    /// # Errors
    /// [`CompileError`] that says what is wrong with the module.
    pub async fn compile(
        self: &Arc<Self>,
        digest: &str,
        bytes: Bytes,
    ) -> Result<Module, CompileError> {
        compile::refuse_foreign(&bytes)?;
        let _turn = self
            .compiling
            .acquire()
            .await
            .map_err(|_| CompileError::Stopped)?;
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let _working_memory = self.budget.charge(size.saturating_mul(COMPILE_FACTOR));
        let set = Arc::clone(self);
        let digest = digest.to_owned();
        tokio::task::spawn_blocking(move || {
            let combination = Combination::plain(set.reset(&bytes));
            let engine = set.engine(combination)?;
            set.compilers
                .install(|| compile::compile(&engine, &digest, &bytes, &set.budget))
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
