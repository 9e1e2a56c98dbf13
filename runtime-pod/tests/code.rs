//! Compiled code: made once, under limits, and passed on.
#![allow(clippy::unwrap_used, reason = "what panics here fails a test")]

mod support;

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::process::ExitStatusExt,
    process::{Command, Output, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use support::{PATIENCE, Plan, World, guests, large::bomb, no_compiler, registry::Shelf};
use tokio::time::timeout;
use wasmfn_runtime::metrics::LoadedFrom;

const MIB: u64 = 1 << 20;

/// Runs the child itself, as a pod does.
fn child(module: &[u8], memory_bytes: u64, cpu_seconds: u64) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_wasmfn-runtime"))
        .args([
            "compile-one-module",
            &memory_bytes.to_string(),
            &cpu_seconds.to_string(),
            "0.2",
            "false",
        ])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let module = module.to_vec();
    let feeding = std::thread::spawn(move || stdin.write_all(&module));
    let output = child.wait_with_output().unwrap();
    // A child that was ended did not read it all.
    let _ = feeding.join().unwrap();
    output
}

#[test]
fn a_child_compiles_within_its_limits() {
    let output = child(&bomb(7000), 256 * MIB, 60);
    assert!(output.status.success(), "{output:?}");
    assert!(output.stdout.starts_with(b"\x7fELF"));
}

#[test]
fn a_child_that_computes_too_long_is_ended_by_the_kernel() {
    const SIGXCPU: i32 = 24;
    let output = child(&bomb(1_000_000), 4096 * MIB, 1);
    assert_eq!(output.status.signal(), Some(SIGXCPU), "{:?}", output.status);
}

#[test]
fn a_child_that_takes_too_much_memory_gets_none() {
    let output = child(&bomb(300_000), 96 * MIB, 600);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("memory allocation of"), "{said}");
}

/// Fields of a process's state from the third on, while it is there.
fn state(pid: u32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    Some(fields.split(' ').map(str::to_owned).collect())
}

