//! What functions use of the pods of a runtime deployment, as the pods tell it.

use std::{collections::HashMap, sync::Arc};

use k8s_openapi::api::core::v1::Pod;
use wasmfn_autoscale::{PodLoad, Usage};
use wasmfn_crds::hosts::FunctionKey;

use crate::{
    follow::{Knowledge, RuntimeView},
    reconcile::pod,
};

/// What each function uses of `pods`; those that use nothing are left out. Pods that were told to go
/// do not count: what they hold ends there. A silent pod counts with its last words.
pub(super) fn usage(knowledge: &Knowledge, pods: &[Arc<Pod>]) -> HashMap<FunctionKey, Usage> {
    let mut all: HashMap<FunctionKey, Usage> = HashMap::new();
    for pod in pods {
        knowledge.with_runtime(&pod::id(pod), |view| {
            if !view.pod.leaving {
                add(&mut all, view);
            }
        });
    }
    all
}

fn add(all: &mut HashMap<FunctionKey, Usage>, view: &RuntimeView) {
    let held = view.reports().map(|(_, line)| line.memory_bytes);
    let pod = PodLoad {
        cores: view.pod.cores,
        memory_budget_bytes: view.pod.memory_budget_bytes,
        guests_memory_bytes: held.fold(0, u64::saturating_add),
        full: view.pod.full,
    };
    let users = view
        .reports()
        .filter(|(_, line)| line.guests_runnable > 0 || line.memory_bytes > 0);
    for (key, line) in users {
        let usage = all.entry(key.clone()).or_default();
        usage.add(&pod, line.guests_runnable, line.memory_bytes);
    }
}
