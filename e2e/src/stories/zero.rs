//! A Dedicated function goes to no pod while nobody calls. A burst of requests is then held until a
//! pod is there, and each is answered. It is Ready all the time.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::FutureExt;
use serde_json::json;
use wasmfn_crds::{ConditionType, WasmFunction, condition};

use crate::context::Context;
use crate::http::{LoadPlan, run_load};
use crate::story::Story;
use crate::wait::wait_until;

/// See the module.
pub const STORY: Story = Story {
    name: "zero",
    needs: &[],
    run: |context| tell(context).boxed(),
};

/// Requests that wait for the first pod; the two gateways' queues take 1000 each.
const WAITERS: usize = 500;
/// The idle time of the spec, a pod's drain, and a busy machine.
const GONE: Duration = Duration::from_secs(90);
const TOLD: Duration = Duration::from_secs(60);

/// Status of `Ready` and of `Active`.
type Seen = (String, String);

async fn tell(context: Context) -> Result<()> {
    let image = context.push_guest("answer", "zero:v1").await?;
    let scaling = json!({ "minReplicas": 0, "idleSeconds": 2, "scaleDownWindowSeconds": 2, "maxQueueSeconds": 600 });
    let spec = json!({ "placement": "Dedicated", "scaling": scaling });
    context.deploy("own", &image, &spec).await?;
    let seen = context.observe("own", ready_and_active).await?;
    let begun = Instant::now();
    for _ in 0..2 {
        wait_until("no pod is left", GONE, async || {
            let left = context.pods_of("own").await?.len();
            ensure!(left == 0, "{left} are");
            Ok(Some(()))
        })
        .await?;
        seen.until(begun, "it is not Active", TOLD, |seen| seen.1 == "False")
            .await?;
        let called = Instant::now();
        all_are_answered(&context).await?;
        seen.until(called, "it is Active", TOLD, |seen| seen.1 == "True")
            .await?;
    }
    let seen = seen.since(begun);
    ensure!(
        seen.iter().all(|(ready, _)| ready == "True"),
        "it was not Ready all the time: {seen:?}"
    );
    Ok(())
}

fn ready_and_active(function: &WasmFunction) -> Seen {
    let status = function.status.clone().unwrap_or_default();
    let truth = |kind| {
        let found = condition::find(&status.conditions, kind);
        found.map_or_else(String::new, |found| found.status.clone())
    };
    (truth(ConditionType::Ready), truth(ConditionType::Active))
}

async fn all_are_answered(context: &Context) -> Result<()> {
    let report = run_load(LoadPlan {
        path: "/id".to_owned(),
        concurrency: WAITERS,
        requests: WAITERS,
        ..context.load_on("own")
    })
    .await?;
    report.none_lost()?;
    println!(
        "    {} requests waited for a pod, none lost; answered after {:.0} ms (p50), {:.0} ms (p99)",
        report.sent, report.p50_milliseconds, report.p99_milliseconds
    );
    Ok(())
}
