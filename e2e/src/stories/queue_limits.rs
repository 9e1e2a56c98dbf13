//! What waits is bounded in number and time, and is told at once when waiting makes no sense any more:
//! the function is suspended, deleted, or cannot be loaded.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::FutureExt;
use serde_json::{Value, json};

use crate::context::{Context, address};
use crate::http::{Held, LoadPlan};
use crate::story::Story;
use crate::wait::wait_until;

/// See the module.
pub const STORY: Story = Story {
    name: "queue_limits",
    needs: &[],
    run: |context| tell(context).boxed(),
};

const BEGUN: Duration = Duration::from_secs(120);
/// Waiting requests may wait ten minutes by their spec: an answer sooner than this is no time-out.
const AT_ONCE: Duration = Duration::from_secs(60);
/// How many wait when something happens to their function.
const WAITING: usize = 6;

async fn tell(context: Context) -> Result<()> {
    let image = context.push_guest("answer", "queues:v1").await?;
    let narrow = one_at_a_time(&json!({ "maxQueued": 4, "maxQueueSeconds": 10 }));
    context.deploy("narrow", &image, &narrow).await?;
    number_and_time_are_bounded(&context).await?;
    context.delete("wasmfunction", "narrow").await?;

    let patient = one_at_a_time(&json!({ "maxQueueSeconds": 600 }));
    for name in ["paused", "removed"] {
        context.declare(name, &image, &patient).await?;
    }
    let (inside, waiting) = inside_and_waiting(&context, "paused").await?;
    context.change("paused", json!({ "suspend": true })).await?;
    answered_at_once(waiting, "Suspended").await?;
    inside.release().await?.none_lost()?;

    let (inside, waiting) = inside_and_waiting(&context, "removed").await?;
    let delete = ["delete", "wasmfunction", "removed", "--wait=false"];
    context.kubectl().args(delete).run().await?;
    answered_at_once(waiting, "Deleted").await?;
    inside.release().await?.none_lost()?;
    that_cannot_be_loaded(&context).await
}

/// A function of one pod that takes one request at a time.
fn one_at_a_time(scaling: &Value) -> Value {
    let mut scaling = scaling.clone();
    scaling["minReplicas"] = 1.into();
    scaling["maxReplicas"] = 1.into();
    json!({
        "placement": "Dedicated",
        "limits": { "maxConcurrency": 1, "timeoutSeconds": 300 },
        "scaling": scaling,
    })
}

/// Nine requests to one gateway while a pod serves the one that it may: four wait, and five find the
/// queue full.
async fn number_and_time_are_bounded(context: &Context) -> Result<()> {
    let gateways = context.gateway_pods().await?;
    let gateway = gateways.first().context("a gateway")?;
    // One that has not begun yet would be among those that wait.
    let inside = context.hold("narrow", 1);
    context.begun("narrow", &inside, BEGUN).await?;
    let report = context
        .load_inside(&LoadPlan {
            base: format!("http://{}:8080", address(gateway)?),
            host: context.host("narrow"),
            path: "/id".to_owned(),
            concurrency: 9,
            requests: 9,
            ..LoadPlan::default()
        })
        .await?;
    let expected = BTreeMap::from([("QueueFull", 5), ("QueueTimeout", 4)]);
    ensure!(
        report.good == 0 && report.reasons() == expected,
        "{report:?}"
    );
    for failure in &report.failures {
        let well_said = failure.status == 503 && !failure.retry_after.is_empty();
        ensure!(well_said, "{failure:?}");
    }
    inside.release().await?.none_lost()
}

/// One request that a pod serves, and others that wait in the gateways' queues for it.
async fn inside_and_waiting(context: &Context, function: &str) -> Result<(Held, Held)> {
    context.ready(function).await?;
    let inside = context.hold(function, 1);
    context.begun(function, &inside, BEGUN).await?;
    let waiting = context.hold(function, WAITING);
    context
        .waiting_becomes(function, u64::try_from(WAITING)?)
        .await?;
    Ok((inside, waiting))
}

/// The bodies of the requests have not ended yet: nobody waits for them.
async fn answered_at_once(waiting: Held, reason: &str) -> Result<()> {
    let what = format!("those that wait are answered for {reason}");
    wait_until(&what, AT_ONCE, async || {
        let answered = waiting.answered();
        ensure!(answered == waiting.count(), "{answered} are");
        Ok(Some(()))
    })
    .await?;
    let count = waiting.count();
    let report = waiting.release().await?;
    ensure!(
        report.reasons() == BTreeMap::from([(reason, count)])
            && report.statuses == BTreeMap::from([(503, count)]),
        "{report:?}"
    );
    println!("    {count} that waited were answered 503 {reason}");
    Ok(())
}

/// It is asked before there is a pod that could find out: the request waits until then.
async fn that_cannot_be_loaded(context: &Context) -> Result<()> {
    let text = context.push(b"no module at all\n", "queues:text").await?;
    let spec = json!({ "placement": "Dedicated", "scaling": { "maxQueueSeconds": 600 } });
    context.declare("broken", &text.image, &spec).await?;
    wait_until("the gateway knows the function", BEGUN, async || {
        let look = context.get("broken", "/").await?;
        ensure!(look.header("wasmfn-reason") == "LoadFailed", "{look:?}");
        Ok(Some(()))
    })
    .await
}
