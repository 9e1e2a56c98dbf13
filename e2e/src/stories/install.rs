//! Installed from nothing; the chart's own test passes; what a user types first reads well.

use anyhow::{Result, ensure};
use futures::FutureExt;
use serde_json::{Value, json};

use crate::context::Context;
use crate::story::Story;

/// See the module.
pub const STORY: Story = Story {
    name: "install",
    needs: &[],
    run: |context| tell(context).boxed(),
};

async fn tell(context: Context) -> Result<()> {
    context.uninstall_chart().await?;
    context.install_chart().await?;
    context.test_chart().await?;
    let image = context.push_guest("v1", "install:v1").await?;
    context.deploy("hello", &image, &json!({})).await?;
    columns(&context).await?;
    explanation(&context).await?;
    invalid_specs_are_refused(&context).await
}

async fn columns(context: &Context) -> Result<()> {
    let table = context.kubectl().args(["get", "wfn"]).output().await?;
    let head = table.lines().next().unwrap_or_default();
    for column in [
        "NAME", "READY", "REASON", "REPLICAS", "URL", "DIGEST", "AGE",
    ] {
        ensure!(head.contains(column), "no column {column}: {head}");
    }
    let row = table.lines().nth(1).unwrap_or_default();
    ensure!(
        row.contains("True") && row.contains("http://hello."),
        "row: {row}"
    );
    Ok(())
}

async fn explanation(context: &Context) -> Result<()> {
    let text = context
        .kubectl()
        .args(["explain", "wfn.spec.limits"])
        .output()
        .await?;
    for word in [
        "memoryPerRequest",
        "timeoutSeconds",
        "in seconds",
        "CPU time of the guest",
    ] {
        ensure!(
            text.contains(word),
            "kubectl explain lacks `{word}`: {text}"
        );
    }
    Ok(())
}

async fn invalid_specs_are_refused(context: &Context) -> Result<()> {
    let cases: [(Value, &str); 5] = [
        (json!({ "image": "" }), "spec.image"),
        (json!({ "replicas": 2 }), "spec.replicas"),
        (
            json!({ "limits": { "timeoutSeconds": 0 } }),
            "spec.limits.timeoutSeconds",
        ),
        (
            json!({ "limits": { "memoryPerRequest": "8Gi" } }),
            "spec.limits.memoryPerRequest",
        ),
        (json!({ "env": [{ "name": "A" }] }), "spec.env[0]"),
    ];
    for (spec, field) in cases {
        let said = context
            .refused(&context.manifest("wrong", "r/x:1", &spec))
            .await?;
        ensure!(
            said.contains(field),
            "the refusal does not name {field}: {said}"
        );
    }
    Ok(())
}
