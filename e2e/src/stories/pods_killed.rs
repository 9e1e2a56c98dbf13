//! Runtime pods are killed under load: what is lost was begun in them, and what may be sent again is
//! not lost at all.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::FutureExt;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::json;

use crate::context::{Context, is_ready, stays};
use crate::http::{LoadPlan, RunningLoad};
use crate::story::{Need, Story};
use crate::wait::wait_until;

/// See the module.
pub const STORY: Story = Story {
    name: "pods_killed",
    needs: &[Need::BreakableNodes],
    run: |context| tell(context).boxed(),
};

const PODS_START: Duration = Duration::from_secs(120);
/// Requests at the same time that must not be sent twice.
const CLIENTS: usize = 12;
/// How long the guest keeps its request.
const GUEST_MILLISECONDS: f64 = 1500.0;
/// A pod that is killed may have taken a request and not have written its line yet, and the kernel
/// takes more in its name until it has closed the pod's sockets: those of its last moments.
const LAST_MOMENTS_MILLISECONDS: f64 = 0.8 * GUEST_MILLISECONDS;

async fn tell(context: Context) -> Result<()> {
    let image = context.push_guest("answer", "killed:v1").await?;
    let spec = json!({ "placement": "Dedicated", "replicas": 2 });
    context.deploy("own", &image, &spec).await?;
    let pods = two_ready_pods(&context).await?;
    let repeatable = context.traffic("own", "/id", 4);
    let once = RunningLoad::start(LoadPlan {
        method: "POST".to_owned(),
        path: format!("/started?milliseconds={GUEST_MILLISECONDS}"),
        body: "{id}".to_owned(),
        concurrency: CLIENTS,
        ..context.load_on("own")
    });
    repeatable.flows(50).await?;
    let victim = pods.first().context("a pod")?;
    context.kill_container(victim, "runtime").await?;
    let restarted = wait_until("its container has restarted", PODS_START, async || {
        let pods = two_ready_pods(&context).await?;
        let same = pods.into_iter().find(|pod| pod.uid() == victim.uid());
        Ok(same.filter(|pod| restarts(pod) > 0))
    })
    .await?;
    repeatable.flows(50).await?;
    let report = once.stop().await?;
    let sent = repeatable.none_lost().await?;
    println!("    {sent} requests that may be sent again, none lost");

    let killed = context.begun_in(&restarted.name_any(), true).await?;
    let mut others = BTreeSet::new();
    for pod in &pods {
        others.extend(context.begun_in(&pod.name_any(), false).await?);
    }
    for failure in &report.failures {
        let how = (failure.status, failure.reason.as_str());
        ensure!(how == (502, "PodLost"), "{failure:?}");
        ensure!(
            !others.contains(&failure.id),
            "begun elsewhere: {failure:?}"
        );
        ensure!(
            killed.contains(&failure.id) || failure.milliseconds < LAST_MOMENTS_MILLISECONDS,
            "with the killed pod for long, and not begun there: {failure:?}"
        );
    }
    let lost = report.failures.len();
    ensure!(
        lost <= CLIENTS && report.good + lost == report.sent,
        "{CLIENTS} clients, each of which had one request in the killed pod at most, lost {lost}: {report:?}"
    );
    println!(
        "    {} requests that must not be sent twice: the killed pod had begun {} and took {lost} with it",
        report.sent,
        killed.len()
    );
    Ok(())
}

async fn two_ready_pods(context: &Context) -> Result<Vec<Pod>> {
    wait_until("two pods are ready", PODS_START, async || {
        let mut pods = context.pods_of("own").await?;
        pods.retain(|pod| stays(pod) && is_ready(pod));
        Ok((pods.len() == 2).then_some(pods))
    })
    .await
}

fn restarts(pod: &Pod) -> i32 {
    let status = pod.status.as_ref();
    let containers = status.and_then(|status| status.container_statuses.as_ref());
    containers
        .into_iter()
        .flatten()
        .map(|container| container.restart_count)
        .sum()
}
