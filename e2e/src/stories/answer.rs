//! A function is applied and answers: through the gateway from outside, from another pod by its
//! internal URL, with every part of a request and an answer intact.

use std::convert::Infallible;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use futures::{FutureExt, StreamExt, stream};
use http::Method;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde_json::json;
use tokio::sync::oneshot;

use crate::context::Context;
use crate::story::Story;

/// See the module.
pub const STORY: Story = Story {
    name: "answer",
    needs: &[],
    run: |context| tell(context).boxed(),
};

const FIRST_CHUNK_DEADLINE: Duration = Duration::from_secs(60);
const UPLOAD_BYTES: usize = 5 << 20;

async fn tell(context: Context) -> Result<()> {
    let image = context.push_guest("answer", "answer:v1").await?;
    let env = json!([{ "name": "GREETING", "value": "hi" }]);
    context
        .deploy("hello", &image, &json!({ "env": env }))
        .await?;
    let status = context
        .function("hello")
        .await?
        .status
        .context("a status")?;
    let url = status.url.context("a public function has a URL")?;
    ensure!(url.contains(&context.host("hello")), "URL {url}");

    parts_stay_intact(&context).await?;
    statuses_and_trailers_pass(&context).await?;
    upload_is_echoed(&context).await?;
    first_chunk_comes_before_the_end(&context).await?;

    let internal = status
        .internal_url
        .context("a function has an internal URL")?;
    let seen = context
        .get_inside(&format!("{internal}/env/GREETING"))
        .await?;
    ensure!(
        seen.status == 200 && seen.body.trim() == "hi",
        "from a pod: {seen:?}"
    );
    cluster_functions_hide(&context, &image).await
}

async fn parts_stay_intact(context: &Context) -> Result<()> {
    let answer = context.get("hello", "/env/GREETING").await?;
    ensure!(
        answer.text().trim() == "hi",
        "environment: {}",
        answer.text()
    );
    let answer = context
        .gateway
        .request(Method::POST, &context.host("hello"), "/headers?a=1&b=%20")
        .header("x-story", "one")
        .header("wasmfn-function", "forged")
        .body("x")
        .send()
        .await?;
    let text = answer.text();
    ensure!(text.contains("x-story: one"), "headers: {text}");
    ensure!(
        text.contains("POST /headers?a=1&b=%20"),
        "method, path and query: {text}"
    );
    ensure!(
        !text.contains("forged"),
        "a client's wasmfn-function reached the guest: {text}"
    );
    ensure!(
        !text.contains("wasmfn-token"),
        "the token reached the guest: {text}"
    );
    Ok(())
}

async fn statuses_and_trailers_pass(context: &Context) -> Result<()> {
    for code in [200, 201, 204, 404, 418, 503] {
        let answer = context.get("hello", &format!("/status/{code}")).await?;
        ensure!(
            answer.status.as_u16() == code,
            "asked for {code}, got {}",
            answer.status
        );
    }
    let request = context.gateway.get(&context.host("hello"), "/trailers");
    let answer = request.header("te", "trailers").send().await?;
    ensure!(
        answer.trailers.contains_key("x-trailer"),
        "trailers: {answer:?}"
    );
    Ok(())
}

async fn upload_is_echoed(context: &Context) -> Result<()> {
    let upload: Bytes = (0..UPLOAD_BYTES).map(|index| (index % 251) as u8).collect();
    let request = context
        .gateway
        .request(Method::POST, &context.host("hello"), "/echo");
    let answer = request.body(upload.clone()).send().await?;
    ensure!(
        answer.status.is_success(),
        "upload: {} {}",
        answer.status,
        answer.text()
    );
    ensure!(
        answer.body == upload,
        "the echo differs, {} bytes",
        answer.body.len()
    );
    Ok(())
}

/// The client ends its upload only once the beginning of it has come back.
async fn first_chunk_comes_before_the_end(context: &Context) -> Result<()> {
    let (end, ended) = oneshot::channel::<()>();
    let piece = |text: &'static str| Ok::<_, Infallible>(Frame::data(Bytes::from(text)));
    let first = stream::once(async move { piece("first") });
    let last = stream::once(async move {
        let _ = ended.await;
        piece("last")
    });
    let upload = context
        .gateway
        .request(Method::POST, &context.host("hello"), "/echo")
        .stream(StreamBody::new(first.chain(last)));
    let echoed = async {
        let mut body = upload.open().await?.into_body();
        let frame = body.frame().await.context("the stream is empty")??;
        ensure!(frame.is_data(), "the first frame is no data");
        let _ = end.send(());
        let rest = body.collect().await?.to_bytes();
        ensure!(rest.ends_with(b"last"), "the rest is {rest:?}");
        Ok(())
    };
    let echoed = tokio::time::timeout(FIRST_CHUNK_DEADLINE, echoed).await;
    echoed.context("nothing came before the end")?
}

async fn cluster_functions_hide(context: &Context, image: &str) -> Result<()> {
    let route = json!({ "route": { "visibility": "Cluster" } });
    context.deploy("inner", image, &route).await?;
    let status = context
        .function("inner")
        .await?
        .status
        .context("a status")?;
    ensure!(
        status.url.is_none(),
        "a cluster function has the URL {:?}",
        status.url
    );
    let answer = context.get("inner", "/version").await?;
    ensure!(answer.status.as_u16() == 404, "outside: {}", answer.status);
    ensure!(
        answer.header("wasmfn-reason") == "NotFound",
        "outside: {answer:?}"
    );
    let internal = status
        .internal_url
        .context("a function has an internal URL")?;
    let seen = context.get_inside(&format!("{internal}/version")).await?;
    ensure!(seen.status == 200, "from a pod: {seen:?}");
    Ok(())
}
