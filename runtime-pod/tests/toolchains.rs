//! What toolchains make of the examples is served: none emits a feature that is off.
#![allow(clippy::unwrap_used, reason = "what panics here fails a test")]

mod support;

use std::{fs, path::Path, process::Command};

use bytes::Bytes;
use http_body_util::Full;
use serde_json::{Value, json};
use support::{
    World, client,
    client::Answer,
    foreign::{self, has, run},
    guests,
};

/// Requests after which instances have been asked more than once, on whichever thread.
const REUSED_REQUESTS: usize = 12;

async fn serve(module: Bytes, command: Value) -> World {
    let mut world = World::new().await;
    world.registry.push("r/guest:1", module);
    let mut spec = json!({"image": "r/guest:1"});
    if command != Value::Null {
        spec["command"] = command;
    }
    world.serve("hello", spec).await;
    world
}

async fn post(world: &World, path: &str, body: &'static str) -> Answer {
    let request = client::request("hello", path)
        .method("POST")
        .body(Full::new(Bytes::from(body)))
        .unwrap();
    client::read(client::send(world.address, request).await).await
}

/// Whether instances still serve one request after another where they were asked to, and have; clients
/// notice nothing, either way.
async fn is_reused(world: &mut World, path: &str) -> bool {
    let spec = json!({"image": "r/guest:1", "reuse": {}});
    world.serve("hello", spec).await;
    for _ in 0..REUSED_REQUESTS {
        let answer = world.get("hello", path).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        world.until("hello", |report| report.in_flight == 0).await;
    }
    let serving = world.report("hello").unwrap().serving;
    !serving.unwrap().not_reused
}

#[tokio::test(flavor = "multi_thread")]
async fn rust_makes_commands() {
    let folder = guests::build("examples/json-rust", "wasm32-wasip1");
    let module = guests::read(folder.join("json-rust.wasm"));
    let world = serve(module, json!({"contract": "JSON"})).await;
    let cart = r#"{"cart": {"lines": [{"id": "a", "quantity": 12}, {"id": "b", "quantity": 1}]}}"#;
    let answer = post(&world, "/", cart).await;
    let discounts: Value = serde_json::from_str(&answer.text).unwrap();
    assert_eq!(
        discounts,
        json!({"discounts": [{"line": "a", "percent": 15, "message": "15 % off for 12 pieces"}]})
    );
    let wrong = post(&world, "/", r#"{"cart": {}}"#).await;
    assert_eq!(wrong.header("wasmfn-reason"), "Trapped", "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn go_makes_commands() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = foreign::go(folder.path()) else {
        eprintln!("Go is not installed: skipped");
        return;
    };
    let world = serve(guests::read(path), Value::Null).await;
    let answer = post(&world, "/a%20b?name=Go", "and this").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert!(
        answer.text.starts_with("POST /a b from 127.0.0.1"),
        "{answer:?}"
    );
    assert!(answer.text.ends_with("Hello, Go!\nand this"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn c_makes_commands() {
    let has_library = Path::new("/usr/lib/wasm32-wasi/libc.a").exists()
        || Path::new("/usr/lib/wasm32-wasi/wasm32-wasi/libc.a").exists();
    if !has("clang", "--version") || !has_library {
        eprintln!("clang and wasi-libc are not installed: skipped");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("cgi.c");
    fs::write(
        &source,
        r#"#include <stdio.h>
#include <stdlib.h>
int main(void) {
  printf("Content-Type: text/plain\r\n\r\n%s %s\n", getenv("REQUEST_METHOD"), getenv("PATH_INFO"));
  for (int c; (c = getchar()) != EOF;) putchar(c);
}
"#,
    )
    .unwrap();
    let path = folder.path().join("cgi.wasm");
    run(Command::new("clang")
        .args(["--target=wasm32-wasi", "-O2", "-o"])
        .arg(&path)
        .arg(&source));
    let world = serve(guests::read(path), Value::Null).await;
    let answer = post(&world, "/c", "body").await;
    assert_eq!(answer.text, "POST /c\nbody", "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn javascript_makes_components() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = foreign::javascript(folder.path(), foreign::JAVASCRIPT) else {
        eprintln!("componentize-js is not installed: skipped");
        return;
    };
    let mut world = serve(guests::read(path), Value::Null).await;
    let answer = post(&world, "/js?a=b", "body").await;
    assert_eq!(answer.text, "POST /js\nbody", "{answer:?}");

    let other = foreign::javascript(folder.path(), foreign::OTHER_JAVASCRIPT).unwrap();
    world.registry.push("r/other:1", guests::read(other));
    world.serve("other", json!({"image": "r/other:1"})).await;
    assert_eq!(world.get("other", "/").await.text, "144\n");
    world.stored_code(2).await;
    assert_eq!(world.text_files().len(), 1, "the engine is the same");

    assert!(!is_reused(&mut world, "/js").await, "it serves twice now");
}

#[tokio::test(flavor = "multi_thread")]
async fn python_makes_components() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = foreign::python(folder.path()) else {
        eprintln!("componentize-py is not installed: skipped");
        return;
    };
    let mut world = serve(guests::read(path), Value::Null).await;
    let answer = post(&world, "/py", "body").await;
    assert_eq!(answer.text, "/py\nbody", "{answer:?}");
    assert!(is_reused(&mut world, "/py").await, "it was given up");
}
