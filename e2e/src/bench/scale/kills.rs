//! Runtime pods that are killed and deleted, one every few seconds, under load that must not be sent
//! twice: what is lost, and whether it was begun in a pod that was killed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::json;

use super::Rows;
use crate::context::{is_ready, stays};
use crate::http::{LoadPlan, LoadReport, RunningLoad};
use crate::wait::wait_until;

/// From one kill to the next.
const PERIOD: Duration = Duration::from_secs(5);
/// Longest wait for a pod that can be killed while another serves.
const PODS_START: Duration = Duration::from_secs(60);
/// Requests at the same time; each takes 300 ms.
const CLIENTS: usize = 12;

impl Rows<'_> {
    pub(super) async fn kills(&self) -> Result<()> {
        let spec = json!({ "placement": "Dedicated", "replicas": 2 });
        self.context.deploy("killed", &self.guest, &spec).await?;
        self.ready_pods(2).await?;
        let load = RunningLoad::start(LoadPlan {
            method: "POST".to_owned(),
            path: "/started?milliseconds=300".to_owned(),
            body: "{id}".to_owned(),
            concurrency: CLIENTS,
            ..self.context.load_on("killed")
        });
        let end = Instant::now() + Duration::from_secs_f64(self.options.seconds);
        let (mut killed, mut begun) = (0, BTreeSet::new());
        while Instant::now() < end {
            let next = tokio::time::sleep(PERIOD);
            let pods = self.ready_pods(1).await?;
            begun.extend(self.kill(&pods[killed % pods.len()]).await?);
            killed += 1;
            next.await;
        }
        report(killed, &begun, &load.stop().await?)?;
        self.context.delete("wasmfunction", "killed").await
    }

    async fn kill(&self, pod: &Pod) -> Result<BTreeSet<String>> {
        let begun = self.context.begun_when_killed(pod).await?;
        let now = DeleteParams::default().grace_period(0);
        let api = self.context.api::<Pod>();
        api.delete(&pod.name_any(), &now).await?;
        Ok(begun)
    }

    async fn ready_pods(&self, count: usize) -> Result<Vec<Pod>> {
        wait_until("enough pods are ready", PODS_START, async || {
            let mut pods = self.context.pods_of("killed").await?;
            pods.retain(|pod| stays(pod) && is_ready(pod));
            Ok((pods.len() >= count).then_some(pods))
        })
        .await
    }
}

/// A pod may have taken a request off the wire and not have begun it: that one is lost without a trace
/// in the pod's log, and counted apart.
fn report(killed: usize, begun: &BTreeSet<String>, load: &LoadReport) -> Result<()> {
    let lost = load.sent - load.good;
    ensure!(lost == load.failures.len(), "more failed than are told");
    let traced = load.failures.iter().filter(|one| begun.contains(&one.id));
    let traced = traced.count();
    println!(
        "{} sent while {killed} pods were killed; {lost} lost {:?}, {traced} of them begun in a killed \
         pod, {} in none",
        load.sent,
        load.reasons(),
        lost - traced
    );
    for failure in load.failures.iter().filter(|one| !begun.contains(&one.id)) {
        println!("    no trace: {failure:?}");
    }
    Ok(())
}
