//! Two namespaces claim one host: the older function has it, in every gateway.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures::FutureExt;
use serde_json::{Value, json};

use crate::context::{Context, address};
use crate::story::Story;
use crate::wait::wait_until;

/// See the module.
pub const STORY: Story = Story {
    name: "contested_host",
    needs: &[],
    run: |context| tell(context).boxed(),
};

const HOST: &str = "www.contested.example.com";
const SOON: Duration = Duration::from_secs(60);

async fn tell(context: Context) -> Result<()> {
    let other = context.another_namespace("other").await?;
    let other = context.in_namespace(&other);
    let grant = json!(["contested.example.com"]);
    let suffixes = json!({ &context.namespace: grant, &other.namespace: grant });
    context
        .upgrade_chart(&json!({ "hostSuffixes": suffixes }))
        .await?;

    let image = context.push_guest("answer", "contested:v1").await?;
    context.deploy("claim", &image, &spec("older")).await?;
    other.declare("claim", &image, &spec("younger")).await?;
    let (reason, sentence) = other.condition("claim", "Routed", "False", SOON).await?;
    ensure!(reason == "HostTaken", "{reason}: {sentence}");
    println!("    {sentence}");
    for gateway in context.gateway_pods().await? {
        answers_older(&context, &address(&gateway)?).await?;
    }
    other.ungranted(&image).await
}

fn spec(who: &str) -> Value {
    json!({ "route": { "hosts": [HOST] }, "env": [{ "name": "WHO", "value": who }] })
}

async fn answers_older(context: &Context, gateway: &str) -> Result<()> {
    let url = format!("http://{gateway}:8080/env/WHO");
    let host = format!("--header=host: {HOST}");
    wait_until("the older function answers", SOON, async || {
        let seen = context.request_inside(&[&url, &host]).await?;
        ensure!(
            !seen.body.contains("younger"),
            "the younger function has the host in {gateway}"
        );
        ensure!(seen.body.contains("older"), "{seen:?}");
        Ok(Some(()))
    })
    .await
}

impl Context {
    /// A host under no granted suffix is refused, with words.
    async fn ungranted(&self, image: &str) -> Result<()> {
        let route = json!({ "route": { "hosts": ["www.elsewhere.example.org"] } });
        self.declare("stray", image, &route).await?;
        let (reason, sentence) = self.condition("stray", "Routed", "False", SOON).await?;
        ensure!(reason == "HostNotAllowed", "{reason}: {sentence}");
        Ok(())
    }
}
