//! Since when runtime deployments have waited for their changed sets of references to roll.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
    time::Instant,
};

use k8s_openapi::api::apps::v1::Deployment;
use wasmfn_crds::names::REFERENCES_ANNOTATION;

use super::{
    references::{Pace, Roll, pace},
    validate::RuntimePlan,
};

/// Since when which deployment has differed.
#[derive(Debug, Default)]
pub struct Pacing {
    waiting: Mutex<HashMap<(String, String), Instant>>,
}

impl Pacing {
    /// Whether the deployment may be written now. `live` is what there is of it.
    pub fn pace(&self, plan: &RuntimePlan, live: Option<&Deployment>, now: Instant) -> Pace {
        let wanted = plan.references.digest();
        let live_digest = live.map(references_of);
        let key = (plan.namespace.clone(), plan.name.clone());
        let mut waiting = self.lock();
        let differs = live_digest.is_some_and(|digest| digest != wanted);
        if !differs {
            waiting.remove(&key);
        }
        let roll = Roll {
            live: live_digest,
            wanted: &wanted,
            differs_since: *waiting.entry(key.clone()).or_insert(now),
            rolling: live.is_some_and(is_rolling),
        };
        let pace = pace(roll, now);
        if !differs {
            waiting.remove(&key);
        }
        pace
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), Instant>> {
        self.waiting
            .lock()
            .expect("no code that holds this lock panics")
    }
}

/// Fingerprint of the references that a deployment's pods have.
fn references_of(deployment: &Deployment) -> &str {
    let template = deployment.spec.as_ref().map(|spec| &spec.template);
    template
        .and_then(|template| template.metadata.as_ref()?.annotations.as_ref())
        .and_then(|annotations| annotations.get(REFERENCES_ANNOTATION))
        .map_or("", String::as_str)
}

/// Whether pods of an earlier template are still being replaced, and that makes progress.
#[must_use]
pub fn is_rolling(deployment: &Deployment) -> bool {
    let Some(status) = &deployment.status else {
        return false;
    };
    let stuck = status
        .conditions
        .iter()
        .flatten()
        .any(|condition| condition.type_ == "Progressing" && condition.status == "False");
    let behind = status.observed_generation < deployment.metadata.generation;
    let old = status.updated_replicas.unwrap_or(0) < status.replicas.unwrap_or(0);
    !stuck && (behind || old)
}
