//! What toolchains make of the examples is served: none emits a feature that is off.
#![allow(clippy::unwrap_used, reason = "what panics here fails a test")]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use bytes::Bytes;
use http_body_util::Full;
use serde_json::{Value, json};
use support::{World, client, client::Answer, guests};

/// Whether a program is there to build with.
fn has(program: &str, argument: &str) -> bool {
    Command::new(program)
        .arg(argument)
        .output()
        .is_ok_and(|output| output.status.success())
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

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
    if !has("go", "version") {
        eprintln!("Go is not installed: skipped");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cgi.wasm");
    run(Command::new("go")
        .args(["build", "-ldflags=-s -w", "-buildvcs=false", "-o"])
        .arg(&path)
        .arg(".")
        .env("GOOS", "wasip1")
        .env("GOARCH", "wasm")
        .current_dir(guests::root().join("examples/cgi-go")));
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

/// `wasi:http` 0.2.10 in `folder`, from the sources of the runtime's own dependency: the engine of
/// `componentize-js` dispatches `fetch` events of that version alone.
fn interfaces(folder: &Path) -> PathBuf {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(guests::root())
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages
        .iter()
        .find(|package| package["name"] == "wasmtime-wasi-http")
        .unwrap();
    let manifest = Path::new(package["manifest_path"].as_str().unwrap());
    let (from, to) = (manifest.with_file_name("wit"), folder.join("wit"));
    fs::create_dir_all(to.join("deps")).unwrap();
    for part in ["", "deps"] {
        for entry in fs::read_dir(from.join(part)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                let text = fs::read_to_string(entry.path()).unwrap();
                let to = to.join(part).join(entry.file_name());
                fs::write(to, text.replace("0.2.12", "0.2.10")).unwrap();
            }
        }
    }
    to
}

#[tokio::test(flavor = "multi_thread")]
async fn javascript_makes_components() {
    if !has("componentize-js", "--version") {
        eprintln!("componentize-js is not installed: skipped");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let source = r#"
addEventListener("fetch", (event) => event.respondWith(answer(event.request)));
async function answer(request) {
  const { pathname } = new URL(request.url);
  return new Response(`${request.method} ${pathname}\n${await request.text()}`);
}
"#;
    fs::write(folder.path().join("hello.js"), source).unwrap();
    run(Command::new("componentize-js")
        .args(["hello.js", "-n", "bindings", "-o", "hello.wasm", "--wit"])
        .arg(interfaces(folder.path()))
        .current_dir(folder.path()));
    let world = serve(guests::read(folder.path().join("hello.wasm")), Value::Null).await;
    let answer = post(&world, "/js?a=b", "body").await;
    assert_eq!(answer.text, "POST /js\nbody", "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn python_makes_components() {
    if !has("componentize-py", "--version") {
        eprintln!("componentize-py is not installed: skipped");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let source = r#"
from componentize_py_types import Ok
from wit_world import exports
from wit_world.imports.types import Fields, OutgoingBody, OutgoingResponse, ResponseOutparam


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request, response_out):
        consumed = request.consume()
        with consumed.stream() as incoming:
            body = incoming.blocking_read(100)
        response = OutgoingResponse(Fields())
        outgoing = response.body()
        ResponseOutparam.set(response_out, Ok(response))
        with outgoing.write() as stream:
            stream.blocking_write_and_flush(f"{request.path_with_query()}\n".encode() + body)
        OutgoingBody.finish(outgoing, None)
"#;
    fs::write(folder.path().join("hello.py"), source).unwrap();
    run(Command::new("componentize-py")
        .arg("-d")
        .arg(interfaces(folder.path()))
        .args([
            "-w",
            "bindings",
            "componentize",
            "hello",
            "-o",
            "hello.wasm",
        ])
        .current_dir(folder.path()));
    let world = serve(guests::read(folder.path().join("hello.wasm")), Value::Null).await;
    let answer = post(&world, "/py", "body").await;
    assert_eq!(answer.text, "/py\nbody", "{answer:?}");
}
