//! What functions cost that nobody asks for: a measurement, run by hand.
#![allow(clippy::unwrap_used, reason = "what panics here fails a test")]
#![allow(clippy::print_stdout, reason = "it prints what it measured")]

mod support;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use support::{Plan, World, registry::Shelf};
use wasmfn_crds::{WasmFunction, status::Resolved};
use wasmfn_runtime::{compile::Program, metrics::LoadedFrom};

/// Functions, each with a module of its own, unless `WASMFN_FUNCTIONS` says how many.
const FUNCTIONS: usize = 5000;

/// A component that handles requests, different for each number.
fn module(number: usize) -> Vec<u8> {
    let text = format!(
        r#"(component
        (import "wasi:http/types@0.2.0" (instance $types
            (export "incoming-request" (type (sub resource)))
            (export "response-outparam" (type (sub resource)))))
        (alias export $types "incoming-request" (type $request))
        (alias export $types "response-outparam" (type $outparam))
        (core module $module
            (memory (export "memory") 2)
            (data (i32.const 8) "function {number}")
            (func (export "handle") (param i32 i32)))
        (core instance $instance (instantiate $module))
        (func $handle
            (param "request" (own $request)) (param "response-out" (own $outparam))
            (canon lift (core func $instance "handle")))
        (instance $handler (export "handle" (func $handle)))
        (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"#
    );
    wat::parse_str(text).unwrap()
}

fn function(name: &str, image: &str, digest: &str) -> WasmFunction {
    let mut function: WasmFunction = serde_json::from_value(json!({
        "apiVersion": "wasmfn.dev/v1alpha1",
        "kind": "WasmFunction",
        "metadata": {
            "namespace": "team",
            "name": name,
            "uid": format!("uid-{name}"),
            "generation": 1,
        },
        "spec": {"image": image},
    }))
    .unwrap();
    let status = function.status.get_or_insert_default();
    status.resolved = Some(Resolved::new(image, "", digest));
    function
}

/// Private memory of this process, in KiB.
fn private_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    text.lines()
        .filter(|line| line.starts_with("Private_"))
        .map(|line| -> u64 { line.split_whitespace().nth(1).unwrap().parse().unwrap() })
        .sum()
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(1800);
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement of some minutes"]
async fn idle_functions_cost_a_file_and_little_memory() {
    let count = std::env::var("WASMFN_FUNCTIONS")
        .ok()
        .map_or(FUNCTIONS, |text| text.parse().unwrap());
    let registry = Arc::new(Shelf::default());
    let mut functions = BTreeMap::new();
    for number in 0..count {
        let (name, image) = (format!("f{number}"), format!("r/f{number}:1"));
        let digest = registry.push(&image, module(number).into());
        functions.insert(name.clone(), function(&name, &image, &digest));
    }
    let plan = |folder| Plan {
        // All of them fit into the quarter that is for mapped modules.
        memory_budget_bytes: 32 << 30,
        compiler: Program::InProcess,
        folder,
        ..Plan::default()
    };
    let mut first = World::with(plan(None), Arc::clone(&registry)).await;
    first.restore_from(functions.clone());
    until("all are compiled", || {
        first.runtime.metrics().loads(LoadedFrom::Compiler) == count as u64
    })
    .await;
    first.stored_code(count).await;
    let folder = Arc::clone(&first.folder);
    drop(first);

    let mut world = World::with(plan(Some(folder)), registry).await;
    world.restore_from(BTreeMap::from([("f0".to_owned(), functions["f0"].clone())]));
    world.until("f0", |report| report.serving.is_some()).await;
    world.runtime.unmap_all();
    let empty = private_kib();

    let began = Instant::now();
    world.restore_from(functions);
    until("all are loaded", || {
        world.runtime.metrics().loads(LoadedFrom::Disk) == count as u64
    })
    .await;
    let loaded = began.elapsed();
    let mapped = private_kib();
    world.runtime.unmap_all();
    let idle = private_kib();
    let each = |kib: u64| kib.saturating_sub(empty) as f64 / count as f64;
    println!(
        "{count} functions, loaded from disk in {} ms; private memory of the process: {} MiB with \
         one; {} MiB with all mapped ({:.1} KiB each); {} MiB with all idle ({:.1} KiB each)",
        loaded.as_millis(),
        empty >> 10,
        mapped >> 10,
        each(mapped),
        idle >> 10,
        each(idle),
    );
    assert!(idle < mapped);
}
