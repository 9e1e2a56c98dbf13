//! Guests that the stories push: built from `e2e/guests`, and varied without a compiler.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use tokio::process::Command;

use crate::cli::repository;

/// Name of the core module that exports nothing of use; it needs no compiler.
pub const CORE_MODULE: &str = "core-module";

/// What guests are built for.
const TARGET: &str = "wasm32-wasip2";

/// Folder of the guests' own workspace.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("guests")
}

/// Builds all guests; quick where nothing changed.
pub async fn build() -> Result<()> {
    build_in(&folder()).await
}

async fn build_in(workspace: &Path) -> Result<()> {
    let output = Command::new("cargo")
        .args([
            "build",
            "--quiet",
            "--release",
            "--locked",
            "--target",
            TARGET,
        ])
        .current_dir(workspace)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_TARGET_DIR")
        .output()
        .await
        .context("running cargo for the guests")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the guests do not build: {said}");
    Ok(())
}

/// Bytes of a guest by its name.
pub fn bytes(name: &str) -> Result<Bytes> {
    if name == CORE_MODULE {
        return Ok(core_module());
    }
    bytes_in(&folder(), name)
}

/// Bytes of one of the examples that users begin with, built as its own folder says.
pub async fn example(name: &str) -> Result<Bytes> {
    let workspace = repository().join("examples").join(name);
    build_in(&workspace).await?;
    bytes_in(&workspace, name)
}

fn bytes_in(workspace: &Path, name: &str) -> Result<Bytes> {
    let path = workspace.join(format!("target/{TARGET}/release/{name}.wasm"));
    let bytes = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    Ok(bytes.into())
}

/// A valid core module that exports one function, `add`, that nothing calls.
fn core_module() -> Bytes {
    let mut bytes = b"\0asm\x01\0\0\0".to_vec();
    bytes.extend(section(1, &[1, 0x60, 0, 0]));
    bytes.extend(section(3, &[1, 0]));
    bytes.extend(section(7, b"\x01\x03add\x00\x00"));
    bytes.extend(section(10, &[1, 2, 0, 0x0b]));
    bytes.into()
}

/// The same guest with other bytes, and so with another digest: a custom section at its end.
#[must_use]
pub fn with_marker(guest: &[u8], marker: &[u8]) -> Bytes {
    let mut body = vec![6];
    body.extend(b"marker");
    body.extend(marker);
    let mut bytes = guest.to_vec();
    bytes.extend(section(0, &body));
    bytes.into()
}

fn section(id: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![id];
    let mut length = body.len();
    loop {
        let low = u8::try_from(length & 0x7f).expect("seven bits fit a byte");
        length >>= 7;
        bytes.push(if length == 0 { low } else { low | 0x80 });
        if length == 0 {
            break;
        }
    }
    bytes.extend(body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_leb128() {
        let long = section(0, &[0; 200]);
        assert_eq!(&long[..3], &[0, 0xc8, 0x01]);
        assert_eq!(long.len(), 203);
    }

    #[test]
    fn markers_change_the_bytes_and_keep_the_guest() {
        let guest = core_module();
        let (one, two) = (with_marker(&guest, b"1"), with_marker(&guest, b"2"));
        assert_ne!(one, two);
        assert!(one.starts_with(&guest));
    }
}
