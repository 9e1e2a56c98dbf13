//! Waits until a new cluster can run pods: kind itself watches the control plane only.

use anyhow::{Context, Result};

use crate::process::Command;

/// Longest wait for each part.
const DEADLINE: &str = "--timeout=180s";

/// Waits for every node and for DNS.
pub(super) async fn wait(kubectl: &impl Fn() -> Command) -> Result<()> {
    kubectl()
        .args(["wait", "--for=condition=Ready", "nodes", "--all", DEADLINE])
        .run()
        .await
        .context("a node did not become ready")?;
    kubectl()
        .args([
            "--namespace=kube-system",
            "rollout",
            "status",
            "deployment/coredns",
            DEADLINE,
        ])
        .run()
        .await
        .context("the cluster's DNS did not become ready")
}
