//! Sixty functions with sixty digests, applied at once, are served by one pod.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::FutureExt;
use serde_json::json;
use wasmfn_crds::WasmFunction;

use crate::context::Context;
use crate::guest;
use crate::story::Story;

/// See the module.
pub const STORY: Story = Story {
    name: "many_functions",
    needs: &[],
    run: |context| tell(context).boxed(),
};

const FUNCTIONS: usize = 60;
/// One pod compiles them all.
const ALL_READY: Duration = Duration::from_secs(240);

async fn tell(context: Context) -> Result<()> {
    let module = context.guest("v1").await?;
    let mut manifests = Vec::new();
    for index in 0..FUNCTIONS {
        let bytes = guest::with_marker(&module, format!("function {index}").as_bytes());
        let image = context.push(&bytes, &format!("many:v{index}")).await?.image;
        manifests.push(context.manifest(&name(index), &image, &json!({})));
    }
    let all = json!({ "apiVersion": "v1", "kind": "List", "items": manifests });
    let started = Instant::now();
    context.apply(&all).await?;
    let ready = ["wait", "wasmfunctions", "--all", "--for=condition=Ready"];
    let within = format!("--timeout={}s", ALL_READY.as_secs());
    context.kubectl().args(ready).arg(within).run().await?;
    println!(
        "    {FUNCTIONS} functions applied at once, the last Ready after {:.1?}",
        started.elapsed()
    );

    let functions = context.list::<WasmFunction>("").await?;
    let resolved = functions
        .iter()
        .filter_map(|function| function.status.as_ref()?.resolved.as_ref());
    let digests: BTreeSet<&str> = resolved.map(|resolved| resolved.digest.as_str()).collect();
    ensure!(digests.len() == FUNCTIONS, "{} digests", digests.len());
    let pods = context
        .pod_restarts("app.kubernetes.io/component=runtime")
        .await?;
    ensure!(pods.len() == 1, "{} runtime pods: {pods:?}", pods.len());
    for index in 0..FUNCTIONS {
        let answer = context.get(&name(index), "/version").await?;
        ensure!(answer.status.is_success(), "{}: {answer:?}", name(index));
    }
    Ok(())
}

fn name(index: usize) -> String {
    format!("many-{index}")
}
