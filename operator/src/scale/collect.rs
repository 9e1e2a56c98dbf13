//! What the scaling decision is made from.

use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;
use wasmfn_autoscale::{Function, Inputs};
use wasmfn_crds::{
    WasmFunction,
    hosts::FunctionKey,
    names::{SHARED_RUNTIME, is_served_by, runtime_of},
};

use crate::{
    context::Context,
    follow::Demand,
    reconcile::observed::{is_loading, resolved},
};

pub(super) fn inputs(
    context: &Context,
    deployment: &Deployment,
    current: u32,
    now: Instant,
) -> Inputs {
    let namespace = deployment.namespace().unwrap_or_default();
    let runtime = deployment.name_any();
    let cached = context.caches.functions_of(&namespace);
    let functions: Vec<Function> = cached
        .iter()
        .filter_map(|function| function.0.as_ref().ok())
        .map(|function| context.recent.newest(function))
        .filter(|function| is_served_by(function, &runtime))
        .map(|function| {
            let uid = function.metadata.uid.as_deref().unwrap_or_default();
            let key = FunctionKey::of(&function);
            let demand = context.knowledge.demand(&key, uid, now);
            input(&function, &runtime, current, demand)
        })
        .collect();
    let keep_warm = if runtime == SHARED_RUNTIME {
        context.config.runtime(&namespace).keep_warm
    } else {
        0
    };
    // A function that cannot be parsed may need what is there.
    let unparsable = cached.iter().any(|function| function.0.is_err());
    Inputs {
        current,
        keep_warm,
        functions,
        known_since: context
            .knowledge
            .demand_known_since()
            .filter(|_| !unparsable),
    }
}

/// What one function asks of `runtime`. One that cannot be loaded keeps asking for a pod: it is the
/// pod that tells why, and that tries again.
pub(super) fn input(
    function: &WasmFunction,
    runtime: &str,
    current: u32,
    demand: Demand,
) -> Function {
    let scaling = &function.spec.scaling;
    let is_target = runtime_of(function) == runtime;
    let whole = |number: i32| u32::try_from(number).unwrap_or(0);
    Function {
        fixed: function.spec.replicas.filter(|_| is_target).map(whole),
        // A deployment that still answers while another takes over keeps what it has.
        min_replicas: if is_target {
            whole(scaling.min_replicas)
        } else {
            current
        },
        max_replicas: whole(scaling.max_replicas),
        idle: Duration::from_secs(u64::from(whole(scaling.idle_seconds))),
        suspended: function.spec.suspend,
        loading: is_target && (resolved(function).is_none() || is_loading(function)),
        demand: demand.requests,
        last_demand: demand.last,
    }
}
