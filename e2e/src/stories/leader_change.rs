//! Both operators are killed while load rises: replicas are right soon after, do not fall meanwhile,
//! and nothing is lost.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::FutureExt;
use serde_json::json;
use wasmfn_crds::names::OPERATOR_COMPONENT;

use crate::context::Context;
use crate::story::Story;

/// See the module.
pub const STORY: Story = Story {
    name: "leader_change",
    needs: &[],
    run: |context| tell(context).boxed(),
};

const PODS_START: Duration = Duration::from_secs(120);
/// A Lease of 10 s has to end, and new pods have to start.
const RIGHT_WITHIN: Duration = Duration::from_secs(25);
/// Requests in flight before and after the step, of which a pod is meant to carry four.
const BEFORE: usize = 7;
const AFTER: usize = 11;

async fn tell(context: Context) -> Result<()> {
    let image = context.push_guest("answer", "leader:v1").await?;
    let scaling = json!({
        "minReplicas": 0,
        "maxReplicas": 3,
        "targetConcurrency": 4,
        "scaleDownWindowSeconds": 5,
        "idleSeconds": 5,
    });
    let spec = json!({
        "placement": "Dedicated",
        "limits": { "timeoutSeconds": 300 },
        "scaling": scaling,
    });
    context.deploy("own", &image, &spec).await?;
    let replicas = context.observe_replicas("own").await?;
    let traffic = context.traffic("own", "/id", 1);
    let begun = Instant::now();
    let mut held = context.hold("own", BEFORE);
    replicas.are_ready(begun, 2, PODS_START).await?;

    let before = context.operator_pods().await?;
    let killed = Instant::now();
    context.kill_operators().await?;
    held.join(context.hold("own", AFTER - BEFORE));
    let took = replicas.asked_for(killed, 3, RIGHT_WITHIN).await?;
    let fell = replicas
        .since(killed)
        .into_iter()
        .find(|seen| seen.desired < 2);
    ensure!(fell.is_none(), "replicas fell: {fell:?}");
    context.replaced(OPERATOR_COMPONENT, &before).await?;
    traffic.flows(50).await?;
    held.release().await?.none_lost()?;
    let sent = traffic.none_lost().await?;
    println!(
        "    3 replicas {:.1} s after both operators were killed; {sent} requests, none lost",
        took.as_secs_f64()
    );
    Ok(())
}
