//! Tells people what was decided and why: one log line a change, and events on the deployment.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Resource, ResourceExt,
    runtime::events::{Event, EventType},
};
use wasmfn_autoscale::{Cause, Decision};
use wasmfn_crds::condition::cut;

use super::act::Change;
use crate::{
    context::Context, events::NOTE_MAX_BYTES, reconcile::validate::Problem, telemetry::chain,
};

/// Pods out of millionths of one.
pub(super) fn pods(micro_pods: u64) -> f64 {
    // Exact for what a cluster can hold.
    #[allow(clippy::cast_precision_loss, reason = "for people and metrics")]
    let pods = micro_pods as f64 / 1e6;
    pods
}

/// Something else decides than before, whether or not it changes the number: what keeps pods that
/// nobody needs can be read here.
pub(super) fn decided(deployment: &Deployment, current: u32, decision: &Decision) {
    tracing::debug!(
        deployment = deployment.name_any(),
        namespace = deployment.namespace(),
        current,
        replicas = decision.replicas,
        cause = decision.cause.as_str(),
        "decided"
    );
}

/// One log line for a change, with what it was made from.
pub(super) fn scaled(change: &Change, took: Duration) {
    let status = change.deployment.status.as_ref();
    let demand = change.decision.demand;
    tracing::info!(
        deployment = change.deployment.name_any(),
        namespace = change.deployment.namespace(),
        from = change.from,
        to = change.decision.replicas,
        cause = change.decision.cause.as_str(),
        ready = status.and_then(|status| status.ready_replicas).unwrap_or(0),
        by_requests = pods(demand.requests),
        by_cpu = pods(demand.cpu),
        by_memory = pods(demand.memory),
        marked = change.marks.len(),
        took_milliseconds = took.as_millis(),
        "scaled"
    );
}

/// A change that could not be made; it is tried again.
pub(super) fn not_scaled(change: &Change, error: &kube::Error) {
    tracing::warn!(
        deployment = change.deployment.name_any(),
        namespace = change.deployment.namespace(),
        from = change.from,
        to = change.decision.replicas,
        error = chain(error),
        "cannot scale"
    );
}

/// More pods are asked for than there is room for.
pub(super) fn lacks_room(deployment: &Deployment, decision: &Decision, problem: &Problem) {
    tracing::warn!(
        deployment = deployment.name_any(),
        namespace = deployment.namespace(),
        replicas = decision.replicas,
        lacking = decision.lacking,
        reason = problem.reason.as_str(),
        message = problem.message,
        "no room for more pods"
    );
}

/// The event for a change. No numbers, so that it folds with others of its kind.
pub(super) fn change(from: u32, decision: &Decision) -> Event {
    let more = decision.replicas > from;
    let (reason, number) = if more {
        ("ScaledUp", "more")
    } else {
        ("ScaledDown", "fewer")
    };
    Event {
        type_: EventType::Normal,
        reason: reason.to_owned(),
        note: Some(format!("{number} pods: {}", sentence(decision.cause))),
        action: decision.cause.as_str().to_owned(),
        secondary: None,
    }
}

/// The event for pods that there is no room for.
pub(super) fn no_room(problem: &Problem) -> Event {
    let note = format!(
        "no more pods are asked for, since there is no room for those that were: {}",
        problem.message
    );
    Event {
        type_: EventType::Warning,
        reason: problem.reason.as_str().to_owned(),
        note: Some(cut(&note, NOTE_MAX_BYTES).to_owned()),
        action: Cause::NoCapacity.as_str().to_owned(),
        secondary: None,
    }
}

/// Events are for people: that one cannot be published stops nothing.
pub(super) async fn publish(context: &Context, deployment: &Deployment, event: &Event) {
    let reference = deployment.object_ref(&());
    if let Err(error) = context.recorder.publish(event, &reference).await {
        tracing::warn!(
            error = chain(&error),
            reason = event.reason,
            "cannot publish an event"
        );
    }
}

const fn sentence(cause: Cause) -> &'static str {
    match cause {
        Cause::Fixed => "`replicas` says so",
        Cause::KeepWarm => "`keepWarm` of the namespace says so",
        Cause::MinReplicas => "`minReplicas` says so",
        Cause::MaxReplicas => "`maxReplicas` allows so many",
        Cause::Loading => "a function has yet to load",
        Cause::Handover => "a function still answers here while another deployment takes over",
        Cause::Demand => "requests, CPU and memory ask for so many",
        Cause::RecentDemand => "so many were asked for a moment ago",
        Cause::Idle => "nobody has asked for longer than the idle time",
        Cause::Suspended => "all functions are suspended",
        Cause::NoFunctions => "no function is left",
        Cause::MissingData => "not all gateways were heard for long enough",
        Cause::Rollout => "pods are being replaced",
        Cause::NoCapacity => "there is no room for more",
    }
}
