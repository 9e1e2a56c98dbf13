//! Requests with large bodies that wait: what a gateway holds meanwhile.

use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::json;

use super::Rows;
use crate::context::address;
use crate::http::LoadPlan;

/// Longest wait until the one request that occupies the pod has begun.
const BEGUN: Duration = Duration::from_secs(60);

impl Rows<'_> {
    /// One pod that takes one request, which stays; all others wait at one gateway.
    pub(super) async fn bodies(&self) -> Result<()> {
        let scaling = json!({
            "minReplicas": 1,
            "maxReplicas": 1,
            "maxQueued": 100_000,
            "maxQueueSeconds": 600,
        });
        let spec = json!({
            "placement": "Dedicated",
            "scaling": scaling,
            "limits": { "maxConcurrency": 1, "timeoutSeconds": 300 },
        });
        self.context.deploy("bodies", &self.guest, &spec).await?;
        let inside = self.context.hold("bodies", 1);
        self.context.begun("bodies", &inside, BEGUN).await?;
        let gateways = self.context.gateway_pods().await?;
        let gateway = gateways.first().context("a gateway")?;
        println!("before: {}", self.memory(gateway).await?);
        let plan = LoadPlan {
            base: format!("http://{}:8080", address(gateway)?),
            host: self.context.host("bodies"),
            method: "POST".to_owned(),
            path: "/echo".to_owned(),
            body_bytes: self.options.body_bytes,
            concurrency: self.options.waiters,
            requests: self.options.waiters,
            ..LoadPlan::default()
        };
        let context = self.context.clone();
        let load = tokio::spawn(async move { context.load_inside(&plan).await });
        let waiters = u64::try_from(self.options.waiters)?;
        self.context.waiting_becomes("bodies", waiters).await?;
        println!(
            "{waiters} wait, each with {} bytes to send: {}",
            self.options.body_bytes,
            self.memory(gateway).await?
        );
        // What waits is answered at once.
        self.context.delete("wasmfunction", "bodies").await?;
        let report = load.await??;
        println!("    then answered: {:?}", report.reasons());
        inside.release().await?;
        Ok(())
    }

    /// The gateway's own memory, and that of the sockets in its pod, as its node has them.
    async fn memory(&self, gateway: &Pod) -> Result<String> {
        let node = gateway
            .spec
            .as_ref()
            .and_then(|spec| spec.node_name.as_deref());
        let node = self.context.nodes()?.named(node.context("a node")?)?;
        let script = format!(
            "set -e; id=$(crictl ps --quiet --name '^gateway$' --pod \
             $(crictl pods --quiet --state ready --name '^{}$')); \
             pid=$(crictl inspect --output go-template --template '{{{{.info.pid}}}}' $id); \
             grep -E 'VmRSS|VmHWM' /proc/$pid/status; grep TCP: /proc/$pid/net/sockstat",
            gateway.name_any()
        );
        let said = node.exec(["sh", "-c", &script]).output().await?;
        Ok(said.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}
