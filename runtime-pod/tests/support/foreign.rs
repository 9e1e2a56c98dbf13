//! Functions in other languages than Rust, built with their toolchains where these are installed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// Answers with method, path and body.
pub const JAVASCRIPT: &str = r#"
addEventListener("fetch", (event) => event.respondWith(answer(event.request)));
async function answer(request) {
  const { pathname } = new URL(request.url);
  return new Response(`${request.method} ${pathname}\n${await request.text()}`);
}
"#;

/// Answers with what it has counted when it was built.
pub const OTHER_JAVASCRIPT: &str = r#"
const squares = new Map(Array.from({ length: 2000 }, (_, i) => [`of ${i}`, i * i]));
addEventListener("fetch", (event) => event.respondWith(new Response(`${squares.get("of 12")}\n`)));
"#;

/// Answers with path, query and body.
const PYTHON: &str = r#"
from componentize_py_types import Ok
from wit_world import exports
from wit_world.imports.types import Fields, OutgoingBody, OutgoingResponse, ResponseOutparam


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request, response_out):
        consumed = request.consume()
        body = b""
        with consumed.stream() as incoming:
            try:
                body = incoming.blocking_read(100)
            except Exception:
                pass
        response = OutgoingResponse(Fields())
        outgoing = response.body()
        ResponseOutparam.set(response_out, Ok(response))
        with outgoing.write() as stream:
            stream.blocking_write_and_flush(f"{request.path_with_query()}\n".encode() + body)
        OutgoingBody.finish(outgoing, None)
"#;

/// The component that `componentize-js` makes of `source`, in `folder`; none where that is not
/// installed.
pub fn javascript(folder: &Path, source: &str) -> Option<PathBuf> {
    has("componentize-js", "--version").then(|| {
        fs::write(folder.join("hello.js"), source).unwrap();
        run(Command::new("componentize-js")
            .args(["hello.js", "-n", "bindings", "-o", "hello.wasm", "--wit"])
            .arg(interfaces(folder))
            .current_dir(folder));
        folder.join("hello.wasm")
    })
}

/// The component that `componentize-py` makes, in `folder`; none where that is not installed.
pub fn python(folder: &Path) -> Option<PathBuf> {
    has("componentize-py", "--version").then(|| {
        fs::write(folder.join("hello.py"), PYTHON).unwrap();
        run(Command::new("componentize-py")
            .arg("-d")
            .arg(interfaces(folder))
            .args(["-w", "bindings", "componentize", "hello"])
            .args(["-o", "hello.wasm"])
            .current_dir(folder));
        folder.join("hello.wasm")
    })
}

/// The example in Go, in `folder`; none where Go is not installed.
pub fn go(folder: &Path) -> Option<PathBuf> {
    has("go", "version").then(|| {
        let path = folder.join("cgi.wasm");
        run(Command::new("go")
            .args(["build", "-ldflags=-s -w", "-buildvcs=false", "-o"])
            .arg(&path)
            .arg(".")
            .env("GOOS", "wasip1")
            .env("GOARCH", "wasm")
            .current_dir(root().join("examples/cgi-go")));
        path
    })
}

/// Whether a program is there to build with.
pub fn has(program: &str, argument: &str) -> bool {
    Command::new(program)
        .arg(argument)
        .output()
        .is_ok_and(|output| output.status.success())
}

/// Runs what has to succeed.
pub fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

/// `wasi:http` 0.2.10 in `folder`, from the sources of the runtime's own dependency: the engine of
/// `componentize-js` dispatches `fetch` events of that version alone.
fn interfaces(folder: &Path) -> PathBuf {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root())
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

/// The workspace's root.
pub fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
