//! Two registries in the cluster: one for everyone, one with passwords. Both take pushes from
//! 127.0.0.1 as well.

use anyhow::{Context, Result};

use super::Cluster;
use crate::cache::Cache;
use crate::images;
use crate::settings::{PRIVATE_REGISTRY_NODE_PORT, REGISTRY_NAMESPACE, REGISTRY_NODE_PORT};

/// Deploys the registries, or waits until they answer where they are deployed.
pub(super) async fn deploy(cluster: &Cluster, cache: &Cache) -> Result<()> {
    let image = images::registry(cache).await?;
    let reference = cluster.offer_image(cache, &image).await?;
    let manifest = include_str!("registry.yaml")
        .replace("$NAMESPACE", REGISTRY_NAMESPACE)
        .replace("$IMAGE", &reference)
        .replace("$REGISTRY_NODE_PORT", &REGISTRY_NODE_PORT.to_string())
        .replace(
            "$PRIVATE_NODE_PORT",
            &PRIVATE_REGISTRY_NODE_PORT.to_string(),
        );
    let apply = cluster.kubectl().args([
        "apply",
        "--server-side",
        "--force-conflicts",
        "--filename=-",
    ]);
    apply.input(manifest).run().await?;
    for name in ["registry", "private"] {
        cluster
            .kubectl()
            .args([
                "--namespace",
                REGISTRY_NAMESPACE,
                "rollout",
                "status",
                "--timeout=120s",
            ])
            .arg(format!("deployment/{name}"))
            .run()
            .await
            .with_context(|| format!("the registry `{name}` did not start"))?;
    }
    Ok(())
}

impl Cluster {
    /// Takes the open registry away: its Service leads nowhere. What it holds stays.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn remove_registry(&self) -> Result<()> {
        self.point_registry_at("nobody").await
    }

    /// Ends [`Self::remove_registry`].
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn return_registries(&self) -> Result<()> {
        self.point_registry_at("registry").await
    }

    async fn point_registry_at(&self, app: &str) -> Result<()> {
        let selector = serde_json::json!({ "spec": { "selector": { "app": app } } });
        self.kubectl()
            .args([
                "--namespace",
                REGISTRY_NAMESPACE,
                "patch",
                "service",
                "registry",
            ])
            .args(["--type=merge", "--patch", &selector.to_string()])
            .run()
            .await
    }
}
