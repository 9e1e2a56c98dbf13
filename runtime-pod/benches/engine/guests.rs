//! The guests, built from source.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use serde_json::{Value, json};

use super::foreign;

/// What `rustc` links with by default.
const LARGE_STACK: &str = "-Clink-arg=-zstack-size=1048576";
/// Size of the body that is echoed.
const ECHO_BYTES: usize = 1 << 20;
/// Size of the document that the JSON command gets, about.
const DOCUMENT_BYTES: usize = 10_000;

/// A guest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Guest {
    /// The example, which has the small stack of our templates.
    Hello,
    /// The same with the stack that Rust has by default.
    HelloLargeStack,
    /// The guest of the stories, which sends back what it gets.
    Echo,
    /// A WASI 0.3 service in Rust.
    Service,
    /// A component of `componentize-js`.
    JavaScript,
    /// A component of `componentize-py`.
    Python,
    /// The example of a CGI command, in Go.
    Go,
    /// The example of a JSON command, in Rust.
    Json,
}

impl Guest {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::HelloLargeStack => "hello with 1 MiB of stack",
            Self::Echo => "echo of 1 MiB",
            Self::Service => "WASI 0.3",
            Self::JavaScript => "JavaScript",
            Self::Python => "Python",
            Self::Go => "CGI in Go",
            Self::Json => "JSON command, 10 kB in",
        }
    }

    /// What is asked of it: method, path and body.
    pub(super) fn request(self) -> (&'static str, &'static str, Vec<u8>) {
        match self {
            Self::Echo => ("POST", "/echo", vec![b'a'; ECHO_BYTES]),
            Self::Json => ("POST", "/", cart()),
            _ => ("GET", "/", Vec::new()),
        }
    }

    /// What its function says of it.
    pub(super) fn spec(self) -> Value {
        match self {
            Self::Json => json!({ "command": { "contract": "JSON" } }),
            _ => json!({}),
        }
    }

    /// Whether `wasmtime serve` serves the like.
    pub(super) const fn is_component(self) -> bool {
        !matches!(self, Self::Go | Self::Json)
    }

    /// Builds it into `folder` or its own, if it is not yet; none where its toolchain is not there.
    pub(super) fn path(self, folder: &Path) -> Result<Option<PathBuf>> {
        let built = match self {
            Self::Hello => cargo("examples/hello", "target", None, "p2", "hello")?,
            Self::HelloLargeStack => {
                let flags = Some(LARGE_STACK);
                cargo("examples/hello", "target/large-stack", flags, "p2", "hello")?
            }
            Self::Echo => cargo("e2e/guests", "target", None, "p2", "answer")?,
            Self::Service => cargo("e2e/service-guest", "target", None, "p2", "service_guest")?,
            Self::Json => cargo("examples/json-rust", "target", None, "p1", "json-rust")?,
            Self::JavaScript => return Ok(foreign::javascript(folder, foreign::JAVASCRIPT)),
            Self::Python => return Ok(foreign::python(folder)),
            Self::Go => return Ok(foreign::go(folder)),
        };
        Ok(Some(built))
    }
}

/// Reads a module.
pub(super) fn read(path: &Path) -> Result<Bytes> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    Ok(bytes.into())
}

/// A cart of many lines, one in ten of which gets a discount.
fn cart() -> Vec<u8> {
    let mut lines = Vec::new();
    let mut bytes = 0;
    while bytes < DOCUMENT_BYTES {
        let number = lines.len();
        let quantity = if number % 10 == 0 { 12 } else { 1 };
        let line = json!({ "id": format!("line-{number:05}"), "quantity": quantity });
        bytes += line.to_string().len() + 1;
        lines.push(line);
    }
    json!({ "cart": { "lines": lines } })
        .to_string()
        .into_bytes()
}

fn cargo(
    package: &str,
    target_folder: &str,
    flags: Option<&str>,
    preview: &str,
    name: &str,
) -> Result<PathBuf> {
    let package = foreign::root().join(package);
    let target = format!("wasm32-wasi{preview}");
    let mut command = Command::new("cargo");
    command
        .args(["build", "--quiet", "--release", "--locked"])
        .args(["--target-dir", target_folder, "--target", &target])
        .current_dir(&package)
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("RUSTFLAGS");
    if let Some(flags) = flags {
        command.env("RUSTFLAGS", flags);
    }
    ensure!(
        command.status()?.success(),
        "{} does not build",
        package.display()
    );
    let built = package.join(target_folder).join(target).join("release");
    Ok(built.join(format!("{name}.wasm")))
}
