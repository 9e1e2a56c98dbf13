//! Runtime pods and gateways are replaced under load: what is under way is finished by those that
//! leave, what comes goes to those that stay, and nothing is lost.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::FutureExt;
use serde_json::json;
use wasmfn_crds::names::GATEWAY_COMPONENT;

use crate::context::{Context, Traffic, stays};
use crate::http::Held;
use crate::settings::SYSTEM_NAMESPACE;
use crate::story::Story;
use crate::wait::wait_until;

/// See the module.
pub const STORY: Story = Story {
    name: "rolled_out",
    needs: &[],
    run: |context| tell(context).boxed(),
};

const PODS_START: Duration = Duration::from_secs(120);
/// Requests that are under way while everything is replaced around them.
const UNDER_WAY: usize = 12;

async fn tell(context: Context) -> Result<()> {
    let image = context.push_guest("answer", "rolled:v1").await?;
    let spec = json!({
        "placement": "Dedicated",
        "replicas": 2,
        "limits": { "timeoutSeconds": 300 },
    });
    context.deploy("own", &image, &spec).await?;
    let replicas = context.observe_replicas("own").await?;
    replicas.are_ready(Instant::now(), 2, PODS_START).await?;
    let (traffic, held) = under_load(&context).await?;
    let note = json!({ "annotations": { "example.com/note": "rolled" } });
    context.change("own", json!({ "template": note })).await?;
    runtime_pods_are_new(&context).await?;
    none_lost(traffic, held, "runtime pods").await?;

    let (traffic, held) = under_load(&context).await?;
    let before = context.gateway_pods().await?;
    let restart = ["rollout", "restart", "deployment/wasmfn-gateway"];
    let system = context.in_namespace(SYSTEM_NAMESPACE);
    system.kubectl().args(restart).run().await?;
    context.replaced(GATEWAY_COMPONENT, &before).await?;
    let status = ["rollout", "status", "deployment/wasmfn-gateway"];
    system
        .kubectl()
        .args(status)
        .arg("--timeout=120s")
        .run()
        .await?;
    none_lost(traffic, held, "gateways").await
}

/// Short requests over and over, and long ones that end when they are let go.
async fn under_load(context: &Context) -> Result<(Traffic, Held)> {
    let traffic = context.traffic("own", "/id", 4);
    let held = context.hold("own", UNDER_WAY);
    context.begun("own", &held, PODS_START).await?;
    traffic.flows(50).await?;
    Ok((traffic, held))
}

/// Until then those that leave stay for the requests that they have.
async fn runtime_pods_are_new(context: &Context) -> Result<()> {
    let rolled = ["rollout", "status", "deployment/wasmfn-fn-own"];
    wait_until("the pods carry the note", PODS_START, async || {
        let pods = context.pods_of("own").await?;
        let noted = pods.iter().filter(|pod| stays(pod)).all(|pod| {
            let notes = pod.metadata.annotations.as_ref();
            notes.is_some_and(|notes| notes.contains_key("example.com/note"))
        });
        Ok(noted.then_some(()))
    })
    .await?;
    context
        .kubectl()
        .args(rolled)
        .arg("--timeout=120s")
        .run()
        .await
}

async fn none_lost(traffic: Traffic, held: Held, what: &str) -> Result<()> {
    traffic.flows(100).await?;
    ensure!(held.answered() == 0, "held requests ended with the {what}");
    let long = held.release().await?;
    long.none_lost()?;
    let short = traffic.none_lost().await?;
    println!(
        "    {what} replaced under {short} short and {} long requests, none lost",
        long.sent
    );
    Ok(())
}
