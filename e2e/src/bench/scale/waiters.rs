//! Many requests at once for a function with no pod: each is held, and answered once.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::Rows;
use crate::http::LoadPlan;
use crate::wait::wait_until;

/// Longest wait for the last pod to be gone.
const GONE: Duration = Duration::from_secs(120);

impl Rows<'_> {
    /// From a pod, so that no port of this machine stands between.
    pub(super) async fn waiters(&self) -> Result<()> {
        let scaling = json!({
            "minReplicas": 0,
            "maxReplicas": 1,
            "idleSeconds": 1,
            "scaleDownWindowSeconds": 1,
            "maxQueued": 100_000,
            "maxQueueSeconds": 120,
        });
        let spec = json!({ "placement": "Dedicated", "scaling": scaling });
        self.context.deploy("awaited", &self.guest, &spec).await?;
        wait_until("no pod is left", GONE, async || {
            Ok(self
                .context
                .pods_of("awaited")
                .await?
                .is_empty()
                .then_some(()))
        })
        .await?;
        let report = self
            .context
            .load_inside(&LoadPlan {
                base: self.context.gateway_inside(),
                host: self.context.host("awaited"),
                path: "/id".to_owned(),
                concurrency: self.options.waiters,
                requests: self.options.waiters,
                ..LoadPlan::default()
            })
            .await?;
        println!(
            "{} waited, {} lost; answered after p50 {:.0} ms, p99 {:.0} ms {:?}",
            report.sent,
            report.sent - report.good,
            report.p50_milliseconds,
            report.p99_milliseconds,
            report.reasons()
        );
        self.context.delete("wasmfunction", "awaited").await
    }
}
