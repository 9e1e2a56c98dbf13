//! Operators killed, the registry away, the API server away (a runtime container restarts
//! meanwhile): traffic flows throughout, and the objects are the same after.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::FutureExt;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;
use wasmfn_crds::names::OPERATOR_COMPONENT;
use wasmfn_crds::{ConditionType, WasmFunction};

use crate::context::Context;
use crate::story::{Need, Story};
use crate::wait::wait_until;

/// See the module.
pub const STORY: Story = Story {
    name: "control_plane_away",
    needs: &[Need::BreakableNodes],
    run: |context| tell(context).boxed(),
};

const API_SERVER_AWAY: Duration = Duration::from_secs(30);
/// What goes, and a container that starts, on a busy machine.
const GOES_AND_STARTS: Duration = Duration::from_secs(120);
const POD_START: Duration = Duration::from_secs(120);
/// A node's kube-proxy leads nobody to an API server that is back before it has heard of it; it asks
/// again after up to a minute, and may ask one that is only starting.
const KUBE_PROXY_BACK: Duration = Duration::from_secs(180);
const RUNTIME: &str = "app.kubernetes.io/component=runtime";

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
    let pod = pods.first().context("a runtime pod")?;
    let nodes = context.nodes()?;
    nodes.remove_api_server().await?;
    api_server_is_away(&context).await?;
    let told = container_restarts(&context, pod).await;
    nodes.restore(|| context.cluster.kubectl()).await?;
    told?;
    wait_until("the one restart is counted", POD_START, || async {
        let restarts: i32 = context.pod_restarts(RUNTIME).await?.into_values().sum();
        ensure!(restarts <= 1, "{restarts} restarts");
        Ok((restarts == 1).then_some(()))
    })
    .await?;
    becomes_as_before(&context, &before).await?;
    everyone_hears_again(&context, &image).await?;
    services_are_heard_of(&context).await
}

/// A new function is ready only once every gateway has heard of it.
async fn everyone_hears_again(context: &Context, image: &str) -> Result<()> {
    let started = Instant::now();
    let later = context.manifest("later", image, &json!({}));
    context.apply(&later).await?;
    context
        .condition("later", "Ready", "True", KUBE_PROXY_BACK)
        .await?;
    println!(
        "    a function that comes after is ready everywhere after {:.1?}",
        started.elapsed()
    );
    Ok(())
}

/// A node that hears of no changes leads requests to pods that are gone, also in the stories after
/// this one.
async fn services_are_heard_of(context: &Context) -> Result<()> {
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": "heard", "namespace": context.namespace },
        "spec": { "selector": { "app": "nobody" }, "ports": [{ "port": 80 }] },
    });
    context.apply(&service).await?;
    let rules = "{ iptables-save; nft list ruleset; } 2> /dev/null";
    let look = format!("{rules} | grep --quiet '{}/heard'", context.namespace);
    for node in context.nodes()?.all() {
        let what = format!("{} hears of Services", node.name());
        wait_until(&what, KUBE_PROXY_BACK, async || {
            node.exec(["sh", "-c", &look]).run().await?;
            Ok(Some(()))
        })
        .await?;
    }
    Ok(())
}

async fn operators_killed(context: &Context) -> Result<()> {
    let before = context.operator_pods().await?;
    context.kill_operators().await?;
    context.replaced(OPERATOR_COMPONENT, &before).await
}

async fn api_server_is_away(context: &Context) -> Result<()> {
    wait_until("the API server is away", GOES_AND_STARTS, async || {
        let readyz = ["get", "--raw", "/readyz", "--request-timeout=2s"];
        let answer = context.cluster.kubectl().args(readyz).raw_output().await?;
        Ok((!answer.status.success()).then_some(()))
    })
    .await
}

/// A container that restarts loses what it held, so the traffic starts once it answers again, while
/// the API server is still away.
async fn container_restarts(context: &Context, pod: &Pod) -> Result<()> {
    let started = Instant::now();
    context.kill_container(pod, "runtime").await?;
    context.answers("hello", "answer", GOES_AND_STARTS).await?;
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
