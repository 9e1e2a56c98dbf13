//! Guests of the stories, built from source once.

use std::{path::PathBuf, process::Command, sync::LazyLock};

use bytes::Bytes;

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../e2e/guests"));
    let status = Command::new("cargo")
        .args([
            "build",
            "--quiet",
            "--release",
            "--locked",
            "--target",
            "wasm32-wasip2",
        ])
        .current_dir(&folder)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_TARGET_DIR")
        .status()
        .expect("cargo runs");
    assert!(
        status.success(),
        "the guests do not build; is the target wasm32-wasip2 installed?"
    );
    folder.join("target/wasm32-wasip2/release")
});

/// A guest's bytes: `answer`, `v1`, `v2`, `missing-import`.
pub fn bytes(name: &str) -> Bytes {
    let path = FOLDER.join(format!("{name}.wasm"));
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .into()
}
