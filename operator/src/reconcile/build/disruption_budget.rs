use k8s_openapi::{
    api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::meta::{of_runtime, runtime_selector};
use crate::reconcile::validate::RuntimePlan;

/// One pod at a time may be evicted. Not "at least one stays": with a single pod that would block
/// every drain, while the gateway holds requests until its successor is there.
pub(super) fn disruption_budget(plan: &RuntimePlan) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: of_runtime(plan),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(LabelSelector {
                match_labels: Some(runtime_selector(&plan.name)),
                ..LabelSelector::default()
            }),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    }
}
