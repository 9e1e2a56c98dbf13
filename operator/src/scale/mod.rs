//! Scales runtime deployments. The scaler alone writes `replicas`.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;
use wasmfn_autoscale::{Decision, decide};

mod collect;
#[cfg(test)]
mod tests;
mod write;

use crate::{context::Context, telemetry::chain};

/// How often all namespaces are looked at without any reason: a net under the wakes.
const SAFETY_NET: Duration = Duration::from_secs(10);

/// Scales for as long as it is polled.
pub async fn run(context: Arc<Context>) {
    let mut due: HashMap<String, Instant> = HashMap::new();
    let mut written = write::Written::default();
    let mut all_at = Instant::now();
    loop {
        let now = Instant::now();
        let mut namespaces = context.namespaces.take();
        namespaces.extend(
            due.iter()
                .filter(|(_, at)| **at <= now)
                .map(|(namespace, _)| namespace.clone()),
        );
        if all_at <= now {
            namespaces.extend(all_namespaces(&context));
            all_at = now + SAFETY_NET;
        }
        for namespace in namespaces {
            due.remove(&namespace);
            if let Some(at) = scale_namespace(&context, &namespace, &mut written).await {
                due.insert(namespace, at);
            }
        }
        let next = due
            .values()
            .copied()
            .min()
            .map_or(all_at, |at| at.min(all_at));
        let _ = tokio::time::timeout_at(next.into(), context.namespaces.ring()).await;
    }
}

fn all_namespaces(context: &Context) -> Vec<String> {
    let deployments = context.caches.deployments.state();
    deployments
        .iter()
        .filter_map(|deployment| deployment.namespace())
        .collect()
}

/// Scales the runtime deployments of a namespace; says when to do so again without any news.
async fn scale_namespace(
    context: &Context,
    namespace: &str,
    written: &mut write::Written,
) -> Option<Instant> {
    let deployments = context.caches.deployments.state_filter(|deployment| {
        deployment.metadata.namespace.as_deref() == Some(namespace)
            && deployment.metadata.deletion_timestamp.is_none()
    });
    let mut again_at: Option<Instant> = None;
    for deployment in deployments {
        let now = Instant::now();
        let current = written.replicas(&deployment);
        let inputs = collect::inputs(context, &deployment, current, now);
        let decision = decide(&inputs, now);
        again_at = [again_at, decision.again_at].into_iter().flatten().min();
        if decision.replicas != current
            && let Err(error) = change(context, &deployment, current, decision, written).await
        {
            tracing::warn!(
                deployment = deployment.name_any(),
                namespace,
                error = chain(&error),
                "cannot scale"
            );
            again_at = Some(now + Duration::from_secs(1));
        }
    }
    again_at
}

async fn change(
    context: &Context,
    deployment: &Deployment,
    current: u32,
    decision: Decision,
    written: &mut write::Written,
) -> Result<(), kube::Error> {
    written
        .write(&context.client, deployment, decision.replicas)
        .await?;
    context.metrics.scaled(decision.cause.as_str());
    tracing::info!(
        deployment = deployment.name_any(),
        namespace = deployment.namespace(),
        from = current,
        to = decision.replicas,
        cause = decision.cause.as_str(),
        "scaled"
    );
    Ok(())
}
