//! Who may reach what: each account's rights are those of a list kept here, the admission policy
//! stops the operator's account, and ports ask for their token.

use anyhow::{Context as _, Result, ensure};
use futures::FutureExt;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use crate::context::Context;
use crate::settings::SYSTEM_NAMESPACE;
use crate::story::Story;

mod rights;

/// See the module.
pub const STORY: Story = Story {
    name: "fences",
    needs: &[],
    run: |context| tell(context).boxed(),
};

const RUNTIME: &str = "app.kubernetes.io/component=runtime";

async fn tell(context: Context) -> Result<()> {
    let image = context.push_guest("v1", "fences:v1").await?;
    context.deploy("hello", &image, &json!({})).await?;
    rights::are_those_of_the_list(&context).await?;
    the_policy_fences_the_operator(&context).await?;
    ports_ask_for_their_token(&context).await
}

fn operator() -> String {
    format!("system:serviceaccount:{SYSTEM_NAMESPACE}:wasmfn-operator")
}

async fn the_policy_fences_the_operator(context: &Context) -> Result<()> {
    let get = ["get", "deployment", "wasmfn-shared", "--output=json"];
    let deployment: Value = serde_json::from_str(&context.kubectl().args(get).output().await?)?;
    let container = "/spec/template/spec/containers/0";
    for (what, pointer, value) in [
        (
            "a foreign image",
            "image",
            json!("evil.example.com/miner:1"),
        ),
        (
            "a privileged pod",
            "securityContext",
            json!({ "privileged": true }),
        ),
    ] {
        let mut changed = deployment.clone();
        changed["metadata"] = json!({
            "name": "wasmfn-fn-evil",
            "namespace": context.namespace,
            "labels": deployment["metadata"]["labels"],
        });
        let field = changed.pointer_mut(&format!("{container}/{pointer}"));
        *field.with_context(|| format!("{pointer} in the deployment"))? = value;
        stopped(
            context,
            what,
            &["create", "--validate=false", "--filename=-"],
            &changed.to_string(),
        )
        .await?;
    }
    let unlabelled = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": "sly" },
        "spec": { "type": "ExternalName", "externalName": "example.com" },
    });
    let unlabelled = unlabelled.to_string();
    stopped(
        context,
        "an object without our label",
        &["create", "--validate=false", "--filename=-"],
        &unlabelled,
    )
    .await?;
    let pods = context.list::<Pod>(RUNTIME).await?;
    let pod = pods
        .first()
        .and_then(|pod| pod.metadata.name.clone())
        .context("a runtime pod")?;
    let image = r#"{"spec":{"containers":[{"name":"runtime","image":"evil:1"}]}}"#;
    let patch = ["patch", "pod", &pod, "--patch", image];
    stopped(context, "a patch of a pod's image", &patch, "").await
}

/// Does it as the operator's account, and demands that the policy says no.
async fn stopped(context: &Context, what: &str, arguments: &[&str], input: &str) -> Result<()> {
    let command = context
        .kubectl()
        .args(arguments)
        .args(["--as", &operator()]);
    let output = command.input(input).raw_output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success(), "{what} was accepted");
    ensure!(
        said.contains("ValidatingAdmissionPolicy"),
        "{what}: refused, but not by the policy: {said}"
    );
    Ok(())
}

/// Asked from a pod of another namespace, without the token.
async fn ports_ask_for_their_token(context: &Context) -> Result<()> {
    let pods = context.list::<Pod>(RUNTIME).await?;
    let status = pods.first().and_then(|pod| pod.status.clone());
    let address = status
        .and_then(|status| status.pod_ip)
        .context("a runtime pod's address")?;
    let stranger = context.another_namespace("stranger").await?;
    let stranger = context.in_namespace(&stranger);
    let blob = format!("/v1/blobs/sha256:{}", "0".repeat(64));
    for (port, path) in [(8080, "/"), (8081, "/v1/state"), (8082, &blob)] {
        let url = format!("http://{address}:{port}{path}");
        let seen = stranger
            .request_inside(&[&url, "--header=wasmfn-function: hello"])
            .await?;
        // No answer at all is what a network policy makes of it.
        ensure!(
            matches!(seen.status, 0 | 401),
            "port {port}{path} without a token: {seen:?}"
        );
    }
    Ok(())
}
