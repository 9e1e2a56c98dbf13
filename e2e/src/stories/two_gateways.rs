//! Two gateways: replicas follow the sum of what both count, and each serves its own queue. Killing
//! one loses what it held and nothing else.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::FutureExt;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::json;
use tokio::task::JoinHandle;
use wasmfn_crds::names::GATEWAY_PUBLIC_PORT;

use crate::context::{Context, address, is_ready};
use crate::http::{LoadPlan, LoadReport};
use crate::story::{Need, Story};
use crate::wait::wait_until;

/// See the module.
pub const STORY: Story = Story {
    name: "two_gateways",
    needs: &[Need::BreakableNodes],
    run: |context| tell(context).boxed(),
};

const PODS_START: Duration = Duration::from_secs(120);
/// Long requests to each gateway.
const EACH: usize = 6;
/// Both gateways' together need so many pods; those of one alone would need one fewer.
const PODS: i32 = 3;
/// How long the long ones take: the pods that send them start one after the other on a busy machine.
const LONG_MILLISECONDS: u64 = 30_000;

async fn tell(context: Context) -> Result<()> {
    let image = context.push_guest("answer", "gateways:v1").await?;
    let scaling = json!({ "minReplicas": 1, "maxReplicas": 4, "targetConcurrency": 4 });
    let wide = json!({
        "placement": "Dedicated",
        "limits": { "timeoutSeconds": 300 },
        "scaling": scaling,
    });
    context.declare("wide", &image, &wide).await?;
    let one = json!({ "minReplicas": 1, "maxReplicas": 1 });
    let narrow = json!({
        "placement": "Dedicated",
        "limits": { "maxConcurrency": 1 },
        "scaling": one,
    });
    context.deploy("narrow", &image, &narrow).await?;
    context.ready("wide").await?;
    let gateways = context.gateway_pods().await?;
    let [first, second] = gateways.as_slice() else {
        anyhow::bail!("there are {} gateways", gateways.len());
    };
    let replicas = context.observe_replicas("wide").await?;
    // Three requests at each for a pod that takes one at a time: both have a queue.
    let path = "/slow?milliseconds=500";
    let queues = [
        ask(&context, first, "narrow", path, 3)?,
        ask(&context, second, "narrow", path, 3)?,
    ];
    for queue in queues {
        queue.await??.none_lost()?;
    }

    let begun = Instant::now();
    let path = format!("/slow?milliseconds={LONG_MILLISECONDS}");
    let at_first = ask(&context, first, "wide", &path, EACH)?;
    let at_second = ask(&context, second, "wide", &path, EACH)?;
    replicas.asked_for(begun, PODS, PODS_START).await?;
    context.kill_container(first, "gateway").await?;
    let lost = at_first.await??;
    ensure!(
        lost.good == 0 && lost.sent == EACH,
        "the killed gateway's requests: {lost:?}"
    );
    let path = "/slow?milliseconds=200";
    let queue = ask(&context, second, "narrow", path, 3)?;
    queue.await??.none_lost()?;
    at_second.await??.none_lost()?;
    println!("    the killed gateway lost its {EACH} requests, the other one none");
    comes_back(&context, first).await
}

/// Requests at the same time to one gateway, from a pod.
fn ask(
    context: &Context,
    gateway: &Pod,
    function: &str,
    path: &str,
    count: usize,
) -> Result<JoinHandle<Result<LoadReport>>> {
    let plan = LoadPlan {
        base: format!("http://{}:{GATEWAY_PUBLIC_PORT}", address(gateway)?),
        host: context.host(function),
        path: path.to_owned(),
        concurrency: count,
        requests: count,
        ..LoadPlan::default()
    };
    let context = context.clone();
    Ok(tokio::spawn(
        async move { context.load_inside(&plan).await },
    ))
}

/// Later stories need both.
async fn comes_back(context: &Context, killed: &Pod) -> Result<()> {
    wait_until(
        "the killed gateway is ready again",
        PODS_START,
        async || {
            let gateways = context.gateway_pods().await?;
            let same = gateways.iter().find(|pod| pod.uid() == killed.uid());
            let ready = same.context("its pod is gone").map(is_ready)?;
            Ok(ready.then_some(()))
        },
    )
    .await
}
