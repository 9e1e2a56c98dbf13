//! What the API server tells about a runtime pod.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt;
use wasmfn_crds::{Reason, names::RUNTIME_LABEL};

use super::validate::Problem;
use crate::follow::PodId;

/// Waiting reasons of a container that do not pass by themselves.
const BAD_WAITS: [&str; 7] = [
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
];

/// Which pod.
#[must_use]
pub fn id(pod: &Pod) -> PodId {
    PodId {
        namespace: pod.namespace().unwrap_or_default(),
        name: pod.name_any(),
        uid: pod.uid().unwrap_or_default(),
    }
}

/// The runtime deployment that it says it belongs to.
#[must_use]
pub fn runtime(pod: &Pod) -> Option<&str> {
    pod.labels().get(RUNTIME_LABEL).map(String::as_str)
}

/// Whether its containers have ended for good.
#[must_use]
pub fn is_finished(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// Whether it is on its way out.
#[must_use]
pub fn is_leaving(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some() || is_finished(pod)
}

/// Whether the kubelet found it ready.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    !is_leaving(pod) && condition(pod, "Ready").is_some_and(|(status, ..)| status == "True")
}

/// Why it does not start, if it does not by itself.
#[must_use]
pub fn trouble(pod: &Pod) -> Option<Problem> {
    if let Some(("False", "Unschedulable", message)) = condition(pod, "PodScheduled") {
        return Some(Problem::new(Reason::Unschedulable, message));
    }
    let status = pod.status.as_ref()?;
    status
        .container_statuses
        .iter()
        .flatten()
        .find_map(bad_wait)
}

fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let found = conditions
        .iter()
        .find(|condition| condition.type_ == kind)?;
    Some((
        &found.status,
        found.reason.as_deref().unwrap_or_default(),
        found.message.as_deref().unwrap_or_default(),
    ))
}

fn bad_wait(container: &ContainerStatus) -> Option<Problem> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref()?;
    BAD_WAITS.contains(&reason).then(|| {
        let detail = waiting.message.as_deref().unwrap_or("no more is known");
        Problem::new(
            Reason::PodsStarting,
            format!("a runtime pod does not start: {reason}: {detail}"),
        )
    })
}
