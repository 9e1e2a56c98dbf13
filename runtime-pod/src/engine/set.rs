//! All engines of the process: made when they are first needed, each for one combination.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use super::{
    Clock, CompileError, Engine, EngineError, Module, Target, WASMTIME_VERSION, Wasi,
    combination::Combination, compile, reset::Reset, scan, settings::settings, space::Space,
    ticker::Ticker,
};
use crate::{
    budget::Budget,
    code::{CodeFile, Fingerprint},
};

/// What the owner of a WASI 0.3 service is told where they are not served.
const WASI_0_3: &str = "it is a WASI 0.3 service (`wasi:http/handler`), and these are not turned on: the admin sets \
                        `runtime.wasi03: true` in the chart, `wasmfn run` takes `--wasi-03`; or build it \
                        for WASI 0.2 (`wasi:http/proxy`)";

/// What all guests of this process share.
pub struct EngineSet {
    made: Mutex<Made>,
    slots_each: u32,
    serves_wasi_03: bool,
    ticker: Ticker,
    scan_is_useful: OnceLock<bool>,
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
    /// fewer, where the address space does not suffice. Mapped code draws on `budget`.
    ///
    /// # Errors
    /// [`EngineError`] if a thread cannot be started.
    pub fn new(
        slots_each: u32,
        budget: Arc<Budget>,
        serves_wasi_03: bool,
    ) -> Result<Arc<Self>, EngineError> {
        Ok(Arc::new(Self {
            made: Mutex::default(),
            slots_each,
            serves_wasi_03,
            ticker: Ticker::start().map_err(EngineError::Ticker)?,
            scan_is_useful: OnceLock::new(),
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

    /// The way in which the slots of a module are made fresh whose initial layout ends there. The
    /// first answer may take some 20 ms.
    #[must_use]
    pub fn reset(&self, initial_end_bytes: u64) -> Reset {
        Reset::choose(initial_end_bytes, || {
            *self.scan_is_useful.get_or_init(scan::is_useful)
        })
    }

    /// For a thread that will run guests: it has the clock tick while it does.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.ticker.join()
    }

    /// What tells code for these engines from other code. Combinations differ in what a
    /// [`Target`](super::Target) says besides.
    ///
    /// # Errors
    /// [`EngineError`] if wasmtime refuses the settings.
    pub fn fingerprint(&self) -> Result<Fingerprint, EngineError> {
        let plain = settings(Combination::plain(Reset::Batch));
        let engine = wasmtime::Engine::new(&plain).map_err(EngineError::Start)?;
        Ok(Fingerprint::of(&engine, WASMTIME_VERSION))
    }

    /// Whether code for `target` is served at all.
    ///
    /// # Errors
    /// [`CompileError::Unsupported`] for WASI 0.3 where it is not turned on.
    pub fn admit(&self, target: Target) -> Result<(), CompileError> {
        if target.wasi == Wasi::V0_3 && !self.serves_wasi_03 {
            return Err(CompileError::Unsupported(WASI_0_3));
        }
        Ok(())
    }

    /// Maps and links compiled code, for the engine that it was made for. Blocks for a few
    /// milliseconds at most.
    ///
    /// # Errors
    /// [`CompileError`] that says what is wrong with the module.
    pub fn link(&self, digest: &str, code: &CodeFile) -> Result<Module, CompileError> {
        let target = code.target();
        self.admit(target)?;
        let engine = self.engine(target.combination(self.reset(target.initial_end_bytes)))?;
        compile::link(&engine, digest, code, &self.budget)
    }
}
