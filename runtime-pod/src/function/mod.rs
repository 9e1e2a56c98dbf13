//! Functions of this pod: what each answers with now, and what is being done about the rest.

mod plan;
mod reuse;
mod settings;
mod supervisor;
mod table;
#[cfg(test)]
mod tests;

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use arc_swap::ArcSwapOption;
use wasmfn_crds::{Reason, WasmFunction};
use wasmfn_report::{FunctionId, Load, LoadedVersion, Resolution, RuntimeFunction};

pub use plan::ResolutionAuthority;
pub use reuse::{Reuse, ReuseError};
pub use settings::{SettingsError, Version};
pub(crate) use supervisor::{Supervisor, supervise};
pub use table::FunctionTable;

use crate::{
    budget::Account, changes::Changes, journal::Entry, metrics::Metrics, sandbox::GuestLog,
    turns::Demand,
};

/// Memory that the first request of a function is admitted on, in bytes; later ones on what was
/// observed.
const FIRST_PEAK_BYTES: u64 = 2 << 20;

/// What is logged of a guest that cannot serve twice.
const NOT_REUSED: &str = "an instance failed at a request after its first, so `spec.reuse` is given up: \
                          each request gets a fresh instance";

/// A function that this pod holds.
#[derive(Debug)]
pub struct Function {
    id: FunctionId,
    version: ArcSwapOption<Version>,
    /// Whether its instances have to go: it is suspended, or held no more.
    is_resting: AtomicBool,
    state: Mutex<State>,
    in_flight: AtomicU32,
    runnable: AtomicU32,
    memory: Arc<Account>,
    demand: Arc<Demand>,
    entry: Option<Entry>,
    log: Arc<GuestLog>,
    changes: Arc<Changes>,
}

/// How far the function's newest generation is.
#[derive(Clone, Debug, PartialEq)]
struct State {
    generation: i64,
    resolution: Option<Resolution>,
    load: Load,
}

impl Function {
    /// A function that nothing has been done for yet.
    #[must_use]
    pub fn new(id: FunctionId, changes: Arc<Changes>, metrics: Arc<Metrics>) -> Arc<Self> {
        Self::written_down(id, changes, metrics, None)
    }

    /// As [`new`](Self::new), with its entry in the journal.
    pub(crate) fn written_down(
        id: FunctionId,
        changes: Arc<Changes>,
        metrics: Arc<Metrics>,
        entry: Option<Entry>,
    ) -> Arc<Self> {
        let used_at = entry.as_ref().map_or(0, Entry::used_at);
        Arc::new(Self {
            log: GuestLog::new(&id.name, metrics),
            id,
            version: ArcSwapOption::empty(),
            is_resting: AtomicBool::new(false),
            state: Mutex::new(State {
                generation: 0,
                resolution: None,
                load: Load::Waiting,
            }),
            in_flight: AtomicU32::new(0),
            runnable: AtomicU32::new(0),
            memory: Arc::new(Account::expecting(FIRST_PEAK_BYTES)),
            demand: Arc::new(Demand::at(used_at)),
            entry,
            changes,
        })
    }

    /// Which function of the cluster it is.
    #[must_use]
    pub const fn id(&self) -> &FunctionId {
        &self.id
    }

    /// When it was asked for last, or would have been had it been loaded.
    #[must_use]
    pub const fn demand(&self) -> &Arc<Demand> {
        &self.demand
    }

    /// Where its guests' output goes.
    #[must_use]
    pub const fn log(&self) -> &Arc<GuestLog> {
        &self.log
    }

    /// The version that answers now.
    #[must_use]
    pub fn version(&self) -> Option<Arc<Version>> {
        self.version.load_full()
    }

