//! Building a Rust guest with the user's own cargo.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;
use tokio::process::Command;
use wasmfn_crds::WasmFunction;

/// What guests are built for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Target {
    /// Components.
    Component,
    /// WASI preview 1 commands.
    Command,
}

impl Target {
    /// What `function` is built for: a command is what its settings say it is, and cargo has to know before
    /// there are any bytes.
    #[must_use]
    pub const fn of(function: &WasmFunction) -> Self {
        match function.spec.command {
            Some(_) => Self::Command,
            None => Self::Component,
        }
    }

    /// Rust's name for it.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Component => "wasm32-wasip2",
            Self::Command => "wasm32-wasip1",
        }
    }
}

/// Why a guest could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Cargo could not be started.
    #[error("cargo cannot be started; install Rust from https://rustup.rs")]
    NoCargo(#[source] io::Error),
    /// The standard library for the target is not there.
    #[error("the Rust target {target} is not installed; run `rustup target add {target}` in {}", .folder.display(), target = .target.as_str())]
    NoTarget {
        /// The target.
        target: Target,
        /// The package's folder.
        folder: PathBuf,
    },
    /// Cargo said why above.
    #[error("cargo could not build {}; see its messages above", .0.display())]
    Failed(PathBuf),
    /// A library, or nothing at all.
    #[error("{} builds no .wasm file; it needs a binary (src/main.rs) or a library of the crate type cdylib", .0.display())]
    NoModule(PathBuf),
    /// A package with several binaries.
    #[error("{} builds several .wasm files; run one of them: {}", .folder.display(), list(.modules))]
    SeveralModules {
        /// The package's folder.
        folder: PathBuf,
        /// What was built.
        modules: Vec<PathBuf>,
    },
}

fn list(paths: &[PathBuf]) -> String {
    let paths: Vec<String> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    paths.join(", ")
}

/// Builds the package in `folder` and says where its module is. Cargo shows its progress itself.
///
/// # Errors
/// [`BuildError`].
pub async fn build(folder: &Path, target: Target) -> Result<PathBuf, BuildError> {
    let output = Command::new("cargo")
        .args(["build", "--release", "--target", target.as_str()])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(BuildError::NoCargo)?;
    if !output.status.success() {
        return Err(match has_target(folder, target).await {
            Some(false) => BuildError::NoTarget {
                target,
                folder: folder.to_owned(),
            },
            _ => BuildError::Failed(folder.to_owned()),
        });
    }
    only_module(folder, modules(&output.stdout))
}

/// Whether the toolchain of `folder` has the target; none where it does not say.
async fn has_target(folder: &Path, target: Target) -> Option<bool> {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", target.as_str()])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .await
        .ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    output
        .status
        .success()
        .then(|| Path::new(path.trim()).is_dir())
}

/// A line that cargo prints for programs.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

fn modules(messages: &[u8]) -> Vec<PathBuf> {
    messages
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Message>(line).ok())
        .filter(|message| message.reason == "compiler-artifact")
        .flat_map(|message| message.filenames)
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "wasm")
        })
        .collect()
}

fn only_module(folder: &Path, mut modules: Vec<PathBuf>) -> Result<PathBuf, BuildError> {
    let folder = folder.to_owned();
    match (modules.pop(), modules.is_empty()) {
        (Some(module), true) => Ok(module),
        (Some(last), false) => {
            modules.push(last);
            Err(BuildError::SeveralModules { folder, modules })
        }
        (None, _) => Err(BuildError::NoModule(folder)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGES: &str = r#"{"reason":"compiler-artifact","filenames":["/t/libwstd.rlib","/t/libwstd.rmeta"]}
{"reason":"build-script-executed","package_id":"x"}
{"reason":"compiler-artifact","filenames":["/t/hello.wasm"]}
{"reason":"build-finished","success":true}
"#;

    #[test]
    fn the_module_is_what_cargo_names() {
        assert_eq!(
            modules(MESSAGES.as_bytes()),
            [PathBuf::from("/t/hello.wasm")]
        );
    }

    #[test]
    fn one_module_is_expected() {
        let folder = Path::new("/guest");
        let path = |name: &str| PathBuf::from(name);
        assert_eq!(
            only_module(folder, vec![path("a.wasm")]).unwrap(),
            path("a.wasm")
        );
        let none = only_module(folder, vec![]).unwrap_err();
        assert!(matches!(none, BuildError::NoModule(_)));
        let several = only_module(folder, vec![path("a.wasm"), path("b.wasm")]).unwrap_err();
        assert!(several.to_string().ends_with("a.wasm, b.wasm"), "{several}");
    }

    #[tokio::test]
    async fn a_package_that_does_not_build_says_so() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("Cargo.toml"), "[package]").unwrap();
        let error = build(folder.path(), Target::Component).await.unwrap_err();
        assert!(matches!(error, BuildError::Failed(_)), "{error}");
    }
}
