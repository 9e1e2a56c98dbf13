//! The guests, built from source.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;

/// What `rustc` links with by default.
const LARGE_STACK: &str = "-Clink-arg=-zstack-size=1048576";

/// A guest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Guest {
    /// The example, which has the small stack of our templates.
    Hello,
    /// The same with the stack that Rust has by default.
    HelloLargeStack,
    /// The guest of the stories, which sends back what it gets.
    Echo,
}

impl Guest {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::HelloLargeStack => "hello with 1 MiB of stack",
            Self::Echo => "echo of 1 MiB",
        }
    }

    pub(super) fn bytes(self) -> Result<Bytes> {
        let path = self.path()?;
        let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
        Ok(bytes.into())
    }

    /// Builds it, if it is not yet.
    pub(super) fn path(self) -> Result<PathBuf> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let (folder, target, name, flags) = match self {
            Self::Hello => ("examples/hello", "target", "hello", None),
            Self::HelloLargeStack => {
                let flags = Some(LARGE_STACK);
                ("examples/hello", "target/large-stack", "hello", flags)
            }
            Self::Echo => ("e2e/guests", "target", "answer", None),
        };
        let folder = root.join(folder);
        let mut command = Command::new("cargo");
        command
            .args([
                "build",
                "--quiet",
                "--release",
                "--locked",
                "--target-dir",
                target,
            ])
            .current_dir(&folder)
            .env_remove("CARGO_TARGET_DIR")
            .env_remove("RUSTFLAGS");
        if let Some(flags) = flags {
            command.env("RUSTFLAGS", flags);
        }
        ensure!(
            command.status()?.success(),
            "{} does not build",
            folder.display()
        );
        let built = folder.join(target).join("wasm32-wasip2/release");
        Ok(built.join(format!("{name}.wasm")))
    }
}
