//! `wasmfn run` from the command line's arguments to an answer over HTTP.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wasmfn::arguments::{Arguments, Command, Run};
use wasmfn::run::{self, RunError};
use wasmfn_runtime::compile::Program;

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/hello")
}

fn command_example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/json-rust")
}

fn arguments(subject: &Path, more: &[&str]) -> Run {
    let mut words = vec!["wasmfn", "run", subject.to_str().expect("the path is text")];
    words.extend(more);
    match Arguments::parse_from(words).command {
        Command::Run(arguments) => arguments,
        Command::Push(_) => panic!("it is none of these"),
    }
}

fn compiler() -> Program {
    Program::Path(env!("CARGO_BIN_EXE_wasmfn").into())
}

async fn get(address: SocketAddr, path: &str) -> String {
    ask(address, &format!("GET {path}"), "").await
}

async fn ask(address: SocketAddr, line: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let length = body.len();
    let request = format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream
        .write_all(request.as_bytes())
        .await
        .expect("it reads");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .await
        .expect("it answers");
    answer
}

async fn failure(arguments: &Run) -> String {
    let error: RunError = match run::start(arguments, compiler()).await {
        Ok(local) => panic!("it serves at {}", local.address()),
        Err(error) => error,
    };
    format!("{:#}", anyhow::Error::new(error))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_is_built_and_served() {
    let local = run::start(&arguments(&example(), &["--port", "0"]), compiler())
        .await
        .unwrap();
    let answer = get(local.address(), "/reader").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("Hello, reader!"), "{answer}");
    local.close(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_built_and_served_under_its_contract() {
    let local = run::start(&arguments(&command_example(), &["--port", "0"]), compiler())
        .await
        .unwrap();
    let cart = r#"{"cart": {"lines": [{"id": "1", "quantity": 12}]}}"#;
    let answer = ask(local.address(), "POST /", cart).await;
    assert!(answer.contains("15 % off for 12 pieces"), "{answer}");
    let refused = get(local.address(), "/").await;
    assert!(refused.contains("BadRequest"), "{refused}");
    local.close(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_said_with_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join("empty.wasm");
    std::fs::write(&module, b"\0asm\x0d\0\x01\0").unwrap();
    let said = failure(&arguments(&module, &["--port", &port.to_string()])).await;
    assert!(
        said.contains(&port.to_string()) && said.contains("--port"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_module_is_refused_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join("notes.wasm");
    for (bytes, word) in [
        (&b"just some text, and no module"[..], "NotWasm"),
        (
            b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0",
            "NativeCode",
        ),
        (b"\0asm\x0d\0\x01\0", "WrongExports"),
    ] {
        std::fs::write(&module, bytes).unwrap();
        let said = failure(&arguments(&module, &["--port", "0"])).await;
        assert!(said.contains("notes.wasm") && said.contains(word), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_field_is_said_before_anything_is_built() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("function.yaml");
    let text = "apiVersion: wasmfn.dev/v1alpha1\nkind: WasmFunction\nmetadata: { name: a }\nspec: { limit: {} }\n";
    std::fs::write(&file, text).unwrap();
    let said = failure(&arguments(&example(), &["-f", file.to_str().unwrap()])).await;
    assert!(said.contains("`spec.limit` is unknown"), "{said}");
}
