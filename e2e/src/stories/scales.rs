//! Replicas follow the requests in flight up and, after the window, down. The least busy pod leaves
//! first, and what still runs in the others is not touched.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::FutureExt;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::json;

use crate::context::{Context, stays};
use crate::story::Story;
use crate::wait::wait_until;

/// See the module.
pub const STORY: Story = Story {
    name: "scales",
    needs: &[],
    run: |context| tell(context).boxed(),
};

/// The rule is a quarter of a second, which is measured elsewhere; the rest is for a machine that starts
/// pods meanwhile.
const UP_WITHIN: Duration = Duration::from_secs(60);
/// The window of the spec, and the same allowance.
const DOWN_WITHIN: Duration = Duration::from_secs(60);
const PODS_START: Duration = Duration::from_secs(120);

/// Requests in flight that a pod is meant to carry.
const TARGET: usize = 4;
/// As many as the spec allows.
const PODS_MOST: i32 = 3;
/// More than two pods carry and fewer than three, traffic included.
const FULL_LOAD: usize = 10;
/// What one pod carries, traffic included.
const LOW_LOAD: usize = 2;

async fn tell(context: Context) -> Result<()> {
    let image = context.push_guest("answer", "scales:v1").await?;
    let scaling = json!({
        "minReplicas": 1,
        "maxReplicas": PODS_MOST,
        "targetConcurrency": TARGET,
        "scaleDownWindowSeconds": 5,
    });
    let spec = json!({
        "placement": "Dedicated",
        "limits": { "timeoutSeconds": 300 },
        "scaling": scaling,
    });
    context.deploy("own", &image, &spec).await?;
    let replicas = context.observe_replicas("own").await?;
    replicas.are_ready(Instant::now(), 1, PODS_START).await?;
    let traffic = context.traffic("own", "/id", 1);
    traffic.flows(20).await?;

    let step = Instant::now();
    let mut held = context.hold("own", FULL_LOAD);
    let up = replicas.asked_for(step, PODS_MOST, UP_WITHIN).await?;
    let ready = replicas.are_ready(step, PODS_MOST, PODS_START).await?;
    // The first were sent when there was one pod; these find three.
    held.join(context.hold("own", FULL_LOAD));
    let begun = context.begun("own", &held, PODS_START).await?;
    let (busy, stay) = youngest(&begun)?;
    let let_go = held.split_off(|id| !stay.contains(id));
    let released = Instant::now();
    let_go.release().await?.none_lost()?;
    let down = replicas.asked_for(released, 1, DOWN_WITHIN).await?;
    only_stays(&context, &busy).await?;
    traffic.flows(20).await?;
    held.release().await?.none_lost()?;
    let sent = traffic.none_lost().await?;
    println!(
        "    asked for 3 pods after {up:.2?} (ready after {ready:.2?}), for 1 after {down:.2?}; \
         {sent} requests meanwhile, none lost"
    );
    Ok(())
}

/// The pod that Kubernetes would remove first, and those of its requests that stay under way.
fn youngest(begun: &[(Pod, BTreeSet<String>)]) -> Result<(Pod, BTreeSet<String>)> {
    let busy = begun.iter().filter(|(_, ids)| !ids.is_empty());
    let youngest = busy.max_by_key(|(pod, _)| pod.creation_timestamp());
    let (pod, ids) = youngest.context("a pod that has begun something")?;
    let stay = ids.iter().take(LOW_LOAD).cloned().collect();
    Ok((pod.clone(), stay))
}

async fn only_stays(context: &Context, busy: &Pod) -> Result<()> {
    wait_until("one pod stays", DOWN_WITHIN, async || {
        let pods = context.pods_of("own").await?;
        let staying: Vec<_> = pods.iter().filter(|pod| stays(pod)).collect();
        if staying.len() > 1 {
            return Ok(None);
        }
        let stayed = staying.first().context("a pod")?;
        Ok(Some(ensure_same(stayed, busy)))
    })
    .await?
}

fn ensure_same(stayed: &Pod, busy: &Pod) -> Result<()> {
    ensure!(
        stayed.uid() == busy.uid(),
        "the busy pod {} left, and the idle {} stayed",
        busy.name_any(),
        stayed.name_any()
    );
    Ok(())
}
