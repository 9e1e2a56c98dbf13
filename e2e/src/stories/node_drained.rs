//! A node is drained while traffic flows; nothing is lost.

use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::FutureExt;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use crate::context::Context;
use crate::story::{Need, Story};
use crate::wait::wait_until;

/// See the module.
pub const STORY: Story = Story {
    name: "node_drained",
    needs: &[Need::BreakableNodes],
    run: |context| tell(context).boxed(),
};

const RUNTIME: &str = "app.kubernetes.io/component=runtime";
const POD_START: Duration = Duration::from_secs(120);

async fn tell(context: Context) -> Result<()> {
    let image = context.push_guest("answer", "drained:v1").await?;
    context.deploy("hello", &image, &json!({})).await?;
    let pods = context.list::<Pod>(RUNTIME).await?;
    let node = pods
        .first()
        .and_then(node_of)
        .context("a runtime pod on a node")?;
    let traffic = context.traffic("hello", "/id", 4);
    traffic.flows(50).await?;
    // Only wasmfn's pods leave: the registry has its modules on this very node.
    let drain = [
        "drain",
        &node,
        "--pod-selector=app.kubernetes.io/name=wasmfn",
    ];
    let how = [
        "--ignore-daemonsets",
        "--delete-emptydir-data",
        "--timeout=300s",
    ];
    context
        .cluster
        .kubectl()
        .args(drain)
        .args(how)
        .run()
        .await?;
    wait_until("a runtime pod is there elsewhere", POD_START, async || {
        let pods = context.list::<Pod>(RUNTIME).await?;
        let elsewhere = pods.iter().filter_map(node_of).any(|there| there != node);
        Ok(elsewhere.then_some(()))
    })
    .await?;
    traffic.flows(100).await?;
    context
        .cluster
        .kubectl()
        .args(["uncordon", &node])
        .run()
        .await?;
    println!(
        "    {} requests while {node} was drained, none lost",
        traffic.none_lost().await?
    );
    Ok(())
}

fn node_of(pod: &Pod) -> Option<String> {
    pod.spec.as_ref()?.node_name.clone()
}
