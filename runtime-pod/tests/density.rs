//! What functions cost that nobody asks for: a measurement, run by hand.
#![allow(clippy::unwrap_used, reason = "what panics here fails a test")]
#![allow(clippy::print_stdout, reason = "it prints what it measured")]

mod support;

use std::{
    collections::BTreeMap,
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use support::{Plan, World, functions_or, registry::Shelf};
use tempfile::TempDir;
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

/// The memory budget of the measuring process, in bytes.
const BUDGET: &str = "WASMFN_DENSITY_BUDGET";
/// That of a pod of 512 MiB: a fifth of the functions may be mapped at the same time.
const POD_BUDGET_BYTES: u64 = 410 << 20;
/// All functions fit into the quarter of it that is for mapped modules.
const AMPLE_BUDGET_BYTES: u64 = 32 << 30;
/// Where the measuring process finds the code that the first one has made.
const FOLDER: &str = "WASMFN_DENSITY_FOLDER";

fn count() -> usize {
    functions_or(FUNCTIONS)
}

fn plan(memory_budget_bytes: u64, folder: Option<Arc<TempDir>>) -> Plan {
    Plan {
        memory_budget_bytes,
        compiler: Program::InProcess,
        folder,
        ..Plan::default()
    }
}

fn functions(registry: &Shelf) -> BTreeMap<String, WasmFunction> {
    let numbers = 0..count();
    let made = numbers.map(|number| {
        let (name, image) = (format!("f{number}"), format!("r/f{number}:1"));
        let digest = registry.push(&image, module(number).into());
        let function = function(&name, &image, &digest);
        (name, function)
    });
    made.collect()
}

/// Makes the code of all functions, then measures in a process that has done nothing else.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement of a minute"]
async fn idle_functions_cost_a_file_and_little_memory() {
    if let Ok(folder) = std::env::var(FOLDER) {
        let budget = std::env::var(BUDGET).unwrap().parse().unwrap();
        measure(Path::new(&folder), budget).await;
        return;
    }
    let registry = Arc::new(Shelf::default());
    let functions = functions(&registry);
    let mut world = World::with(plan(POD_BUDGET_BYTES, None), registry).await;
    world.restore_from(functions);
    until("all are compiled", || {
        world.runtime.metrics().loads(LoadedFrom::Compiler) == count() as u64
    })
    .await;
    world.stored_code(count()).await;
    for budget in [POD_BUDGET_BYTES, AMPLE_BUDGET_BYTES] {
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--nocapture"])
            .env(FOLDER, world.folder.path())
            .env(BUDGET, budget.to_string())
            .status();
        assert!(status.unwrap().success());
    }
}

async fn measure(made: &Path, budget_bytes: u64) {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let code = folder.path().join("code");
    std::fs::create_dir(&code).unwrap();
    for file in std::fs::read_dir(made.join("code")).unwrap() {
        let file = file.unwrap();
        std::fs::hard_link(file.path(), code.join(file.file_name())).unwrap();
    }
    let registry = Arc::new(Shelf::default());
    let functions = functions(&registry);
    let mut world = World::with(plan(budget_bytes, Some(folder)), registry).await;
    let one = BTreeMap::from([("f0".to_owned(), functions["f0"].clone())]);
    world.restore_from(one);
    world.until("f0", |report| report.serving.is_some()).await;
    let empty = private_kib();

    let began = Instant::now();
    world.restore_from(functions);
    until("all are loaded", || {
        world.runtime.metrics().loads(LoadedFrom::Disk) == count() as u64
    })
    .await;
    let loaded = began.elapsed();
    let mapped = private_kib();
    world.runtime.unmap_all();
    let idle = private_kib();
    let each = |kib: u64| kib.saturating_sub(empty) as f64 / count() as f64;
    println!(
        "{} functions in a budget of {} MiB, loaded from disk in {} ms; private memory of the \
         process: {} MiB with one function; {} MiB with all loaded ({:.1} KiB each); {} MiB with \
         none mapped ({:.1} KiB each)",
        count(),
        budget_bytes >> 20,
        loaded.as_millis(),
        empty >> 10,
        mapped >> 10,
        each(mapped),
        idle >> 10,
        each(idle),
    );
    assert!(each(mapped) < 1024.0, "more than a megabyte each");
}
