//! Builds the programs of Kubernetes, and its pause program.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::go::{go, module_directory, require_go};
use crate::cache::{Cache, Key};
use crate::process::Command;
use crate::versions;

const MODULE: &str = "k8s.io/kubernetes";

/// Builds `commands` (names under `cmd/`) and gives the folder that holds them.
///
/// # Errors
/// Go is not there, the module proxy does not have it, or a build fails.
pub async fn build(cache: &Cache, commands: &[&str]) -> Result<PathBuf> {
    let version = versions::KUBERNETES;
    let key = Key::default().part(version).part(commands.join(" "));
    let name = match commands {
        [one] => format!("{one}-v{version}"),
        _ => format!("kubernetes-v{version}"),
    };
    cache
        .entry(&name, key, async |directory| {
            require_go().await?;
            let source = tempfile::tempdir()?;
            let source = source.path();
            let module = module_directory(MODULE, &format!("v{version}")).await?;
            std::fs::write(source.join("go.mod"), go_mod(&module, commands)?)?;
            go(source).args(["mod", "tidy"]).run().await?;
            go(source)
                .args(["build", "-trimpath", "-ldflags", &linker_flags(), "-o"])
                .arg(format!("{}/", directory.display()))
                .args(commands.iter().map(|name| package(name)))
                .run()
                .await
        })
        .await
}

/// Builds the program that holds a pod's namespaces open into `target`.
///
/// # Errors
/// There is no C compiler, or it fails.
pub async fn pause_program(target: &Path) -> Result<()> {
    let module = module_directory(MODULE, &format!("v{}", versions::KUBERNETES)).await?;
    Command::new("cc")
        .args(["-Os", "-static", "-DVERSION=local", "-o"])
        .arg(target)
        .arg(module.join("build/pause/linux/pause.c"))
        .run()
        .await
}

fn package(command: &str) -> String {
    format!("{MODULE}/cmd/{command}")
}

/// Kubernetes' own `go.mod` points at folders of its repository for its staging modules, which a
/// dependent cannot follow: each is published as v0.MINOR.PATCH instead.
fn go_mod(kubernetes: &Path, commands: &[&str]) -> Result<String> {
    let version = versions::KUBERNETES;
    let staging_version = version.replacen("1.", "v0.", 1);
    let own = std::fs::read_to_string(kubernetes.join("go.mod"))?;
    let mut text = format!("module node\n\ngo 1.24.0\n\nrequire {MODULE} v{version}\n\ntool (\n");
    for command in commands {
        writeln!(text, "\t{}", package(command))?;
    }
    text.push_str(")\n\nreplace (\n");
    for line in own.lines() {
        if let Some((module, _)) = line.split_once(" => ./staging/") {
            let module = module.trim().trim_start_matches("replace ");
            writeln!(text, "\t{module} => {module} {staging_version}")?;
        }
    }
    text.push_str(")\n");
    Ok(text)
}

/// A build from the module proxy knows no version: without these a node reports v0.0.0.
fn linker_flags() -> String {
    let version = versions::KUBERNETES;
    let minor = version.split('.').nth(1).unwrap_or_default();
    let base = "-X k8s.io/component-base/version";
    format!(
        "-s -w {base}.gitVersion=v{version} {base}.gitMajor=1 {base}.gitMinor={minor} \
         -X k8s.io/client-go/pkg/version.gitVersion=v{version}"
    )
}

/// References of the images that `kubeadm` of this version expects.
///
/// # Errors
/// `kubeadm` cannot be run.
pub async fn expected_images(kubeadm: &Path) -> Result<Vec<String>> {
    let version = format!("v{}", versions::KUBERNETES);
    let list = Command::new(kubeadm)
        .args(["config", "images", "list", "--kubernetes-version", &version])
        .output()
        .await
        .context("cannot ask kubeadm for its images")?;
    Ok(list.lines().map(str::to_owned).collect())
}
