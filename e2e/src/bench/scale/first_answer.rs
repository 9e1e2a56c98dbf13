//! The first answer of a function that nobody has called for a while.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

use super::Rows;
use crate::bench::distribution::Distribution;
use crate::context::is_ready;
use crate::wait::wait_until;

/// Longest wait for anything here.
const DEADLINE: Duration = Duration::from_secs(120);

impl Rows<'_> {
    /// No pod of the function, a leaving one included, is there when the clock starts, for the plain pod
    /// neither: what a kubelet has asked the API server for, for one pod of a namespace, the next one need
    /// not wait for. The plain pod is a native server whose image the node holds, with its account's token.
    pub(super) async fn answer_after_zero(&self) -> Result<()> {
        let scaling = json!({ "minReplicas": 0, "idleSeconds": 1, "scaleDownWindowSeconds": 1 });
        let spec = json!({ "placement": "Dedicated", "scaling": scaling });
        self.context.deploy("zero", &self.guest, &spec).await?;
        let (mut functions, mut pods) = (Vec::new(), Vec::new());
        for _ in 0..self.options.samples {
            self.no_pod_is_left().await?;
            functions.push(self.first_answer("zero").await?);
            self.no_pod_is_left().await?;
            pods.push(self.plain_pod().await?);
        }
        println!("{}", Distribution::head());
        println!(
            "{}",
            Distribution::of(functions).row("no pod, first answer")
        );
        println!(
            "{}",
            Distribution::of(pods).row("plain pod, create to Ready")
        );
        self.context.delete("wasmfunction", "zero").await
    }

    async fn no_pod_is_left(&self) -> Result<()> {
        wait_until("no pod is left", DEADLINE, async || {
            Ok(self.context.pods_of("zero").await?.is_empty().then_some(()))
        })
        .await
    }

    /// The function is Active no more, its namespace's warm pod stays.
    pub(super) async fn idle_on_a_warm_pod(&self) -> Result<()> {
        let scaling = json!({ "minReplicas": 0, "idleSeconds": 1 });
        let spec = json!({ "scaling": scaling });
        self.context.deploy("idle", &self.guest, &spec).await?;
        let (mut first, mut warm) = (Vec::new(), Vec::new());
        for _ in 0..self.options.samples {
            self.context
                .condition("idle", "Active", "False", DEADLINE)
                .await?;
            first.push(self.first_answer("idle").await?);
            warm.push(self.first_answer("idle").await?);
        }
        println!("{}", Distribution::head());
        println!("{}", Distribution::of(first).row("idle, first answer"));
        println!("{}", Distribution::of(warm).row("warm, next answer"));
        self.context.delete("wasmfunction", "idle").await
    }

    async fn first_answer(&self, function: &str) -> Result<Duration> {
        let called = Instant::now();
        let answer = self.context.get(function, "/id").await?;
        let took = called.elapsed();
        ensure!(answer.status.is_success(), "{answer:?}");
        Ok(took)
    }

    async fn plain_pod(&self) -> Result<Duration> {
        let mut spec = self.context.server_pod();
        // As pods have it by default: what a kubelet needs for that, it needs for a runtime pod too.
        spec["automountServiceAccountToken"] = true.into();
        let pod: Pod = serde_json::from_value(json!({
            "metadata": { "name": "plain" },
            "spec": spec,
        }))?;
        let api = self.context.api::<Pod>();
        api.create(&PostParams::default(), &pod).await?;
        let created = Instant::now();
        let ready = self.context.observe("plain", |pod: &Pod| is_ready(pod));
        let ready = ready.await.context("the plain pod")?;
        let took = ready
            .until(created, "the plain pod is ready", DEADLINE, |ready| *ready)
            .await?;
        let now = DeleteParams::default().grace_period(0);
        api.delete("plain", &now).await?;
        wait_until("the plain pod is gone", DEADLINE, async || {
            Ok(api.get_opt("plain").await?.is_none().then_some(()))
        })
        .await?;
        Ok(took)
    }
}
