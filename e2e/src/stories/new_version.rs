//! A new tag is served with no pod restarted and nothing lost, while a slow request finishes on
//! the old version. A moved tag changes nothing until somebody asks.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::FutureExt;
use serde_json::json;

use crate::context::Context;
use crate::story::Story;
use crate::wait::wait_until;

/// See the module.
pub const STORY: Story = Story {
    name: "new_version",
    needs: &[],
    run: |context| tell(context).boxed(),
};

const SOON: Duration = Duration::from_secs(120);
const RUNTIME: &str = "app.kubernetes.io/component=runtime";

async fn tell(context: Context) -> Result<()> {
    let first = context.push_guest("v1", "versions:one").await?;
    // So many requests at once would start pods, and none shall begin or end but by the version.
    let one_pod = json!({ "scaling": { "maxReplicas": 1 } });
    context.deploy("hello", &first, &one_pod).await?;
    version_becomes(&context, "v1").await?;
    let pods = context.pod_restarts(RUNTIME).await?;
    new_tag(&context).await?;
    let now = context.pod_restarts(RUNTIME).await?;
    ensure!(pods == now, "pods changed: {pods:?} became {now:?}");
    moved_tag(&context).await
}

async fn new_tag(context: &Context) -> Result<()> {
    let second = context.push_guest("v2", "versions:two").await?;
    let slow = tokio::spawn({
        let context = context.clone();
        async move { context.get("hello", "/slow?milliseconds=4000").await }
    });
    // So many requests are in flight while the version changes.
    let spanning = context.traffic("hello", "/slow?milliseconds=1000", 500);
    let quick = context.traffic("hello", "/id", 8);
    spanning.flows(500).await?;
    quick.flows(100).await?;
    context.change("hello", json!({ "image": second })).await?;
    context.ready("hello").await?;
    version_becomes(context, "v2").await?;
    quick.flows(100).await?;
    let counts = (spanning.none_lost().await?, quick.none_lost().await?);
    println!(
        "    {} slow and {} quick requests across the change, none lost",
        counts.0, counts.1
    );
    let answer = slow.await??;
    ensure!(answer.status.is_success(), "the slow request: {answer:?}");
    let version = answer.header("x-guest-version");
    ensure!(version == "v1", "the slow request finished on {version}");
    Ok(())
}

async fn moved_tag(context: &Context) -> Result<()> {
    let moved = context.push_guest("v1", "versions:two").await?;
    let before = digest(context).await?;
    let pods = ["delete", "pods", "--selector", RUNTIME, "--wait"];
    context.kubectl().args(pods).run().await?;
    context.ready("hello").await?;
    version_becomes(context, "v2").await?;
    let after = digest(context).await?;
    ensure!(
        before == after,
        "the moved tag {moved} changed {before} to {after}"
    );
    context.resolve_again("hello", "now").await?;
    version_becomes(context, "v1").await
}

async fn digest(context: &Context) -> Result<String> {
    let status = context
        .function("hello")
        .await?
        .status
        .context("a status")?;
    Ok(status.resolved.context("a resolution")?.digest)
}

async fn version_becomes(context: &Context, version: &str) -> Result<()> {
    wait_until(&format!("version {version} answers"), SOON, async || {
        let answer = context.get("hello", "/version").await?;
        ensure!(
            answer.text().trim() == version,
            "it answers {} {}",
            answer.status,
            answer.text()
        );
        Ok(Some(()))
    })
    .await
}