    /// Whether the newest generation failed to load.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        matches!(self.lock().load, Load::Failed { .. })
    }

    /// The generation that is not served any more, since it was running at two crashes.
    pub(crate) fn quarantined(&self) -> Option<i64> {
        self.entry.as_ref().and_then(Entry::quarantined)
    }

    /// Lets the journal know if no request is in flight. Called now and then.
    pub(crate) fn rest(&self) {
        if let Some(entry) = &self.entry {
            entry.rest(|| self.in_flight.load(Ordering::SeqCst) > 0);
        }
    }

    /// Counts a request in, unless `max_concurrency` are in flight already.
    #[must_use]
    pub fn enter(self: &Arc<Self>, max_concurrency: u32) -> Option<InFlight> {
        let before = self
            .in_flight
            .try_update(Ordering::SeqCst, Ordering::Acquire, |count| {
                (count < max_concurrency).then_some(count + 1)
            })
            .ok()?;
        if let Some(entry) = &self.entry {
            entry.runs();
        }
        self.changes.count(before == 0);
        Some(InFlight(Arc::clone(self)))
    }

    /// Memory that a request is admitted on, in bytes.
    #[must_use]
    pub fn expected_bytes(&self) -> u64 {
        self.memory.peak_bytes()
    }

    /// What its requests hold of the pod's memory.
    #[must_use]
    pub const fn memory(&self) -> &Arc<Account> {
        &self.memory
    }

    /// Counts a guest that waits for CPU, here and in the count of all functions.
    #[must_use]
    pub fn runnable(self: &Arc<Self>, of_all: &Arc<AtomicU32>) -> Runnable {
        self.runnable.fetch_add(1, Ordering::Relaxed);
        of_all.fetch_add(1, Ordering::Relaxed);
        Runnable {
            function: Arc::clone(self),
            of_all: Arc::clone(of_all),
        }
    }

    /// Takes note of what a request used.
    pub fn observe_memory(&self, bytes: u64) {
        self.memory.observe(bytes);
    }

    /// Whether an instance of `version` may wait for another request.
    #[must_use]
    pub fn keeps(&self, version: &Arc<Version>) -> bool {
        !self.is_resting.load(Ordering::Relaxed)
            && version.reuse().is_some_and(Reuse::is_on)
            && self
                .version
                .load()
                .as_ref()
                .is_some_and(|current| Arc::ptr_eq(current, version))
    }

    /// Lets the instances that wait for requests go, or has them wait again.
    pub(crate) fn rest_instances(&self, is_resting: bool) {
        self.is_resting.store(is_resting, Ordering::Relaxed);
    }

    /// The instances of `version` cannot serve twice: each request gets its own from now on.
    pub(crate) fn give_up_reuse(&self, version: &Version) {
        if version.reuse().is_some_and(Reuse::give_up) {
            self.log.warn(Reason::NotReused.as_str(), NOT_REUSED);
            self.changes.urgent();
        }
    }

    /// What the report says about it.
    #[must_use]
    pub fn report(&self) -> RuntimeFunction {
        let version = self.version.load();
        let in_flight = self.in_flight.load(Ordering::Acquire);
        let state = self.lock().clone();
        RuntimeFunction {
            function: self.id.clone(),
            generation: state.generation,
            resolution: state.resolution,
            load: state.load,
            serving: version.as_ref().map(|version| LoadedVersion {
                digest: version.code().digest().to_owned(),
                generation: version.generation(),
                kind: format!("{:?}", version.code().kind()),
                not_reused: version.reuse().is_some_and(|reuse| !reuse.is_on()),
            }),
            in_flight,
            full: version
                .as_ref()
                .is_some_and(|version| in_flight >= version.limits().max_concurrency),
            guests_runnable: self.runnable.load(Ordering::Relaxed),
            memory_bytes: self.memory.bytes(),
        }
    }

    /// Lets requests from now on get `version`.
    fn swap(&self, version: Arc<Version>) {
        if let Some(entry) = &self.entry {
            entry.serves(version.generation());
        }
        self.version.store(Some(version));
        self.changes.urgent();
    }

    fn update(&self, generation: i64, resolution: Option<Resolution>, load: Load) {
        let next = State {
            generation,
            resolution,
            load,
        };
        let mut state = self.lock();
        if *state != next {
            *state = next;
            drop(state);
            self.changes.urgent();
        }
    }

    fn set_load(&self, load: Load) {
        let (generation, resolution) = {
            let state = self.lock();
            (state.generation, state.resolution.clone())
        };
        self.update(generation, resolution, load);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that counts as in flight until this is dropped.
#[derive(Debug)]
pub struct InFlight(Arc<Function>);

impl InFlight {
    /// How many there are of its function, this one too.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.0.in_flight.load(Ordering::Acquire)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
        self.0.changes.count(false);
    }
}

/// A guest that counts as one that waits for CPU until this is dropped.
#[derive(Debug)]
pub struct Runnable {
    function: Arc<Function>,
    of_all: Arc<AtomicU32>,
}

impl Drop for Runnable {
    fn drop(&mut self) {
        self.function.runnable.fetch_sub(1, Ordering::Relaxed);
        self.of_all.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Which function an object stands for.
#[must_use]
pub fn id_of(function: &WasmFunction) -> FunctionId {
    let metadata = &function.metadata;
    FunctionId {
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
        uid: metadata.uid.clone().unwrap_or_default(),
    }
}
