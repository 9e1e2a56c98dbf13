//! Carries out a decision: marks the pods that are to leave, writes `replicas`, tells of it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;
use tokio::time::timeout;
use wasmfn_autoscale::Decision;

use super::{
    deletion_cost::{self, Mark},
    tell,
    write::{self, Written},
};
use crate::context::Context;

/// How long one change may take: a call that hangs is given up and made again, since what it would
/// write may be out of date by then.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(5);

/// A decision that differs from what there is.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) deployment: Arc<Deployment>,
    pub(super) from: u32,
    pub(super) decision: Decision,
    pub(super) marks: Vec<Mark>,
    pub(super) decided_at: Instant,
}

/// What became of it.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) change: Change,
    /// What was written, as far as it can be told from the cache; unset where that failed.
    pub(super) written: Option<Option<Written>>,
}

/// Carries out `change`. Deployments do so side by side: a slow call holds up none but its own.
pub(super) async fn carry_out(context: &Context, change: Change) -> Outcome {
    let written = timeout(CHANGE_TIMEOUT, write_all(context, &change))
        .await
        .unwrap_or_else(|_| {
            let error = std::io::Error::from(std::io::ErrorKind::TimedOut);
            Err(kube::Error::Service(error.into()))
        });
    let took = change.decided_at.elapsed();
    match &written {
        Ok(_) => {
            let cause = change.decision.cause.as_str();
            context.metrics.scale.wrote(cause, took);
            tell::scaled(&change, took);
        }
        Err(error) => tell::not_scaled(&change, error),
    }
    Outcome {
        change,
        written: written.ok(),
    }
}

async fn write_all(context: &Context, change: &Change) -> Result<Option<Written>, kube::Error> {
    let deployment = &change.deployment;
    let namespace = deployment.namespace().unwrap_or_default();
    deletion_cost::write(&context.client, &namespace, &change.marks).await?;
    write::write(&context.client, deployment, change.decision.replicas).await
}
