//! `helm upgrade` under traffic loses nothing; `helm uninstall` keeps functions, and a reinstall
//! serves them again.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures::FutureExt;
use serde_json::json;

use crate::context::Context;
use crate::story::Story;

/// See the module.
pub const STORY: Story = Story {
    name: "upgrade",
    needs: &[],
    run: |context| tell(context).boxed(),
};

/// The reinstalled gateway has to start and to hear of the function.
const ANSWERS_AGAIN: Duration = Duration::from_secs(60);

async fn tell(context: Context) -> Result<()> {
    let image = context.push_guest("answer", "upgraded:v1").await?;
    context.deploy("hello", &image, &json!({})).await?;
    let traffic = context.traffic("hello", "/id", 4);
    traffic.flows(50).await?;
    let logs = json!({ "logFilter": "info,wasmfn_gateway=debug" });
    context
        .upgrade_chart(&json!({ "gateway": logs, "operator": { "logFilter": "debug" } }))
        .await?;
    traffic.flows(100).await?;
    println!(
        "    {} requests across the upgrade, none lost",
        traffic.none_lost().await?
    );

    context.uninstall_chart().await?;
    let kept = context.function("hello").await?;
    ensure!(
        kept.metadata.deletion_timestamp.is_none(),
        "uninstalling deletes functions"
    );
    context.install_chart().await?;
    context.ready("hello").await?;
    context.answers("hello", "answer", ANSWERS_AGAIN).await?;
    Ok(())
}
