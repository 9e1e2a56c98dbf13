//! What the scaling decision is made from.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::ResourceExt;
use wasmfn_autoscale::{Function, Inputs, Usage};
use wasmfn_crds::{
    WasmFunction,
    hosts::FunctionKey,
    names::{SHARED_RUNTIME, runtime_of, serving_runtime},
};

use super::{cached::Cached, usage::usage};
use crate::{
    context::Context,
    follow::Demand,
    reconcile::{
        is_rolling,
        observed::{is_loading, resolved},
        pod,
    },
};

/// A namespace by runtime deployment: one pass over all of it, however many deployments it has.
pub(super) struct Namespace<'a> {
    context: &'a Context,
    keep_warm: u32,
    functions: HashMap<String, Vec<Cow<'a, WasmFunction>>>,
    pods: HashMap<String, Vec<Arc<Pod>>>,
    /// A function that cannot be parsed may need what is there.
    unparsable: bool,
}

impl<'a> Namespace<'a> {
    pub(super) fn new(context: &'a Context, name: &str, cached: &'a Cached) -> Self {
        let all = cached.functions.get(name).map_or(&[][..], Vec::as_slice);
        let mut functions: HashMap<String, Vec<Cow<'a, WasmFunction>>> = HashMap::new();
        for function in all.iter().filter_map(|guarded| guarded.0.as_ref().ok()) {
            let function = context.recent.newest(function);
            let (target, serving) = (runtime_of(&function), serving_runtime(&function));
            if serving != target {
                functions.entry(serving).or_default().push(function.clone());
            }
            functions.entry(target).or_default().push(function);
        }
        let mut pods: HashMap<String, Vec<Arc<Pod>>> = HashMap::new();
        for pod in cached.pods.get(name).into_iter().flatten() {
            if let Some(runtime) = pod::runtime(pod).filter(|_| !pod::is_leaving(pod)) {
                pods.entry(runtime.to_owned())
                    .or_default()
                    .push(Arc::clone(pod));
            }
        }
        Self {
            context,
            keep_warm: context.config.runtime(name).keep_warm,
            functions,
            pods,
            unparsable: all.iter().any(|guarded| guarded.0.is_err()),
        }
    }

    /// Pods of a runtime deployment that are there to stay.
    pub(super) fn pods(&self, runtime: &str) -> &[Arc<Pod>] {
        self.pods.get(runtime).map_or(&[], Vec::as_slice)
    }

    /// What is known about a deployment that has `current` replicas.
    pub(super) fn inputs(&self, deployment: &Deployment, current: u32, now: Instant) -> Inputs {
        let runtime = deployment.name_any();
        let knowledge = &self.context.knowledge;
        let mut usage = usage(knowledge, self.pods(&runtime));
        let mut collect = |function: &Cow<'_, WasmFunction>| {
            let uid = function.metadata.uid.as_deref().unwrap_or_default();
            let key = FunctionKey::of(function);
            let demand = knowledge.demand(&key, uid, now);
            let usage = usage.remove(&key).unwrap_or_default();
            input(function, &runtime, demand, usage)
        };
        let functions = self.functions.get(&runtime).into_iter().flatten();
        let shared = runtime == SHARED_RUNTIME;
        Inputs {
            current,
            keep_warm: if shared { self.keep_warm } else { 0 },
            functions: functions.map(&mut collect).collect(),
            known_since: knowledge
                .demand_known_since(now)
                .filter(|_| !self.unparsable),
            rolling: is_rolling(deployment),
            no_capacity: super::room::problem(deployment, self.pods(&runtime)).is_some(),
        }
    }
}

/// What one function asks of `runtime`. One that cannot be loaded keeps asking for a pod: it is the
/// pod that tells why, and that tries again.
pub(super) fn input(
    function: &WasmFunction,
    runtime: &str,
    demand: Demand,
    usage: Usage,
) -> Function {
    let scaling = &function.spec.scaling;
    let is_target = runtime_of(function) == runtime;
    let whole = |number: i32| u32::try_from(number).unwrap_or(0);
    let seconds = |number: i32| Duration::from_secs(u64::from(whole(number)));
    // A pod carries no more than its limit, whatever it is meant to.
    let target = scaling
        .target_concurrency
        .min(function.spec.limits.max_concurrency);
    Function {
        fixed: function.spec.replicas.filter(|_| is_target).map(whole),
        min_replicas: if is_target {
            whole(scaling.min_replicas)
        } else {
            0
        },
        max_replicas: whole(scaling.max_replicas),
        target_concurrency: whole(target),
        scale_down_window: seconds(scaling.scale_down_window_seconds),
        idle: seconds(scaling.idle_seconds),
        suspended: function.spec.suspend,
        loading: is_target && (resolved(function).is_none() || is_loading(function)),
        hands_over: !is_target,
        in_flight: demand.in_flight,
        queued: demand.queued,
        usage,
        last_demand: demand.last,
    }
}
