//! What is known about a function at one moment: the only thing that status is made from.

use wasmfn_crds::{
    Reason, WasmFunction,
    hosts::{FunctionKey, HostProblem},
    names::{RESOLVE_AT_ANNOTATION, runtime_of, serving_runtime},
    status::{Resolved, Serving},
};
use wasmfn_report::{Load, LoadedVersion, RuntimeFunction};

use super::validate::Problem;
use crate::follow::Routing;

/// What is known about a function.
#[derive(Clone, Debug)]
pub struct Observed<'a> {
    /// The object.
    pub function: &'a WasmFunction,
    /// The runtime deployment that it is to run in.
    pub target: RuntimeState,
    /// The one that answers for it; the same as `target` but for a change of placement.
    pub serving: RuntimeState,
    /// Requests are there, were there less than `idleSeconds` ago, or it has pods of its own.
    pub active: bool,
    /// Hosts that it claims and does not have.
    pub host_problems: &'a [HostProblem],
    /// How far its current generation has come at the gateways.
    pub routing: Routing,
    /// What keeps it from being as it should.
    pub problem: Option<Problem>,
}

/// A runtime deployment and its pods.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuntimeState {
    /// Pods that it has.
    pub replicas: i32,
    /// Those of them that are ready.
    pub ready_replicas: i32,
    /// Why the API server makes no more pods.
    pub failure: Option<Problem>,
    /// Its pods, as far as they are there.
    pub pods: Vec<PodState>,
}

/// A pod, seen by one function.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodState {
    /// The kubelet found it ready.
    pub ready: bool,
    /// It is on its way out.
    pub leaving: bool,
    /// What it said can be relied on: its stream is open, or it is ready.
    pub heard: bool,
    /// Why it does not start.
    pub trouble: Option<Problem>,
    /// What it said about the function.
    pub report: Option<RuntimeFunction>,
    /// Which of two resolutions came first.
    pub resolved_at: u64,
}

impl PodState {
    /// What it says, while that counts.
    #[must_use]
    pub fn says(&self) -> Option<&RuntimeFunction> {
        self.report.as_ref().filter(|_| self.heard && !self.leaving)
    }
}

impl RuntimeState {
    /// What its pods say about the function, while that counts.
    pub fn reports(&self) -> impl Iterator<Item = &RuntimeFunction> {
        self.pods.iter().filter_map(PodState::says)
    }

    /// What keeps all its pods from answering.
    #[must_use]
    pub fn trouble(&self) -> Option<&Problem> {
        let mut staying = self.pods.iter().filter(|pod| !pod.leaving);
        if staying
            .clone()
            .any(|pod| pod.heard && pod.trouble.is_none())
        {
            return None;
        }
        let of_pods = staying.find_map(|pod| pod.trouble.as_ref());
        of_pods.or(self.failure.as_ref())
    }

    /// Why pods that were asked for find no room, if so.
    #[must_use]
    pub fn lack_of_room(&self) -> Option<&Problem> {
        let of_pods = self.pods.iter().filter(|pod| !pod.leaving);
        of_pods
            .filter_map(|pod| pod.trouble.as_ref())
            .chain(self.failure.as_ref())
            .find(|problem| is_about_room(problem))
    }
}

/// Whether no node takes a pod, or the quota is used up.
#[must_use]
pub const fn is_about_room(problem: &Problem) -> bool {
    matches!(problem.reason, Reason::Unschedulable | Reason::OverQuota)
}

impl Observed<'_> {
    /// Which function.
    #[must_use]
    pub fn key(&self) -> FunctionKey {
        FunctionKey::of(self.function)
    }

    /// Generation of its spec.
    #[must_use]
    pub fn generation(&self) -> i64 {
        self.function.metadata.generation.unwrap_or_default()
    }

    /// What its pods say about the current generation.
    pub fn current_reports(&self) -> impl Iterator<Item = &RuntimeFunction> {
        let generation = self.generation();
        self.target
            .reports()
            .filter(move |report| report.generation == generation)
    }

    /// The first failure to bring the current generation up that a pod tells of.
    #[must_use]
    pub fn failure(&self) -> Option<(&str, &str)> {
        self.current_reports().find_map(failed)
    }
}

/// Reason and sentence of a pod that failed.
#[must_use]
pub fn failed(report: &RuntimeFunction) -> Option<(&str, &str)> {
    match &report.load {
        Load::Failed {
            reason, message, ..
        } => Some((reason, message)),
        _ => None,
    }
}

/// Value of the annotation that asks for a new resolution.
#[must_use]
pub fn resolve_at(function: &WasmFunction) -> &str {
    let annotations = function.metadata.annotations.as_ref();
    annotations
        .and_then(|annotations| annotations.get(RESOLVE_AT_ANNOTATION))
        .map_or("", String::as_str)
}

/// The resolution in an object's status, if it is good for what the object asks for now.
#[must_use]
pub fn resolved(function: &WasmFunction) -> Option<&Resolved> {
    let status = function.status.as_ref()?;
    status.resolved.as_ref().filter(|resolved| {
        resolved.image == function.spec.image && resolved.resolve_at == resolve_at(function)
    })
}

/// Whether a loaded version is the one that the object asks for.
#[must_use]
pub fn is_current(
    function: &WasmFunction,
    resolved: Option<&Resolved>,
    loaded: &LoadedVersion,
) -> bool {
    Some(loaded.generation) == function.metadata.generation
        && resolved.is_some_and(|resolved| resolved.digest == loaded.digest)
}

/// Whether `serving` is the version that the object asks for, in the place that it asks for.
#[must_use]
pub fn is_settled(
    function: &WasmFunction,
    resolved: Option<&Resolved>,
    serving: Option<&Serving>,
) -> bool {
    serving.is_some_and(|serving| {
        Some(serving.generation) == function.metadata.generation
            && resolved.is_some_and(|resolved| resolved.digest == serving.digest)
            && serving.runtime == runtime_of(function)
    })
}

/// Whether a pod has yet to bring up what the object asks for.
#[must_use]
pub fn is_loading(function: &WasmFunction) -> bool {
    let serving = function
        .status
        .as_ref()
        .and_then(|status| status.serving.as_ref());
    !is_settled(function, resolved(function), serving)
}

/// Whether the function is on its way from one runtime deployment to another.
#[must_use]
pub fn is_moving(function: &WasmFunction) -> bool {
    runtime_of(function) != serving_runtime(function)
}
