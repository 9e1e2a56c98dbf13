//! A dedicated function has pods of its own, shaped by its template, scaled by `kubectl scale` and
//! by an HPA; it changes over from and to Shared with nothing lost, and leaves nothing behind.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::FutureExt;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Service};
use serde_json::json;
use wasmfn_crds::names;

use crate::context::Context;
use crate::story::Story;
use crate::wait::wait_until;

/// See the module.
pub const STORY: Story = Story {
    name: "dedicated",
    needs: &[],
    run: |context| tell(context).boxed(),
};

const POD_START: Duration = Duration::from_secs(120);
const OURS: &str = "app.kubernetes.io/managed-by=wasmfn";

async fn tell(context: Context) -> Result<()> {
    let image = context.push_guest("answer", "dedicated:v1").await?;
    let template = json!({
        "labels": { "team": "blue" },
        "annotations": { "example.com/note": "ours" },
        "resources": { "requests": { "cpu": "20m", "memory": "64Mi" } },
    });
    let spec = json!({ "placement": "Dedicated", "replicas": 1, "template": template });
    context.deploy("own", &image, &spec).await?;
    template_is_applied(&context).await?;
    context
        .kubectl()
        .args(["scale", "wfn/own", "--replicas=2"])
        .run()
        .await?;
    replicas_become(&context, 2).await?;
    scales_by_autoscaler(&context).await?;
    context.delete("wasmfunction", "own").await?;
    leaves_nothing(&context).await?;
    changes_over(&context, &image).await
}

async fn template_is_applied(context: &Context) -> Result<()> {
    let deployment = context.api::<Deployment>().get("wasmfn-fn-own").await?;
    let template = deployment.spec.context("a deployment has a spec")?.template;
    let metadata = template.metadata.context("pods have metadata")?;
    let labels = metadata.labels.unwrap_or_default();
    ensure!(
        labels.get("team").is_some_and(|team| team == "blue"),
        "labels: {labels:?}"
    );
    let annotations = metadata.annotations.unwrap_or_default();
    ensure!(
        annotations.contains_key("example.com/note"),
        "annotations: {annotations:?}"
    );
    let container = &template.spec.context("pods have a spec")?.containers[0];
    let requests = container
        .resources
        .clone()
        .and_then(|resources| resources.requests);
    let cpu = requests.and_then(|requests| requests.get("cpu").cloned());
    ensure!(
        cpu.is_some_and(|cpu| cpu.0 == "20m"),
        "the template's resources are not there"
    );
    Ok(())
}

async fn replicas_become(context: &Context, replicas: i32) -> Result<()> {
    let what = format!("wasmfn-fn-own has {replicas} ready pods");
    wait_until(&what, POD_START, async || {
        let status = context
            .api::<Deployment>()
            .get("wasmfn-fn-own")
            .await?
            .status;
        let status = status.unwrap_or_default();
        let counts = (
            status.ready_replicas.unwrap_or(0),
            status.replicas.unwrap_or(0),
        );
        Ok((counts == (replicas, replicas)).then_some(()))
    })
    .await
}

/// The e2e cluster has no metrics, so the HPA acts on its bounds alone: two replicas lie above its
/// maximum of one.
async fn scales_by_autoscaler(context: &Context) -> Result<()> {
    let target =
        json!({ "apiVersion": "wasmfn.dev/v1alpha1", "kind": "WasmFunction", "name": "own" });
    let cpu =
        json!({ "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 80 } });
    context
        .apply(&json!({
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": { "name": "own" },
            "spec": {
                "scaleTargetRef": target,
                "minReplicas": 1,
                "maxReplicas": 1,
                "metrics": [{ "type": "Resource", "resource": cpu }],
            },
        }))
        .await?;
    replicas_become(context, 1).await?;
    context.delete("hpa", "own").await
}

async fn leaves_nothing(context: &Context) -> Result<()> {
    wait_until(
        "nothing of ours is left in the namespace",
        POD_START,
        async || {
            let deployments = context.list::<Deployment>(OURS).await?.len();
            let services = context.list::<Service>(OURS).await?.len();
            ensure!(
                deployments + services == 0,
                "{deployments} deployments, {services} Services"
            );
            Ok(Some(()))
        },
    )
    .await
}

async fn changes_over(context: &Context, image: &str) -> Result<()> {
    context.deploy("mover", image, &json!({})).await?;
    let traffic = context.traffic("mover", "/id", 8);
    traffic.flows(50).await?;
    let (shared, dedicated) = (names::SHARED_RUNTIME, "wasmfn-fn-mover");
    for (placement, from, to) in [
        ("Dedicated", shared, dedicated),
        ("Shared", dedicated, shared),
    ] {
        context
            .change("mover", json!({ "placement": placement }))
            .await?;
        context
            .function_until(
                "mover",
                &format!("is served by {to}"),
                POD_START,
                |function| names::serving_runtime(function) == to,
            )
            .await?;
        traffic.flows(100).await?;
        wait_until(&format!("{from} is gone"), POD_START, async || {
            let deployment = context.api::<Deployment>().get_opt(from).await?;
            Ok(deployment.is_none().then_some(()))
        })
        .await?;
        traffic.flows(100).await?;
    }
    println!(
        "    {} requests across two changes of placement, none lost",
        traffic.none_lost().await?
    );
    context.ready("mover").await
}
