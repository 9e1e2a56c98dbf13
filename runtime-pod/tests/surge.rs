//! How soon a pod that starts beside another one serves functions in JavaScript, the largest that there
//! are: a measurement, run by hand, with `componentize-js` on the path.
#![allow(clippy::unwrap_used, reason = "what panics here fails a test")]
#![allow(clippy::print_stdout, reason = "it prints what it measured")]

mod support;

use std::{
    fs::Permissions,
    net::SocketAddr,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::future::join_all;
use serde_json::json;
use support::{Plan, World, client, compiler, foreign, functions_or, no_compiler, registry::Shelf};
use wasmfn_runtime::{compile::Program, metrics::LoadedFrom};

/// Functions, each with a module of its own, unless `WASMFN_FUNCTIONS` says how many.
const FUNCTIONS: usize = 100;
/// Between two requests of a client: a hundred of them must not be what keeps the pod busy.
const PAUSE: Duration = Duration::from_millis(50);
/// Time for an answer; what takes longer fails.
const PATIENCE: Duration = Duration::from_secs(300);

fn names() -> Vec<String> {
    let numbers = 0..functions_or(FUNCTIONS);
    numbers.map(|number| format!("f{number}")).collect()
}

/// `component` with a section that differs for each name, and so another digest.
fn variant(component: &[u8], name: &str) -> Bytes {
    let length = u8::try_from(name.len()).unwrap();
    let section = [&[0, length + 1, length], name.as_bytes()].concat();
    [component, &section].concat().into()
}

/// A compiler that does its work once: the functions' modules differ in what no code is made of.
fn compiler_that_remembers(folder: &Path) -> Program {
    let Program::Path(compiler) = compiler() else {
        unreachable!("tests compile in a child")
    };
    let (script, code) = (folder.join("compiler"), folder.join("compiled"));
    let text = format!(
        "#!/bin/sh\ncode={}\nif [ -e $code ]; then cat >/dev/null; else {} \"$@\" >$code; fi\nexec cat $code\n",
        code.display(),
        compiler.display(),
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
    Program::Path(script)
}

/// Asks until the function answers, and says when it did.
async fn answered(address: SocketAddr, name: &str) -> Instant {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = client::get(address, name, "/hello").await;
        if answer.status == 200 {
            assert_eq!(answer.text, "GET /hello\n");
            return Instant::now();
        }
        assert_eq!(answer.header("wasmfn-refused"), "Loading", "{answer:?}");
        assert!(Instant::now() < deadline, "{name} never answers");
        tokio::time::sleep(PAUSE).await;
    }
}

/// An old pod that serves all of them.
async fn old_pod(component: &[u8], names: &[String], compiler: Program) -> World {
    let plan = Plan {
        compiler,
        ..Plan::default()
    };
    let mut old = World::with(plan, Arc::new(Shelf::default())).await;
    for (number, name) in names.iter().enumerate() {
        let image = format!("r/{name}:1");
        old.registry.push(&image, variant(component, name));
        old.serve(name, json!({ "image": image })).await;
        old.stored_code(number + 1).await;
    }
    old
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement of several minutes"]
async fn a_pod_beside_another_serves_javascript_without_compiling() {
    let folder = tempfile::tempdir().unwrap();
    let component = foreign::javascript(folder.path(), foreign::JAVASCRIPT)
        .expect("componentize-js is on the path");
    let (component, names) = (std::fs::read(component).unwrap(), names());
    let mut old = old_pod(&component, &names, compiler_that_remembers(folder.path())).await;
    let files = [old.code_files(), old.text_files()].concat();
    let code_bytes: u64 = files
        .iter()
        .map(|file| file.metadata().unwrap().blocks() * 512)
        .sum();
    old.registry.away(true);
    // The old pod has been there for long: the disk is not busy with what it wrote.
    rustix::fs::sync();
    let plan = Plan {
        siblings: Some(vec![old.module_port().await]),
        compiler: no_compiler(),
        ..Plan::default()
    };

    let began = Instant::now();
    let mut new = World::with(plan, Arc::clone(&old.registry)).await;
    new.restore(&old);
    let mut times: Vec<_> = join_all(names.iter().map(|name| answered(new.address, name)))
        .await
        .into_iter()
        .map(|at| (at - began).as_millis())
        .collect();
    times.sort_unstable();
    println!(
        "{} functions of {} KiB, {} MiB of code: first answers {} ms (first), {} ms (half of them), {} ms \
         (last) after the pod's start",
        names.len(),
        component.len() >> 10,
        code_bytes >> 20,
        times[0],
        times[times.len() / 2],
        times[times.len() - 1],
    );
    assert_eq!(
        new.runtime.metrics().loads(LoadedFrom::Sibling),
        names.len() as u64
    );
}
