//! Apply to first answer: the clock starts when the API server has accepted the object.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;
use kube::api::PostParams;
use serde_json::json;
use tokio::time::sleep;
use wasmfn_crds::WasmFunction;

use super::distribution::Distribution;
use crate::context::Context;
use crate::guest;
use crate::http::Origin;
use crate::settings::SPARE_NODE_PORT;
use crate::wait::wait_until;

/// Pause between two looks.
const INTERVAL: Duration = Duration::from_millis(5);
const DEADLINE: Duration = Duration::from_secs(60);
/// A look that takes longer found nobody.
const PROBE: Duration = Duration::from_secs(2);

/// Measures `samples` of each in turn, and prints how they are spread.
pub(super) async fn measure(context: &Context, samples: usize) -> Result<()> {
    let guests = [
        ("stories' guest", context.guest("v1").await?),
        ("examples/hello", guest::example("hello").await?),
    ];
    let warm = context.push(&guests[0].1, "warm:v1").await?;
    context.deploy("warm", &warm.image, &json!({})).await?;
    let (mut functions, mut deployments) = ([const { Vec::new() }; 2], Vec::new());
    for sample in 0..samples {
        for (index, (_, module)) in guests.iter().enumerate() {
            let name = format!("sample-{sample}-{index}");
            functions[index].push(function(context, module, &name).await?);
        }
        deployments.push(deployment(context, sample).await?);
        eprintln!(
            "sample {sample}: {:.0?}, {:.0?} and {:.0?}",
            functions[0][sample], functions[1][sample], deployments[sample]
        );
    }
    println!("{}", Distribution::head());
    for ((name, module), times) in guests.iter().zip(functions) {
        let name = format!("{name}, {} KiB", module.len() >> 10);
        println!("{}", Distribution::of(times).row(&name));
    }
    println!(
        "{}",
        Distribution::of(deployments).row("plain Deployment + Service")
    );
    Ok(())
}

/// Bytes that no pod has seen.
async fn function(context: &Context, module: &[u8], name: &str) -> Result<Duration> {
    let module = guest::with_marker(module, &rand::random::<[u8; 16]>());
    let image = context.push(&module, &format!("{name}:v1")).await?.image;
    let object: WasmFunction = serde_json::from_value(context.manifest(name, &image, &json!({})))?;
    context
        .api()
        .create(&PostParams::default(), &object)
        .await?;
    let accepted = Instant::now();
    answers(&context.gateway, &context.host(name), accepted).await
}

/// A native program in an image that the node holds already.
async fn deployment(context: &Context, sample: usize) -> Result<Duration> {
    let name = format!("plain-{sample}");
    let labels = json!({ "app": name });
    let service: Service = serde_json::from_value(json!({
        "metadata": { "name": name },
        "spec": {
            "type": "NodePort",
            "selector": labels,
            "ports": [{ "port": 80, "targetPort": 8080, "nodePort": SPARE_NODE_PORT }],
        },
    }))?;
    let deployment: Deployment = serde_json::from_value(json!({
        "metadata": { "name": name },
        "spec": {
            "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": context.server_pod() },
        },
    }))?;
    context
        .api()
        .create(&PostParams::default(), &service)
        .await?;
    context
        .api()
        .create(&PostParams::default(), &deployment)
        .await?;
    let accepted = Instant::now();
    let origin = Origin::new(&format!(
        "http://127.0.0.1:{}",
        context.cluster.settings.spare_port
    ))?;
    let time = answers(&origin, "plain.example.com", accepted).await?;
    context.delete("service", &name).await?;
    context.delete("deployment", &name).await?;
    closes(&origin).await?;
    Ok(time)
}

/// The next sample uses the same port, and must not be answered by this one's pod.
async fn closes(origin: &Origin) -> Result<()> {
    wait_until("the port is closed", DEADLINE, || async {
        let look = tokio::time::timeout(PROBE, origin.get("plain.example.com", "/").send()).await;
        Ok((!matches!(look, Ok(Ok(_)))).then_some(()))
    })
    .await
}

async fn answers(origin: &Origin, host: &str, accepted: Instant) -> Result<Duration> {
    loop {
        let look = tokio::time::timeout(PROBE, origin.get(host, "/version").send());
        let time = match look.await {
            Ok(Ok(answer)) if answer.status.as_u16() == 200 => return Ok(accepted.elapsed()),
            _ => accepted.elapsed(),
        };
        ensure!(time < DEADLINE, "{host} does not answer after {time:?}");
        sleep(INTERVAL).await;
    }
}
