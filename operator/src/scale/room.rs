//! Whether there is room for the pods that were asked for.

use std::sync::Arc;

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};

use crate::reconcile::{observed::is_about_room, pod, replica_failure, validate::Problem};

/// Why pods that were asked for find no room, if so: no node takes them, or the quota is used up.
pub(super) fn problem(deployment: &Deployment, pods: &[Arc<Pod>]) -> Option<Problem> {
    let unscheduled = pods.iter().filter_map(|pod| pod::trouble(pod));
    unscheduled
        .chain(replica_failure(deployment))
        .find(is_about_room)
}
