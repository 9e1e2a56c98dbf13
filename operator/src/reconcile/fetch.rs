//! Collects what is known about a function, from caches and reports alone.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::api::apps::v1::Deployment;
use wasmfn_crds::{
    Placement, Reason, WasmFunction,
    hosts::{FunctionKey, HostTable},
    names::{runtime_of, serving_runtime},
};

use super::{
    Recent,
    observed::{PodState, RuntimeState, is_moving},
    pod,
    validate::Problem,
};
use crate::{caches::Guarded, context::Context};

/// What is known about a function, before anything is decided.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// All functions of its namespace, itself included.
    pub siblings: Vec<Arc<Guarded>>,
    /// The runtime deployment that it is to run in.
    pub target: RuntimeState,
    /// The one that answers for it.
    pub serving: RuntimeState,
    /// Requests are there, were there less than `idleSeconds` ago, or it has pods of its own.
    pub active: bool,
    /// When it may cease to be active.
    pub active_until: Option<Instant>,
    /// Who owns which host.
    pub hosts: Arc<HostTable>,
}

/// Collects what is known about `function`.
#[must_use]
pub fn fetch(function: &WasmFunction, context: &Context, now: Instant) -> Fetched {
    let key = FunctionKey::of(function);
    let uid = function.metadata.uid.as_deref().unwrap_or_default();
    let target = runtime_state(context, &key, uid, &runtime_of(function));
    let serving = if is_moving(function) {
        runtime_state(context, &key, uid, &serving_runtime(function))
    } else {
        target.clone()
    };
    let demand = context.knowledge.demand(&key, uid, now);
    let idle = Duration::from_secs(u64::from(function.spec.scaling.idle_seconds.unsigned_abs()));
    let active_until = demand
        .last
        .map(|last| last + idle)
        .filter(|until| *until > now);
    let own_pods = function.spec.placement == Placement::Dedicated && target.replicas > 0;
    Fetched {
        siblings: context.caches.functions_of(&key.namespace),
        active: active_until.is_some() || own_pods,
        active_until,
        hosts: host_table(context),
        target,
        serving,
    }
}

impl Fetched {
    /// The functions of its namespace that can be parsed and are there to stay.
    #[must_use]
    pub fn siblings<'a>(&'a self, recent: &Recent) -> Vec<Cow<'a, WasmFunction>> {
        self.siblings
            .iter()
            .filter_map(|sibling| sibling.0.as_ref().ok())
            .filter(|sibling| sibling.metadata.deletion_timestamp.is_none())
            .map(|sibling| recent.newest(sibling))
            .collect()
    }
}

fn host_table(context: &Context) -> Arc<HostTable> {
    context.hosts.table(|| context.caches.functions.state())
}

fn runtime_state(
    context: &Context,
    function: &FunctionKey,
    uid: &str,
    runtime: &str,
) -> RuntimeState {
    let namespace = &function.namespace;
    let deployment = context.caches.deployment(namespace, runtime);
    let status = deployment
        .as_ref()
        .and_then(|deployment| deployment.status.as_ref());
    let pods = context.caches.runtime_pods(namespace, runtime);
    RuntimeState {
        replicas: status.and_then(|status| status.replicas).unwrap_or(0),
        ready_replicas: status.and_then(|status| status.ready_replicas).unwrap_or(0),
        failure: deployment.as_deref().and_then(replica_failure),
        pods: pods
            .iter()
            .map(|pod| pod_state(context, function, uid, pod))
            .collect(),
    }
}

fn pod_state(
    context: &Context,
    function: &FunctionKey,
    uid: &str,
    pod: &k8s_openapi::api::core::v1::Pod,
) -> PodState {
    let ready = pod::is_ready(pod);
    let said = context.knowledge.with_runtime(&pod::id(pod), |view| {
        let heard = view.connected && view.synced;
        (heard, view.pod.leaving, view.report(function, uid).cloned())
    });
    let (heard, says_leaving, report) = said.unwrap_or_default();
    PodState {
        ready,
        leaving: pod::is_leaving(pod) || says_leaving,
        heard: heard || ready,
        trouble: pod::trouble(pod),
        resolved_at: report.as_ref().map_or(0, |report| report.resolved_at),
        report: report.map(|report| report.line),
    }
}

/// Why the API server makes no more pods for a deployment.
pub(crate) fn replica_failure(deployment: &Deployment) -> Option<Problem> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions
        .iter()
        .find(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True")?;
    let message = condition.message.clone().unwrap_or_default();
    let reason = if message.contains("exceeded quota") {
        Reason::OverQuota
    } else {
        Reason::ApplyFailed
    };
    Some(Problem::new(reason, message))
}
