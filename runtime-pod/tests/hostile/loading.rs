//! Modules that are a bomb before anything runs.

use bytes::Bytes;
use serde_json::json;

use super::{
    cases::{Arena, HOSTILE, NEIGHBOUR},
    wat::{component, handler},
};

/// What no slot holds, whatever the limits of a request: refused when it is compiled, or when its
/// code finds no slot to fit.
fn bombs() -> Vec<(&'static str, Bytes, &'static str)> {
    let instances: String = (0..100)
        .map(|index| format!("(core instance $i{index} (instantiate $module))"))
        .collect();
    let instances = component(&format!(
        r#"(core module $module (func (export "handle") (param i32 i32))) {instances}"#
    ));
    let memories = handler(&"(memory 1)".repeat(40), "");
    let tables = handler(&"(table 1 funcref)".repeat(100), "");
    vec![
        ("memories", memories, "LoadFailed"),
        ("tables", tables, "LoadFailed"),
        (
            "one-table",
            handler("(table 10000000 funcref)", ""),
            "LoadFailed",
        ),
        ("instances", instances, "LoadFailed"),
        (
            "shared-memory",
            handler("(memory 1 1 shared)", ""),
            "CompileFailed",
        ),
        ("memory64", handler("(memory i64 1)", ""), "CompileFailed"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_slot_holds_is_not_loaded_and_harms_nobody() {
    let mut arena = Arena::new().await;
    for (name, module, expected) in bombs() {
        let image = format!("r/{name}:1");
        arena.world.registry.push(&image, module);
        arena.world.apply(HOSTILE, json!({"image": image}));
        arena.world.record(HOSTILE).await;
        let (reason, message) = arena.world.failed(HOSTILE).await;
        assert_eq!(reason, expected, "{name}: {message}");
        let answer = arena.world.get(NEIGHBOUR, "/").await;
        assert_eq!(answer.status, 200, "{name}");
    }
}
