//! Whatever is wrong with a module is said in a word and a sentence, soon, and an older version
//! goes on answering.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::FutureExt;
use serde_json::json;
use wasmfn_crds::{ConditionType, condition};

use crate::context::Context;
use crate::settings::REGISTRY_HOST;
use crate::story::{Need, Story};

/// See the module.
pub const STORY: Story = Story {
    name: "bad_modules",
    needs: &[Need::BreakableNodes],
    run: |context| tell(context).boxed(),
};

/// The event follows the status at once; the rest is for a busy machine, as with the pull.
const SAID_WITHIN: Duration = Duration::from_secs(10);
const PULLED_WITHIN: Duration = Duration::from_secs(60);
/// More than the largest module that the chart allows by default.
const HUGE_BYTES: usize = 140 << 20;

async fn tell(context: Context) -> Result<()> {
    let good = context.push_guest("v1", "bad:good").await?;
    context.deploy("old", &good, &json!({})).await?;
    let native = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0";
    let text = b"#!/bin/sh\necho this is no module\n";
    let cases = [
        (
            "ImageNotFound",
            format!("{REGISTRY_HOST}/nowhere/to-be-found:v1"),
        ),
        ("NotWasm", context.push(text, "bad:text").await?.image),
        (
            "NativeCode",
            context.push(native, "bad:native").await?.image,
        ),
        (
            "WrongExports",
            context
                .push_guest(crate::guest::CORE_MODULE, "bad:core")
                .await?,
        ),
        (
            "MissingImport",
            context.push_guest("missing-import", "bad:import").await?,
        ),
        (
            "TooLarge",
            context.push(&vec![0; HUGE_BYTES], "bad:huge").await?.image,
        ),
        ("DigestMismatch", context.push_damaged("bad:damaged").await?),
    ];
    for (reason, image) in cases {
        let name = format!("new-{}", reason.to_lowercase());
        context.declare(&name, &image, &json!({})).await?;
        let sentence = context.fails(&name, reason, PULLED_WITHIN).await?;
        ensure!(sentence.len() > 20, "{reason}: no sentence: {sentence:?}");
        println!("    {reason}: {sentence}");
        context.event(&name, reason, SAID_WITHIN).await?;
        an_older_version_goes_on(&context, &image, reason).await?;
        context.delete("wasmfunction", &name).await?;
        context.change("old", json!({ "image": good })).await?;
        context.ready("old").await?;
    }
    Ok(())
}

async fn an_older_version_goes_on(context: &Context, image: &str, reason: &str) -> Result<()> {
    context.change("old", json!({ "image": image })).await?;
    context.fails("old", reason, PULLED_WITHIN).await?;
    let status = context.function("old").await?.status.context("a status")?;
    let serving = condition::find(&status.conditions, ConditionType::Serving);
    let serving = serving.context("no condition Serving")?;
    ensure!(serving.status == "True", "{reason}: Serving is {serving:?}");
    let answer = context.get("old", "/version").await?;
    ensure!(
        answer.text().trim() == "v1",
        "{reason}: the old version: {answer:?}"
    );
    Ok(())
}
