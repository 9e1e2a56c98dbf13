//! Operators killed, the registry away, the API server away (a runtime container restarts
//! meanwhile): traffic flows throughout, and the objects are the same after.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::FutureExt;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::json;
use wasmfn_crds::{ConditionType, WasmFunction};

use crate::context::Context;
use crate::settings::SYSTEM_NAMESPACE;
use crate::story::{Need, Story};
use crate::wait::wait_until;

/// See the module.
pub const STORY: Story = Story {
    name: "control_plane_away",
    needs: &[Need::BreakableNodes],
    run: |context| tell(context).boxed(),
};

const API_SERVER_AWAY: Duration = Duration::from_secs(30);
const POD_START: Duration = Duration::from_secs(120);
const RUNTIME: &str = "app.kubernetes.io/component=runtime";
const OPERATOR: &str = "app.kubernetes.io/component=operator";

async fn tell(context: Context) -> Result<()> {
    let image = context.push_guest("answer", "away:v1").await?;
    context.deploy("hello", &image, &json!({})).await?;
    let before = context
        .function_until("hello", "has a ready pod", POD_START, |function| {
            function
                .status
                .as_ref()
                .is_some_and(|status| status.ready_replicas == 1)
        })
        .await?;
    let traffic = context.traffic("hello", "/id", 4);
    traffic.flows(50).await?;
    operators_killed(&context).await?;
    traffic.flows(50).await?;
    context.cluster.remove_registry().await?;
    traffic.flows(50).await?;
    context.cluster.return_registries().await?;
    let sent = traffic.none_lost().await?;
    println!("    {sent} requests with operators and registry away, none lost");
    becomes_as_before(&context, &before).await?;

    let pods = context.list::<Pod>(RUNTIME).await?;
    let pod = pods.first().context("a runtime pod")?.name_any();
    let node = pods[0]
        .spec
        .clone()
        .and_then(|spec| spec.node_name)
        .context("a node")?;
    let nodes = context.nodes()?;
    nodes.remove_api_server().await?;
    api_server_is_away(&context).await?;
    let told = container_restarts(&context, &pod, &node).await;
    nodes.restore(|| context.cluster.kubectl()).await?;
    told?;
    wait_until("the one restart is counted", POD_START, || async {
        let restarts: i32 = context.pod_restarts(RUNTIME).await?.into_values().sum();
        ensure!(restarts <= 1, "{restarts} restarts");
        Ok((restarts == 1).then_some(()))
    })
    .await?;
    becomes_as_before(&context, &before).await
}

async fn operators_killed(context: &Context) -> Result<()> {
    let system = context.in_namespace(SYSTEM_NAMESPACE);
    let before = system.pod_restarts(OPERATOR).await?;
    let kill = [
        "delete",
        "pods",
        "--selector",
        OPERATOR,
        "--force",
        "--grace-period=0",
    ];
    system.kubectl().args(kill).run().await?;
    wait_until(
        "both operator pods are new and ready",
        POD_START,
        async || {
            let pods = system.list::<Pod>(OPERATOR).await?;
            let fresh = pods.iter().filter(|pod| {
                let uid = pod.uid().unwrap_or_default();
                !before.contains_key(&uid) && is_ready(pod)
            });
            Ok((fresh.count() >= before.len()).then_some(()))
        },
    )
    .await
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

async fn api_server_is_away(context: &Context) -> Result<()> {
    wait_until("the API server is away", API_SERVER_AWAY, async || {
        let readyz = ["get", "--raw", "/readyz", "--request-timeout=2s"];
        let answer = context.cluster.kubectl().args(readyz).raw_output().await?;
        Ok((!answer.status.success()).then_some(()))
    })
    .await
}

/// A container that restarts loses what it held, so the traffic starts once it answers again, while
/// the API server is still away.
async fn container_restarts(context: &Context, pod: &str, node: &str) -> Result<()> {
    let started = Instant::now();
    let nodes = context.nodes()?;
    let node = nodes
        .all()
        .into_iter()
        .find(|one| one.name() == node)
        .context("the pod's node")?;
    node.kill_container(pod, "runtime").await?;
    wait_until(
        "the restarted container answers",
        API_SERVER_AWAY,
        async || {
            let answer = context.get("hello", "/version").await?;
            ensure!(
                answer.status.is_success(),
                "{} {}",
                answer.status,
                answer.text()
            );
            Ok(Some(()))
        },
    )
    .await?;
    println!(
        "    container restarted without API server, answers after {:.1?}",
        started.elapsed()
    );
    let traffic = context.traffic("hello", "/id", 4);
    while started.elapsed() < API_SERVER_AWAY {
        traffic.flows(50).await?;
    }
    println!(
        "    {} requests with the API server away, none lost",
        traffic.none_lost().await?
    );
    Ok(())
}

/// The pod's readiness may take a moment to be written down again.
async fn becomes_as_before(context: &Context, before: &WasmFunction) -> Result<()> {
    wait_until("the function is as it was", POD_START, || async {
        same(before, &context.function("hello").await?)?;
        Ok(Some(()))
    })
    .await
}

/// `Active` follows the traffic; everything else must be as it was.
fn same(before: &WasmFunction, after: &WasmFunction) -> Result<()> {
    let steady = |function: &WasmFunction| {
        let mut status = function.status.clone().unwrap_or_default();
        let active = ConditionType::Active.as_str();
        status
            .conditions
            .retain(|condition| condition.type_ != active);
        status
    };
    let (old, new) = (steady(before), steady(after));
    ensure!(before.spec == after.spec, "the spec changed");
    ensure!(old == new, "status was {old:?}, is {new:?}");
    Ok(())
}
