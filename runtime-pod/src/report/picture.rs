//! The pod's state at one moment, as lines of the stream.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use wasmfn_crds::names;
use wasmfn_report::{FunctionId, Load, PodState, RuntimeLine};

use crate::{
    changes::Changes, function::FunctionTable, metrics::Holdings, serve::Admission, share::Share,
};

/// What a line is about: a later one about the same replaces it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Subject {
    /// The pod as a whole.
    Pod,
    /// One function.
    Function(FunctionId),
}

/// Which pod it is.
#[derive(Clone, Debug, Default)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Runtime deployment that it belongs to.
    pub runtime: String,
}

impl Pod {
    /// What one function may have of it.
    #[must_use]
    pub fn share(&self) -> Share {
        if names::is_dedicated(&self.runtime) {
            Share::All
        } else {
            Share::Some
        }
    }
}

/// What is looked at before the whole state is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Glance {
    stamp: u64,
    is_full: bool,
    runnable: u32,
    memory_bytes: u64,
}

/// Where the state is read from.
#[derive(Debug)]
pub struct Picture {
    pub(crate) pod: Pod,
    pub(crate) functions: Arc<FunctionTable>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) runnable: Arc<AtomicU32>,
    /// Threads that run guests.
    pub(crate) threads: NonZeroUsize,
    pub(crate) changes: Arc<Changes>,
    pub(crate) is_in_sync: AtomicBool,
    pub(crate) is_leaving: AtomicBool,
}

impl Picture {
    /// The function list is known.
    pub fn in_sync(&self) {
        self.is_in_sync.store(true, Ordering::Release);
        self.changes.urgent();
    }

    /// The pod was told to go.
    pub fn leaving(&self) {
        self.is_leaving.store(true, Ordering::Release);
        self.changes.urgent();
    }

    /// Whether the function list is known.
    #[must_use]
    pub fn is_in_sync(&self) -> bool {
        self.is_in_sync.load(Ordering::Acquire)
    }

    /// Tells when there is something new.
    #[must_use]
    pub const fn changes(&self) -> &Arc<Changes> {
        &self.changes
    }

    /// How far each function is.
    #[must_use]
    pub fn loads(&self) -> Vec<Load> {
        let functions = self.functions.all();
        functions
            .iter()
            .map(|function| function.report().load)
            .collect()
    }

    /// Differs from an earlier glance if the state may differ: what is counted by [`Changes`], and
    /// what changes without anybody doing anything.
    pub(super) fn glance(&self) -> Glance {
        Glance {
            stamp: self.changes.stamp(),
            is_full: self.admission.is_full(),
            runnable: self.runnable.load(Ordering::Relaxed),
            memory_bytes: self.admission.budget().used_bytes(),
        }
    }

    /// The state right now, a line for each subject.
    #[must_use]
    pub fn lines(&self) -> Vec<(Subject, RuntimeLine)> {
        let mut functions = self.functions.all();
        functions.sort_by(|left, right| left.id().cmp(right.id()));
        let pod = (Subject::Pod, RuntimeLine::Pod(self.pod_state()));
        let functions = functions.into_iter().map(|function| {
            (
                Subject::Function(function.id().clone()),
                RuntimeLine::Function(function.report()),
            )
        });
        std::iter::once(pod).chain(functions).collect()
    }

    /// What the metrics say of the pod as a whole.
    #[must_use]
    pub fn holdings(&self) -> Holdings {
        let budget = self.admission.budget();
        Holdings {
            functions: self.functions.all().len(),
            in_flight: self.admission.in_flight(),
            memory_bytes: budget.used_bytes(),
            memory_budget_bytes: budget.limit_bytes(),
        }
    }

    fn pod_state(&self) -> PodState {
        let budget = self.admission.budget();
        PodState {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            runtime: self.pod.runtime.clone(),
            pod: self.pod.name.clone(),
            in_sync: self.is_in_sync(),
            leaving: self.is_leaving.load(Ordering::Acquire),
            full: self.admission.is_full(),
            in_flight: self.admission.in_flight(),
            guests_runnable: self.runnable.load(Ordering::Relaxed),
            cores: u32::try_from(self.threads.get()).unwrap_or(u32::MAX),
            memory_bytes: budget.used_bytes(),
            memory_budget_bytes: budget.limit_bytes(),
        }
    }
}

/// What is said of a subject that is there no more.
pub(super) fn gone(subject: &Subject) -> Option<RuntimeLine> {
    match subject {
        Subject::Pod => None,
        Subject::Function(function) => Some(RuntimeLine::Gone {
            function: function.clone(),
        }),
    }
}
