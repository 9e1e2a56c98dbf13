//! The cluster itself: DNS and Services work across nodes, registries take pushes, and pods reach them.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures::FutureExt;

use crate::context::Context;
use crate::settings::{PRIVATE_REGISTRY_HOST, REGISTRY_HOST};
use crate::story::Story;
use crate::wait::wait_until;

/// See the module.
pub const STORY: Story = Story {
    name: "cluster_answers",
    needs: &[],
    run: |context| tell(context).boxed(),
};

const SERVICE_CHANGES: Duration = Duration::from_secs(120);

async fn tell(context: Context) -> Result<()> {
    let module = b"\0asm\x01\0\0\0";
    let pushed = context.push(module, "empty:1").await?;
    let path = pushed.image.trim_start_matches(REGISTRY_HOST);
    let (repository, tag) = path.rsplit_once(':').unwrap_or_default();
    let manifest = format!("http://{REGISTRY_HOST}/v2{repository}/manifests/{tag}");
    let accept = "--header=accept: application/vnd.oci.image.manifest.v1+json";
    let seen = context.request_inside(&[&manifest, accept]).await?;
    ensure!(seen.status == 200, "{seen:?}");
    let digest = seen.headers.get("docker-content-digest");
    ensure!(digest == Some(&pushed.digest), "{seen:?}");

    let private = context.push_private(module, "empty:1").await?;
    ensure!(private.digest == pushed.digest, "{private:?}");
    let closed = format!("http://{PRIVATE_REGISTRY_HOST}/v2/");
    let seen = context.get_inside(&closed).await?;
    ensure!(
        seen.status == 401,
        "the private registry asks for no password: {seen:?}"
    );

    context.cluster.remove_registry().await?;
    // Whether a pod's node has heard of it is the cluster's business.
    wait_until("the registry is away", SERVICE_CHANGES, async || {
        let seen = context.request_inside(&[&manifest, accept]).await?;
        ensure!(seen.status == 0, "{seen:?}");
        Ok(Some(()))
    })
    .await?;
    context.cluster.return_registries().await
}
