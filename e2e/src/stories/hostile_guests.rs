//! Guests that trap, loop and grow meet their limits; the neighbour in the same pod does not
//! notice, and nothing restarts.

use anyhow::{Result, ensure};
use futures::FutureExt;
use http::Method;
use serde_json::json;

use crate::context::Context;
use crate::story::Story;

/// See the module.
pub const STORY: Story = Story {
    name: "hostile_guests",
    needs: &[],
    run: |context| tell(context).boxed(),
};

const RUNTIME: &str = "app.kubernetes.io/component=runtime";

async fn tell(context: Context) -> Result<()> {
    let image = context.push_guest("answer", "hostile:v1").await?;
    let limits = json!({
        "cpuMillisecondsPerRequest": 500,
        "memoryPerRequest": "32Mi",
        "timeoutSeconds": 10,
        "requestBytes": "1Mi",
        "responseBytes": "1Mi",
    });
    context
        .deploy("hostile", &image, &json!({ "limits": limits }))
        .await?;
    context.deploy("neighbour", &image, &json!({})).await?;
    let pods = context.pod_restarts(RUNTIME).await?;
    let traffic = context.traffic("neighbour", "/id", 4);
    traffic.flows(20).await?;
    guests_meet_their_limits(&context).await?;
    bodies_meet_their_limits(&context).await?;
    let answer = context.get("hostile", "/version").await?;
    ensure!(answer.status.is_success(), "after all that: {answer:?}");
    traffic.flows(20).await?;
    println!(
        "    neighbour: {} requests, none lost",
        traffic.none_lost().await?
    );
    let now = context.pod_restarts(RUNTIME).await?;
    ensure!(pods == now, "pods changed: {pods:?} became {now:?}");
    Ok(())
}

async fn guests_meet_their_limits(context: &Context) -> Result<()> {
    for (path, status, reason) in [
        ("/trap", 500, "Trapped"),
        ("/spin", 500, "OutOfCpu"),
        ("/grow", 500, "OutOfMemory"),
        ("/slow?milliseconds=20000", 504, "Timeout"),
    ] {
        let answer = context.get("hostile", path).await?;
        let got = (answer.status.as_u16(), answer.header("wasmfn-reason"));
        ensure!(got == (status, reason.to_owned()), "{path}: {answer:?}");
    }
    Ok(())
}

async fn bodies_meet_their_limits(context: &Context) -> Result<()> {
    let host = context.host("hostile");
    let upload = context.gateway.request(Method::POST, &host, "/echo");
    let answer = upload.body(vec![0; 2 << 20]).send().await?;
    ensure!(
        answer.status.as_u16() == 413,
        "too large a request: {}",
        answer.status
    );
    // The head is out by then, so the stream breaks off instead of ending.
    let answer = context.get("hostile", "/big?bytes=4194304").await;
    ensure!(
        answer.is_err(),
        "too large an answer came whole: {:?}",
        answer.map(|answer| answer.status)
    );
    Ok(())
}
