//! Guests of the stories, built from source once.

use std::{path::PathBuf, process::Command, sync::LazyLock};

use bytes::Bytes;

use super::foreign::root;

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| build("e2e/guests", "wasm32-wasip2"));

/// A guest's bytes: `answer`, `v1`, `v2`, `missing-import`.
pub fn bytes(name: &str) -> Bytes {
    read(FOLDER.join(format!("{name}.wasm")))
}

/// The WASI 0.3 service.
pub fn service() -> Bytes {
    static SERVICE: LazyLock<PathBuf> =
        LazyLock::new(|| build("e2e/service-guest", "wasm32-wasip2"));
    read(SERVICE.join("service_guest.wasm"))
}

/// Builds a Rust package of the workspace's tree, and says where its modules are.
pub fn build(folder: &str, target: &str) -> PathBuf {
    let folder = root().join(folder);
    let status = Command::new("cargo")
        .args([
            "build",
            "--quiet",
            "--release",
            "--locked",
            "--target",
            target,
        ])
        .current_dir(&folder)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_TARGET_DIR")
        .status()
        .expect("cargo runs");
    assert!(
        status.success(),
        "{} does not build; is the target {target} installed?",
        folder.display()
    );
    folder.join("target").join(target).join("release")
}

/// Reads a module.
pub fn read(path: PathBuf) -> Bytes {
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .into()
}
