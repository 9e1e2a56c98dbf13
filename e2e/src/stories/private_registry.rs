//! A private registry with a pull secret: a wrong password is said, a rotated Secret is picked up
//! without a roll, and a Secret that was not named before rolls the pods once, nothing lost.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures::FutureExt;
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::json;

use crate::context::Context;
use crate::settings::{PRIVATE_REGISTRY_HOST, READER};
use crate::story::Story;
use crate::wait::wait_until;

/// See the module.
pub const STORY: Story = Story {
    name: "private_registry",
    needs: &[],
    run: |context| tell(context).boxed(),
};

const RUNTIME: &str = "app.kubernetes.io/component=runtime";
const POD_START: Duration = Duration::from_secs(120);
/// The kubelet projects changed contents within its sync period of a minute, and a cache's lifetime on
/// top; the promise is two minutes, and retries come on top of that.
const ROTATED_WITHIN: Duration = Duration::from_secs(150);

async fn tell(context: Context) -> Result<()> {
    let module = context.guest("answer").await?;
    let image = context.push_private(&module, "secret:v1").await?.image;
    context.declare("bare", &image, &json!({})).await?;
    let said = context.fails("bare", "RegistryDenied", POD_START).await?;
    println!("    no secret: {said}");
    context.delete("wasmfunction", "bare").await?;

    pull_secret(&context, "wrong").await?;
    let pulls = json!({ "imagePullSecrets": [{ "name": "pull" }] });
    context.declare("hello", &image, &pulls).await?;
    let said = context.fails("hello", "RegistryDenied", POD_START).await?;
    println!("    wrong password: {said}");
    rolled_out(&context).await?;
    let pods = context.pod_restarts(RUNTIME).await?;
    pull_secret(&context, READER.1).await?;
    context
        .condition("hello", "Ready", "True", ROTATED_WITHIN)
        .await?;
    let now = context.pod_restarts(RUNTIME).await?;
    ensure!(
        pods == now,
        "a rotated Secret changed pods: {pods:?} became {now:?}"
    );
    a_new_name_rolls_once(&context).await
}

async fn pull_secret(context: &Context, password: &str) -> Result<()> {
    let auths = json!({ PRIVATE_REGISTRY_HOST: { "username": READER.0, "password": password } });
    let text = json!({ "auths": auths }).to_string();
    context
        .apply(&json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": "pull" },
            "type": "kubernetes.io/dockerconfigjson",
            "stringData": { ".dockerconfigjson": text },
        }))
        .await
}

async fn rolled_out(context: &Context) -> Result<()> {
    let status = [
        "rollout",
        "status",
        "deployment/wasmfn-shared",
        "--timeout=120s",
    ];
    context.kubectl().args(status).run().await?;
    wait_until("one runtime pod is left", POD_START, async || {
        Ok((context.pod_restarts(RUNTIME).await?.len() == 1).then_some(()))
    })
    .await
}

async fn generation(context: &Context) -> Result<i64> {
    let deployment = context.api::<Deployment>().get("wasmfn-shared").await?;
    let revision = deployment.metadata.annotations.unwrap_or_default();
    Ok(revision
        .get("deployment.kubernetes.io/revision")
        .map_or(Ok(0), |text| text.parse())?)
}

async fn a_new_name_rolls_once(context: &Context) -> Result<()> {
    let before = generation(context).await?;
    let traffic = context.traffic("hello", "/id", 4);
    traffic.flows(50).await?;
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "extra" },
        "stringData": { "word": "sesame" } });
    context.apply(&secret).await?;
    let reference = json!({ "secretKeyRef": { "name": "extra", "key": "word" } });
    let env = json!([{ "name": "WORD", "valueFrom": reference }]);
    context.change("hello", json!({ "env": env })).await?;
    wait_until("the function sees the new Secret", POD_START, async || {
        let answer = context.get("hello", "/env/WORD").await?;
        ensure!(
            answer.text().trim() == "sesame",
            "{} {}",
            answer.status,
            answer.text()
        );
        Ok(Some(()))
    })
    .await?;
    rolled_out(context).await?;
    let rolls = generation(context).await? - before;
    ensure!(rolls == 1, "the deployment rolled {rolls} times");
    println!(
        "    {} requests across the roll, none lost",
        traffic.none_lost().await?
    );
    Ok(())
}
