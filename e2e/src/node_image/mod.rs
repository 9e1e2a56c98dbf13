//! The image that a cluster's nodes run: kind's own where it can be pulled, else one made here from
//! package registries alone.

mod components;
pub mod debian;
mod root;
mod store;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::archive::{ImageConfig, write_image};
use crate::cache::{Cache, Key};
use crate::process::Command;
use crate::tools;
use crate::versions;

pub use components::libraries;

/// How long to ask the image registry before building instead.
const PROBE_DEADLINE: Duration = Duration::from_secs(15);

/// An image that is in the container engine.
pub struct NodeImage {
    /// Its name in the engine.
    pub reference: String,
    /// Whether it is kind's own, with a pod network of its own that enforces NetworkPolicy.
    pub is_upstream: bool,
}

/// Makes sure that there is a node image.
///
/// # Errors
/// It can neither be pulled nor built.
pub async fn ensure(cache: &Cache) -> Result<NodeImage> {
    let upstream = format!("kindest/node:v{}", versions::KUBERNETES);
    if is_in_engine(&upstream).await? || can_be_pulled(&upstream).await {
        return Ok(NodeImage {
            reference: upstream,
            is_upstream: true,
        });
    }
    build(cache).await
}

/// Makes sure that the image of our own is in the container engine.
///
/// # Errors
/// A build step fails.
pub async fn build(cache: &Cache) -> Result<NodeImage> {
    ensure!(
        std::fs::metadata("/proc/self").is_ok_and(|data| is_root(&data)),
        "kind's own node image cannot be pulled, and building one needs root (debootstrap, chroot)"
    );
    let lowers_oom_scores = has_sys_resource()?;
    let key = recipe_key().part([u8::from(lowers_oom_scores)]);
    let reference = format!("wasmfn-e2e/node:v{}", versions::KUBERNETES);
    let entry = cache
        .entry("node-image", key, async |directory| {
            build_archive(cache, directory, &reference, lowers_oom_scores).await
        })
        .await?;
    load(&entry.join("node.tar"), &reference).await?;
    Ok(NodeImage {
        reference,
        is_upstream: false,
    })
}

/// Everything that the image is built from: the versions, and the sources that build it.
fn recipe_key() -> Key {
    [
        include_str!("mod.rs"),
        include_str!("components.rs"),
        include_str!("debian.rs"),
        include_str!("root.rs"),
        include_str!("fill-store.sh"),
        include_str!("../archive.rs"),
        include_str!("../versions.rs"),
    ]
    .into_iter()
    .fold(Key::default(), Key::part)
}

async fn build_archive(
    cache: &Cache,
    directory: &Path,
    reference: &str,
    lowers_oom_scores: bool,
) -> Result<()> {
    let programs = Programs::prepare(cache).await?;
    let debian = debian::root(cache).await?;
    let root = directory.join("root");
    root::assemble(&root, &debian, &programs, lowers_oom_scores).await?;
    components::write_images(&root.join(store::INBOX), &debian, &programs).await?;
    store::fill(&root).await?;
    let layer = directory.join("layer.tar");
    Command::new("tar")
        .args(["--numeric-owner", "--xattrs", "--exclude=./proc/*", "-C"])
        .arg(&root)
        .arg("-cf")
        .arg(&layer)
        .arg(".")
        .run()
        .await?;
    std::fs::remove_dir_all(&root)?;
    write_image(
        &directory.join("node.tar"),
        &layer,
        &ImageConfig {
            reference,
            entrypoint: &["/usr/local/bin/entrypoint", "/sbin/init"],
            env: &["container=docker"],
            // systemd takes SIGTERM as a wish to start anew.
            stop_signal: "SIGRTMIN+3",
            ..ImageConfig::default()
        },
    )?;
    std::fs::remove_file(layer)?;
    Ok(())
}

/// What a node runs, besides Debian packages.
struct Programs {
    kubernetes: PathBuf,
    etcd: PathBuf,
    coredns: PathBuf,
    crictl: PathBuf,
    /// The files of kind's own image.
    kind_files: PathBuf,
}

impl Programs {
    async fn prepare(cache: &Cache) -> Result<Self> {
        let kubernetes = [
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
            "kube-proxy",
            "kubelet",
            "kubeadm",
            "kubectl",
        ];
        let kind = &versions::KIND;
        Ok(Self {
            kubernetes: tools::build_kubernetes(cache, &kubernetes).await?,
            etcd: tools::program(cache, &versions::ETCD).await?,
            coredns: tools::program(cache, &versions::COREDNS).await?,
            crictl: tools::program(cache, &versions::CRICTL).await?,
            kind_files: tools::module_directory(kind.package, kind.version)
                .await?
                .join("images/base/files"),
        })
    }
}

async fn is_in_engine(reference: &str) -> Result<bool> {
    let inspect = Command::new("docker").args(["image", "inspect", reference]);
    Ok(inspect.raw_output().await?.status.success())
}

async fn can_be_pulled(reference: &str) -> bool {
    let inspect = Command::new("docker").args(["manifest", "inspect", reference]);
    let answer = tokio::time::timeout(PROBE_DEADLINE, inspect.raw_output()).await;
    matches!(answer, Ok(Ok(output)) if output.status.success())
}

/// Loads the archive unless the engine holds exactly that image.
async fn load(archive: &Path, reference: &str) -> Result<()> {
    let marker = crate::archive::config_digest(archive)?;
    let inspect = Command::new("docker").args(["image", "inspect", "--format={{.Id}}", reference]);
    let found = inspect.raw_output().await?;
    if String::from_utf8_lossy(&found.stdout).contains(&marker) {
        return Ok(());
    }
    let load = Command::new("docker").args(["load", "--quiet", "--input"]);
    load.arg(archive)
        .run()
        .await
        .context("cannot give the node image to the container engine")
}

fn is_root(own: &std::fs::Metadata) -> bool {
    std::os::unix::fs::MetadataExt::uid(own) == 0
}

/// Whether root may lower oom scores here, as the bit 24 of the effective capabilities says.
fn has_sys_resource() -> Result<bool> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = line.context("/proc/self/status has no CapEff")?.trim();
    Ok(u64::from_str_radix(bits, 16)? >> 24 & 1 == 1)
}
