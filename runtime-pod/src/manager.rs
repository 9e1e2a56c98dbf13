//! Holds the functions that the source names: starts a supervisor for each new one, tells it of
//! changes, and lets go of those that are gone.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::watch,
    task::AbortHandle,
    time::{Instant, sleep_until},
};
use wasmfn_crds::WasmFunction;

use crate::{
    function::{Function, FunctionTable, Supervisor, id_of, supervise},
    journal::Journal,
    metrics::Metrics,
    report::Picture,
    serve::Pools,
    source::{FunctionSet, FunctionSource},
};

/// How long a function that the source no longer names goes on: gateways may lag behind.
const FAREWELL: Duration = Duration::from_secs(10);

/// A function and its supervisor.
struct Held {
    function: Arc<Function>,
    desired: watch::Sender<Arc<WasmFunction>>,
    task: AbortHandle,
    /// When it is let go, since the source does not name it any more.
    leaves_at: Option<Instant>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.task.abort();
        self.function.rest_instances(true);
    }
}

/// Keeps `functions` as the source says, until the source is closed.
pub(crate) struct Manager {
    pub(crate) supervisor: Supervisor,
    pub(crate) functions: Arc<FunctionTable>,
    pub(crate) picture: Arc<Picture>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) pools: Arc<Pools>,
    pub(crate) journal: Option<Arc<Journal>>,
}

impl Manager {
    /// Follows the source.
    pub(crate) async fn run(self, mut source: FunctionSource) {
        let mut held: HashMap<String, Held> = HashMap::new();
        loop {
            let set = source.borrow_and_update().clone();
            if let Some(set) = set {
                self.apply(&set, &mut held);
                if !self.picture.is_in_sync() {
                    self.picture.in_sync();
                }
            }
            let next_leave = held.values().filter_map(|held| held.leaves_at).min();
            tokio::select! {
                changed = source.changed() => if changed.is_err() { return },
                () = until(next_leave) => {}
            }
        }
    }

    fn apply(&self, set: &FunctionSet, held: &mut HashMap<String, Held>) {
        let now = Instant::now();
        let mut added = Vec::new();
        for (name, object) in set {
            match held.get_mut(name) {
                Some(held) if held.function.id().uid == id_of(object).uid => {
                    held.leaves_at = None;
                    held.desired.send_if_modified(|desired| {
                        let changed = is_news(desired, object);
                        *desired = Arc::clone(object);
                        changed
                    });
                }
                _ => {
                    let new = self.hold(object);
                    added.push(Arc::clone(&new.function));
                    held.insert(name.clone(), new);
                }
            }
        }
        if !added.is_empty() {
            self.functions.extend(&added);
            self.picture.changes.urgent();
        }
        for (name, held) in held.iter_mut() {
            if !set.contains_key(name) {
                held.leaves_at.get_or_insert(now + FAREWELL);
            }
        }
        held.retain(|name, held| {
            let leaves = held.leaves_at.is_some_and(|time| time <= now);
            if leaves {
                self.let_go(name, held);
            }
            !leaves
        });
    }

    fn hold(&self, object: &Arc<WasmFunction>) -> Held {
        let changes = Arc::clone(&self.picture.changes);
        let id = id_of(object);
        let entry = self.journal.as_ref().map(|journal| journal.entry(&id.uid));
        let metrics = Arc::clone(&self.metrics);
        let function = Function::written_down(id, changes, metrics, entry);
        let (desired, following) = watch::channel(Arc::clone(object));
        let work = supervise(self.supervisor.clone(), Arc::clone(&function), following);
        Held {
            function,
            desired,
            task: tokio::spawn(work).abort_handle(),
            leaves_at: None,
        }
    }

    fn let_go(&self, name: &str, held: &Held) {
        self.functions.remove(&held.function);
        held.function.rest_instances(true);
        // First: what ends later would be counted under a name that is forgotten.
        self.pools.sweep();
        self.metrics.forget(name);
        self.picture.changes.urgent();
        tracing::info!(function = name, "let go");
    }
}

/// Whether a supervisor has to hear of a change: of anything but the operator's own notes in the
/// status, other than the resolution.
fn is_news(before: &WasmFunction, after: &WasmFunction) -> bool {
    let resolved = |function: &WasmFunction| {
        function
            .status
            .as_ref()
            .and_then(|status| status.resolved.clone())
    };
    let annotations = |function: &WasmFunction| -> BTreeMap<String, String> {
        function.metadata.annotations.clone().unwrap_or_default()
    };
    before.metadata.generation != after.metadata.generation
        || resolved(before) != resolved(after)
        || annotations(before) != annotations(after)
        || before.spec != after.spec
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
