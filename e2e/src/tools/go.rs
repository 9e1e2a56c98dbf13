//! Builds programs from the Go module proxy.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cache::{Cache, Key};
use crate::process::Command;
use crate::versions::GoProgram;

/// Language version of the modules that we write.
const LANGUAGE: &str = "1.26";

/// `go`, set up so that the same version always gives the same static program.
pub(super) fn go(directory: &Path) -> Command {
    Command::new("go")
        .current_dir(directory)
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "-mod=mod -buildvcs=false")
        .env("GOWORK", "off")
}

/// Says what to do where there is no Go.
pub(super) async fn require_go() -> Result<()> {
    let version = Command::new("go").arg("version").output().await;
    version
        .context("Go 1.26 or newer is needed to build the cluster's programs: https://go.dev/dl")?;
    Ok(())
}

/// Builds `program`, with the versions of its dependencies that its own module asks for, and
/// gives the folder that holds it.
///
/// # Errors
/// Go is not there, the module proxy does not have it, or the build fails.
pub async fn build(cache: &Cache, program: &GoProgram) -> Result<PathBuf> {
    let key = Key::default()
        .part(program.package)
        .part(program.version)
        .part(LANGUAGE);
    let name = format!("{}-{}", program.name, program.version);
    cache
        .entry(&name, key, async |directory| {
            require_go().await?;
            let source = tempfile::tempdir()?;
            let source = source.path();
            std::fs::write(
                source.join("go.mod"),
                format!("module tool\n\ngo {LANGUAGE}\n"),
            )?;
            let wanted = format!("{}@{}", program.package, program.version);
            go(source).args(["get", "-tool", &wanted]).run().await?;
            go(source)
                .args(["build", "-trimpath", "-ldflags", "-s -w", "-o"])
                .arg(directory.join(program.name))
                .arg(program.package)
                .run()
                .await
        })
        .await
}

/// As [`build`], but gives the program itself.
///
/// # Errors
/// As [`build`].
pub async fn program(cache: &Cache, program: &GoProgram) -> Result<PathBuf> {
    Ok(build(cache, program).await?.join(program.name))
}

/// Folder with the sources of a module.
///
/// # Errors
/// The module proxy does not have it.
pub async fn module_directory(module: &str, version: &str) -> Result<PathBuf> {
    require_go().await?;
    let wanted = format!("{module}@{version}");
    let answer = go(&std::env::temp_dir())
        .args(["mod", "download", "-json", &wanted])
        .output()
        .await?;
    let answer: serde_json::Value = serde_json::from_str(&answer)?;
    let directory = answer["Dir"].as_str();
    Ok(directory
        .with_context(|| format!("go named no folder for {wanted}"))?
        .into())
}