#[test]
fn a_child_ends_with_its_parent() {
    // The shell is the parent; the child waits for a module that never comes.
    let script = r#"exec 3<&0; "$0" compile-one-module 100000000 60 0.2 false <&3 & echo $!; wait"#;
    let mut parent = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_wasmfn-runtime")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let _module = parent.stdin.take().unwrap();
    let mut pid = String::new();
    BufReader::new(parent.stdout.take().unwrap())
        .read_line(&mut pid)
        .unwrap();
    let pid: u32 = pid.trim().parse().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let until = |what: &str, is_so: &dyn Fn(Option<Vec<String>>) -> bool| {
        while !is_so(state(pid)) {
            assert!(Instant::now() < deadline, "never {what}: {:?}", state(pid));
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    // Its niceness is the last of the limits that it sets itself.
    let before = state(parent.id()).unwrap()[16].clone();
    until("limited", &|state| {
        state.is_some_and(|fields| fields[16] != before)
    });
    parent.kill().unwrap();
    parent.wait().unwrap();
    until("gone", &|state| state.is_none_or(|fields| fields[0] == "Z"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_is_too_costly_to_compile_is_said_to_be_and_harms_nobody() {
    let plan = Plan {
        memory_budget_bytes: 100 * MIB,
        ..Plan::default()
    };
    let mut world = World::with(plan, Arc::new(Shelf::default())).await;
    world.registry.push("r/hello:1", guests::bytes("v1"));
    world.registry.push("r/bomb:1", bomb(400_000).into());
    world.serve("hello", json!({"image": "r/hello:1"})).await;
    world.apply("bomb", json!({"image": "r/bomb:1"}));
    let (word, message) = world.failed("bomb").await;
    assert_eq!(word, "CompileFailed");
    assert!(
        message.contains("memory to compile") && message.contains("MiB"),
        "{message}"
    );
    assert_eq!(world.get("hello", "/version").await.text, "v1\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_pod_compiles_nothing() {
    let mut world = World::new().await;
    world.registry.push("r/hello:1", guests::bytes("v1"));
    world.serve("hello", json!({"image": "r/hello:1"})).await;
    assert_eq!(world.get("hello", "/version").await.text, "v1\n");
    world.stored_code(1).await;

    world.registry.away(true);
    let plan = Plan {
        folder: Some(Arc::clone(&world.folder)),
        compiler: no_compiler(),
        ..Plan::default()
    };
    let mut restarted = World::with(plan, Arc::clone(&world.registry)).await;
    restarted.restore(&world);
    restarted.loaded("hello").await;
    assert_eq!(restarted.get("hello", "/version").await.text, "v1\n");
    assert_eq!(restarted.runtime.metrics().loads(LoadedFrom::Disk), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_code_is_made_again() {
    let mut world = World::new().await;
    world.registry.push("r/hello:1", guests::bytes("v1"));
    world.serve("hello", json!({"image": "r/hello:1"})).await;
    world.stored_code(1).await;
    for file in world.code_files() {
        let mut bytes = std::fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, bytes).unwrap();
    }
    let plan = Plan {
        folder: Some(Arc::clone(&world.folder)),
        ..Plan::default()
    };
    let mut restarted = World::with(plan, Arc::clone(&world.registry)).await;
    restarted.restore(&world);
    restarted.loaded("hello").await;
    assert_eq!(restarted.get("hello", "/version").await.text, "v1\n");
    let metrics = restarted.runtime.metrics();
    assert_eq!(metrics.loads(LoadedFrom::Disk), 0);
    assert_eq!(metrics.loads(LoadedFrom::Compiler), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_pod_copies_from_an_old_one_and_compiles_nothing() {
    let mut old = World::new().await;
    for (name, guest) in [("one", "v1"), ("two", "v2")] {
        let image = format!("r/{name}:1");
        old.registry.push(&image, guests::bytes(guest));
        old.serve(name, json!({ "image": image })).await;
    }
    old.stored_code(2).await;
    old.registry.away(true);

    let plan = Plan {
        siblings: Some(vec![old.module_port().await]),
        compiler: no_compiler(),
        ..Plan::default()
    };
    let mut new = World::with(plan, Arc::clone(&old.registry)).await;
    new.restore(&old);
    for (name, text) in [("one", "v1\n"), ("two", "v2\n")] {
        new.loaded(name).await;
        assert_eq!(new.get(name, "/version").await.text, text);
    }
    assert_eq!(new.runtime.metrics().loads(LoadedFrom::Sibling), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_pods_one_compiles() {
    let mut first = World::new().await;
    let port = first.module_port().await;
    let plan = Plan {
        siblings: Some(vec![port]),
        ..Plan::default()
    };
    let mut second = World::with(plan, Arc::clone(&first.registry)).await;
    first.registry.push("r/hello:1", guests::bytes("answer"));
    first.apply("hello", json!({"image": "r/hello:1"}));
    first.record("hello").await;
    // Only the second pod asks the other: it finds one that makes the code, or has it.
    first
        .until("hello", |report| {
            matches!(
                report.load,
                wasmfn_report::Load::Compiling | wasmfn_report::Load::Loaded
            )
        })
        .await;
    second.restore(&first);
    first.loaded("hello").await;
    second.loaded("hello").await;
    let compiled = |world: &World| world.runtime.metrics().loads(LoadedFrom::Compiler);
    assert_eq!((compiled(&first), compiled(&second)), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_is_gone_is_loaded_again() {
    let mut world = World::new().await;
    world.registry.push("r/hello:1", guests::bytes("v1"));
    world.serve("hello", json!({"image": "r/hello:1"})).await;
    world.stored_code(1).await;
    for file in world.code_files() {
        std::fs::remove_file(file).unwrap();
    }
    // As after a minute of quiet. The code itself knows a moment after the file is there that it is.
    let refused = timeout(PATIENCE, async {
        loop {
            world.runtime.unmap_all();
            let answer = world.get("hello", "/version").await;
            if answer.status != 200 {
                break answer;
            }
        }
    });
    let refused = refused.await.unwrap();
    assert_eq!(refused.header("wasmfn-refused"), "Loading");
    world
        .until("hello", |_| {
            world.runtime.metrics().loads(LoadedFrom::Compiler) == 2
        })
        .await;
    world.loaded("hello").await;
    assert_eq!(world.get("hello", "/version").await.text, "v1\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn modules_that_wait_to_be_compiled_are_pulled_once() {
    const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let mut world = World::new().await;
    for name in NAMES {
        let image = format!("r/{name}:1");
        // A section that means nothing makes each another module.
        let section = [&[0, 2, 1][..], name.as_bytes()].concat();
        let module = [&guests::bytes("v1")[..], &section].concat();
        world.registry.push(&image, module.into());
        world.apply(name, json!({ "image": image }));
    }
    for name in NAMES {
        world.record(name).await;
        world.loaded(name).await;
        assert_eq!(world.get(name, "/version").await.text, "v1\n");
    }
    assert_eq!(world.registry.pulls(), NAMES.len());
    let loads = world.runtime.metrics().loads(LoadedFrom::Compiler);
    assert_eq!(loads, NAMES.len() as u64);
}
