//! What a crash of the process leaves behind.
#![allow(clippy::unwrap_used, reason = "what panics here fails a test")]

mod support;

use std::sync::Arc;

use serde_json::json;
use support::{Plan, World, client, guests};

/// Starts the process again on what the one before left on disk.
async fn restart(before: World, ends_as_it_should: bool) -> World {
    if ends_as_it_should {
        before.runtime.end();
    }
    let plan = Plan {
        folder: Some(Arc::clone(&before.folder)),
        ..Plan::default()
    };
    let registry = Arc::clone(&before.registry);
    let functions = before.functions();
    drop(before);
    let mut world = World::with(plan, registry).await;
    world.restore_from(functions);
    world
}

/// Sends a request that is still running when the process ends.
async fn run(world: &World) {
    let address = world.address;
    tokio::spawn(async move {
        // It is cut off.
        let slow = tokio::spawn(client::get(address, "hello", "/slow?milliseconds=20000"));
        let _ = slow.await;
    });
    world.until("hello", |report| report.in_flight == 1).await;
}

async fn world() -> World {
    let mut world = World::new().await;
    world.registry.push("r/answer:1", guests::bytes("answer"));
    for name in ["hello", "neighbour"] {
        world.serve(name, json!({"image": "r/answer:1"})).await;
    }
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_runs_at_two_crashes_is_quarantined_until_its_spec_changes() {
    let mut world = world().await;
    for _ in 0..2 {
        world.loaded("hello").await;
        run(&world).await;
        world = restart(world, false).await;
    }
    let (word, message) = world.failed("hello").await;
    assert_eq!(word, "Quarantined");
    assert!(message.contains("crashed, twice"), "{message}");
    let refused = world.get("hello", "/").await;
    assert_eq!(refused.header("wasmfn-refused"), "Failed");
    world.loaded("neighbour").await;
    assert_eq!(world.get("neighbour", "/").await.status, 200);

    world = restart(world, true).await;
    assert_eq!(world.failed("hello").await.0, "Quarantined");
    world
        .serve(
            "hello",
            json!({"image": "r/answer:1", "limits": {"timeoutSeconds": 60}}),
        )
        .await;
    assert_eq!(world.get("hello", "/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_when_a_process_ends_as_it_should_is_not_to_blame() {
    let mut world = world().await;
    for _ in 0..3 {
        world.loaded("hello").await;
        run(&world).await;
        world = restart(world, true).await;
    }
    world.loaded("hello").await;
    assert_eq!(world.get("hello", "/").await.status, 200);
}
