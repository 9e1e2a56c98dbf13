//! The images of the cluster's own pods, each one static program; kube-proxy also gets what it
//! programs the kernel with.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::Programs;
use crate::archive::{ImageConfig, ImageFile, write_image, write_layer};
use crate::process::Command;
use crate::tools;

const SEARCH_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Names under which kube-proxy calls the one program of iptables.
const IPTABLES_NAMES: [&str; 6] = [
    "iptables",
    "iptables-save",
    "iptables-restore",
    "ip6tables",
    "ip6tables-save",
    "ip6tables-restore",
];

/// Writes the images that `kubeadm` expects as archives into `folder`.
///
/// # Errors
/// `kubeadm` expects an image that this cannot make, or a program is not there.
pub async fn write_images(folder: &Path, debian: &Path, programs: &Programs) -> Result<()> {
    fs::create_dir_all(folder)?;
    let pause = folder.join("pause");
    tools::pause_program(&pause).await?;
    let expected = tools::expected_images(&programs.kubernetes.join("kubeadm")).await?;
    for reference in expected {
        let name = component(&reference);
        let mut files = match name {
            "kube-proxy" => network_programs(debian).await?,
            _ => Vec::new(),
        };
        let source = match name {
            "etcd" => programs.etcd.clone(),
            "coredns" => programs.coredns.clone(),
            "pause" => pause.clone(),
            name => programs.kubernetes.join(name),
        };
        if !source.exists() {
            bail!("kubeadm expects {reference}, for which there is no program");
        }
        files.push(image_file(&format!("usr/local/bin/{name}"), source));
        write_component(folder, name, &reference, &files)?;
    }
    fs::remove_file(pause)?;
    Ok(())
}

fn component(reference: &str) -> &str {
    let path = reference
        .rsplit_once(':')
        .map_or(reference, |(path, _)| path);
    path.rsplit('/').next().unwrap_or(path)
}

fn write_component(folder: &Path, name: &str, reference: &str, files: &[ImageFile]) -> Result<()> {
    let layer = folder.join("layer");
    write_layer(&layer, &["tmp", "run"], files)?;
    let config = ImageConfig {
        reference,
        entrypoint: &[&format!("/usr/local/bin/{name}")],
        env: &[SEARCH_PATH],
        ..ImageConfig::default()
    };
    write_image(&folder.join(format!("{name}.tar")), &layer, &config)?;
    fs::remove_file(layer)?;
    Ok(())
}

/// iptables, nft, ip and conntrack from Debian, with the libraries that they load.
async fn network_programs(debian: &Path) -> Result<Vec<ImageFile>> {
    let iptables = "usr/sbin/xtables-nft-multi";
    let mut paths: BTreeSet<String> = ["usr/sbin/nft", "usr/bin/ip", "usr/sbin/conntrack"]
        .map(str::to_owned)
        .into();
    paths.insert(iptables.to_owned());
    // Loaded by name at run time, so no program's list of libraries has them, nor theirs (libm).
    let extensions = library_folder(debian)?.join("xtables");
    for entry in fs::read_dir(&extensions)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "so") {
            paths.insert(path.strip_prefix(debian)?.display().to_string());
        }
    }
    let libraries = libraries(debian, &paths).await?;
    paths.extend(libraries);
    let in_debian = |path: &str| image_file(path, debian.join(path));
    let mut files: Vec<ImageFile> = paths.iter().map(|path| in_debian(path)).collect();
    files.extend(
        IPTABLES_NAMES.map(|name| image_file(&format!("usr/sbin/{name}"), debian.join(iptables))),
    );
    Ok(files)
}

/// `usr/lib/ARCHITECTURE-linux-gnu`.
fn library_folder(debian: &Path) -> Result<PathBuf> {
    let name = format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let folder = debian.join(name);
    if !folder.is_dir() {
        bail!("{} is not there", folder.display());
    }
    Ok(folder)
}

/// Paths of the shared libraries of `programs`, as the loader finds them inside `debian`.
///
/// # Errors
/// A program is not there.
pub async fn libraries(debian: &Path, programs: &BTreeSet<String>) -> Result<BTreeSet<String>> {
    let list = Command::new("chroot").arg(debian).arg("ldd");
    let list = list
        .args(programs.iter().map(|path| format!("/{path}")))
        .output()
        .await
        .context("cannot list the libraries of the network programs")?;
    Ok(list
        .lines()
        .filter(|line| !line.ends_with(':'))
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(|path| path.trim_start_matches('/').to_owned())
        .collect())
}

fn image_file(path: &str, source: PathBuf) -> ImageFile {
    ImageFile {
        path: path.to_owned(),
        source,
        mode: 0o755,
    }
}
