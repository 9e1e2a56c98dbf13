//! From an image to a version that answers, and from one version to the next.
#![allow(clippy::unwrap_used, reason = "what panics here fails a test")]

mod support;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use serde_json::json;
use support::{Plan, World, client, guests};
use wasmfn_report::Load;

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_is_served_only_once_it_is_recorded() {
    let mut world = World::new().await;
    assert_eq!(
        world.get("hello", "/").await.header("wasmfn-refused"),
        "Unknown"
    );
    let digest = world.registry.push("r/hello:1", guests::bytes("v1"));
    world.apply("hello", json!({"image": "r/hello:1"}));
    // It is prepared ahead, but not served.
    let report = world
        .until("hello", |report| {
            report.resolution.is_some() && report.load == Load::Waiting
        })
        .await;
    assert_eq!(report.resolution.unwrap().digest, digest);
    assert_eq!(report.serving, None);
    let refused = world.get("hello", "/version").await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("wasmfn-refused"), "Loading");

    world.record("hello").await;
    let report = world.loaded("hello").await;
    assert_eq!(report.serving.unwrap().digest, digest);
    assert_eq!(report.resolution, None);
    assert_eq!(world.get("hello", "/version").await.text, "v1\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_takes_over_while_requests_under_way_finish_on_the_old() {
    let mut world = World::new().await;
    world.registry.push("r/hello:1", guests::bytes("v1"));
    world.registry.push("r/hello:2", guests::bytes("v2"));
    world.serve("hello", json!({"image": "r/hello:1"})).await;
    let address = world.address;
    let slow =
        tokio::spawn(async move { client::get(address, "hello", "/slow?milliseconds=4000").await });
    world.until("hello", |report| report.in_flight == 1).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let traffic: Vec<_> = (0..4)
        .map(|_| {
            let is_over = Arc::clone(&is_over);
            tokio::spawn(async move {
                let mut seen = Vec::new();
                while !is_over.load(Ordering::SeqCst) {
                    let answer = client::get(address, "hello", "/version").await;
                    assert_eq!(answer.status, 200, "{answer:?}");
                    seen.push(answer.text);
                }
                seen
            })
        })
        .collect();

    world.serve("hello", json!({"image": "r/hello:2"})).await;
    assert_eq!(world.get("hello", "/version").await.text, "v2\n");
    is_over.store(true, Ordering::SeqCst);
    for seen in traffic {
        let mut seen = seen.await.unwrap();
        seen.dedup();
        let expected: [&[&str]; 3] = [&["v1\n", "v2\n"], &["v1\n"], &["v2\n"]];
        assert!(expected.iter().any(|order| seen == *order), "{seen:?}");
    }
    let slow = slow.await.unwrap();
    assert_eq!(slow.status, 200);
    assert_eq!(slow.header("x-guest-version"), "v1");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_load_says_why_and_leaves_the_old_version_serving() {
    let mut world = World::new().await;
    world.registry.push("r/hello:1", guests::bytes("v1"));
    world.serve("hello", json!({"image": "r/hello:1"})).await;
    let cases = [
        ("text", "not found".as_bytes().to_vec(), "NotWasm"),
        ("native", b"\x7fELF\x02".to_vec(), "NativeCode"),
        ("core", core_module(), "WrongExports"),
        (
            "import",
            guests::bytes("missing-import").to_vec(),
            "MissingImport",
        ),
        (
            "broken",
            b"\0asm\x0d\0\x01\0rubbish".to_vec(),
            "CompileFailed",
        ),
    ];
    for (tag, bytes, reason) in cases {
        let image = format!("r/hello:{tag}");
        world.registry.push(&image, bytes.into());
        world.apply("hello", json!({"image": image}));
        let (word, message) = world.failed("hello").await;
        assert_eq!(word, reason, "{message}");
        assert!(message.len() > 20, "{message}");
        assert_eq!(world.get("hello", "/version").await.text, "v1\n");
    }
    world.apply("hello", json!({"image": "r/hello:nowhere"}));
    let (word, _) = world.failed("hello").await;
    assert_eq!(word, "ImageNotFound");
    assert_eq!(world.get("hello", "/version").await.text, "v1\n");

    world.serve("hello", json!({"image": "r/hello:1"})).await;
    world.apply("fresh", json!({"image": "r/hello:text"}));
    world.failed("fresh").await;
    let refused = world.get("fresh", "/").await;
    assert_eq!(refused.header("wasmfn-refused"), "Failed");
    assert_eq!(refused.header("wasmfn-reason"), "LoadFailed");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_settings_take_effect_without_another_pull() {
    let mut world = World::new().await;
    world.registry.push("r/answer:1", guests::bytes("answer"));
    let spec = |value: &str| json!({"image": "r/answer:1", "env": [{"name": "A", "value": value}]});
    world.serve("hello", spec("one")).await;
    assert_eq!(world.get("hello", "/env/A").await.text, "one\n");
    world.serve("hello", spec("two")).await;
    assert_eq!(world.get("hello", "/env/A").await.text, "two\n");
    assert_eq!(world.registry.pulls(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_comes_back_is_noticed() {
    let mut world = World::new().await;
    world.registry.push("r/hello:1", guests::bytes("v1"));
    world.registry.away(true);
    world.apply("hello", json!({"image": "r/hello:1"}));
    let (word, _) = world.failed("hello").await;
    assert_eq!(word, "RegistryUnavailable");
    world.registry.away(false);
    world.record("hello").await;
    world.loaded("hello").await;
    assert_eq!(world.get("hello", "/version").await.text, "v1\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_pod_serves_with_the_registry_away() {
    let mut world = World::new().await;
    world.registry.push("r/hello:1", guests::bytes("v1"));
    world.serve("hello", json!({"image": "r/hello:1"})).await;
    world.stored_modules(1).await;

    world.registry.away(true);
    let plan = Plan {
        folder: Some(Arc::clone(&world.folder)),
        ..Plan::default()
    };
    let mut restarted = World::with(plan, Arc::clone(&world.registry)).await;
    restarted.restore(&world);
    restarted.loaded("hello").await;
    assert_eq!(restarted.get("hello", "/version").await.text, "v1\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_secret_stops_its_own_function_until_it_comes() {
    let mut world = World::new().await;
    world.registry.push("r/answer:1", guests::bytes("answer"));
    world.serve("other", json!({"image": "r/answer:1"})).await;
    let reference = json!({"secretKeyRef": {"name": "token", "key": "value"}});
    world.apply(
        "hello",
        json!({
            "image": "r/answer:1",
            "env": [{"name": "TOKEN", "valueFrom": reference}],
        }),
    );
    world.record("hello").await;
    let (word, message) = world.failed("hello").await;
    assert_eq!(word, "MissingSecret");
    assert!(
        message.contains("`token`") && message.contains("`value`"),
        "{message}"
    );
    assert_eq!(world.get("other", "/").await.status, 200);

    world.secret("token", "value", "first");
    world.loaded("hello").await;
    assert_eq!(world.get("hello", "/env/TOKEN").await.text, "first\n");

    world.secret("token", "value", "second");
    let mut changes = world.runtime.picture().changes().follow();
    while world.get("hello", "/env/TOKEN").await.text != "second\n" {
        changes.changed().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_is_gone_goes_on_for_a_while() {
    let mut world = World::new().await;
    world.registry.push("r/hello:1", guests::bytes("v1"));
    world.serve("hello", json!({"image": "r/hello:1"})).await;
    world.delete("hello");
    assert_eq!(world.get("hello", "/version").await.status, 200);
    let mut changes = world.runtime.picture().changes().follow();
    while world.report("hello").is_some() {
        changes.changed().await.unwrap();
    }
    let refused = world.get("hello", "/version").await;
    assert_eq!(refused.header("wasmfn-refused"), "Unknown");
}

/// A core module that exports one function.
fn core_module() -> Vec<u8> {
    wat::parse_str("(module (func (export \"add\")))").unwrap()
}
