//! A node's file system: Debian, kind's own files, and the programs of Kubernetes.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Programs;
use crate::process::Command;
use crate::tools;
use crate::versions;

/// Units that Debian starts and a node must not, by folder and part of the name.
const UNWANTED_UNITS: [(&str, &str); 7] = [
    ("multi-user.target.wants", ""),
    ("local-fs.target.wants", ""),
    ("basic.target.wants", ""),
    ("timers.target.wants", ""),
    ("sockets.target.wants", "udev"),
    ("sockets.target.wants", "initctl"),
    ("sysinit.target.wants", "systemd-tmpfiles-setup.service"),
];

/// kind installs this manifest as the cluster's storage and insists on at least one object.
const NO_STORAGE: &str = "apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: none
provisioner: kubernetes.io/no-provisioner
";

/// Puts a node together in `root`.
///
/// # Errors
/// A file of Debian or kind is not where this expects it.
pub async fn assemble(
    root: &Path,
    debian: &Path,
    programs: &Programs,
    lowers_oom_scores: bool,
) -> Result<()> {
    let copy = Command::new("cp").args(["--archive", "--reflink=auto"]);
    copy.arg(debian).arg(root).run().await?;
    copy_kind_files(root, &programs.kind_files)?;
    link_debian_programs(root)?;
    set_units(root).await?;
    let pause = pause_image(programs).await?;
    configure_containerd(root, &pause, lowers_oom_scores)?;
    write_base_spec(root).await?;
    for name in ["kubeadm", "kubelet", "kubectl"] {
        install(
            &programs.kubernetes.join(name),
            &root.join("usr/bin"),
            0o755,
        )?;
    }
    install(&programs.crictl, &root.join("usr/local/bin"), 0o755)?;
    fs::write(
        root.join("kind/version"),
        format!("v{}", versions::KUBERNETES),
    )?;
    fs::create_dir_all(root.join("kind/manifests"))?;
    fs::write(root.join("kind/manifests/default-storage.yaml"), NO_STORAGE)?;
    fs::create_dir_all(root.join("etc/kubernetes/manifests"))?;
    fs::create_dir_all(root.join("etc/cni/net.d"))?;
    Ok(())
}

fn copy_kind_files(root: &Path, files: &Path) -> Result<()> {
    let folders = [
        ("usr/local/bin", 0o755),
        ("kind/bin", 0o755),
        ("kind", 0o644),
        ("etc", 0o644),
        ("etc/containerd", 0o644),
        ("etc/default", 0o644),
        ("etc/sysctl.d", 0o644),
        ("etc/systemd/system", 0o644),
        ("etc/systemd/system/kubelet.service.d", 0o644),
    ];
    for (folder, mode) in folders {
        for entry in fs::read_dir(files.join(folder))? {
            let path = entry?.path();
            if path.is_file() {
                install(&path, &root.join(folder), mode)?;
            }
        }
    }
    // Debian's own unit would start containerd a second time; fuse is for rootless nodes.
    fs::remove_file(root.join("lib/systemd/system/containerd.service"))?;
    fs::remove_file(root.join("etc/systemd/system/containerd-fuse-overlayfs.service"))?;
    Ok(())
}

/// kind looks for containerd and the network plugins where upstream's archives put them.
fn link_debian_programs(root: &Path) -> Result<()> {
    for name in ["containerd", "ctr", "containerd-shim-runc-v2"] {
        let link = root.join("usr/local/bin").join(name);
        symlink(format!("/usr/bin/{name}"), link)?;
    }
    fs::create_dir_all(root.join("opt/cni"))?;
    symlink("/usr/lib/cni", root.join("opt/cni/bin"))?;
    Ok(())
}

async fn set_units(root: &Path) -> Result<()> {
    for (folder, part) in UNWANTED_UNITS {
        remove_files(&root.join("lib/systemd/system").join(folder), part)?;
    }
    for entry in fs::read_dir(root.join("etc/systemd/system"))? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "wants")
        {
            remove_files(&path, "")?;
        }
    }
    let journal = root.join("etc/systemd/journald.conf");
    let text = fs::read_to_string(&journal)?;
    fs::write(journal, text + "ReadKMsg=no\n")?;
    let enable = [
        "kubelet.service",
        "containerd.service",
        "undo-mount-hacks.service",
    ];
    in_root(root)
        .args(["systemctl", "enable"])
        .args(enable)
        .run()
        .await?;
    // It would register handlers in the kernel of the machine.
    let mask = in_root(root).args(["systemctl", "mask", "systemd-binfmt.service"]);
    mask.run().await
}

/// Removes the files of `folder` whose name contains `part`.
fn remove_files(folder: &Path, part: &str) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_string_lossy().contains(part) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn configure_containerd(root: &Path, pause: &str, lowers_oom_scores: bool) -> Result<()> {
    let path = root.join("etc/containerd/config.toml");
    let mut config = fs::read_to_string(&path)?;
    replace_line(
        &mut config,
        "sandbox_image =",
        &format!("  sandbox_image = \"{pause}\""),
    )?;
    if !lowers_oom_scores {
        replace_line(
            &mut config,
            "restrict_oom_score_adj =",
            "  restrict_oom_score_adj = true",
        )?;
        let unit = root.join("etc/systemd/system/containerd.service");
        let text = fs::read_to_string(&unit)?;
        let kept = text
            .lines()
            .filter(|line| !line.starts_with("OOMScoreAdjust") && !line.starts_with("Limit"));
        fs::write(unit, kept.collect::<Vec<_>>().join("\n") + "\n")?;
    }
    fs::write(path, config)?;
    Ok(())
}

fn replace_line(text: &mut String, begins: &str, with: &str) -> Result<()> {
    let line = text.lines().find(|line| line.trim().starts_with(begins));
    let line =
        line.with_context(|| format!("containerd's configuration has no line `{begins}`"))?;
    *text = text.replace(&line.to_owned(), with);
    Ok(())
}

/// The runtime's default, with kind's hook and without limits that a nested container cannot raise.
async fn write_base_spec(root: &Path) -> Result<()> {
    let spec = in_root(root).args(["ctr", "oci", "spec"]).output().await?;
    let mut spec: Value = serde_json::from_str(&spec)?;
    spec["hooks"] = json!({ "createContainer": [{ "path": "/kind/bin/mount-product-files.sh" }] });
    if let Some(process) = spec["process"].as_object_mut() {
        process.remove("rlimits");
    }
    fs::write(root.join("etc/containerd/cri-base.json"), spec.to_string())?;
    Ok(())
}

async fn pause_image(programs: &Programs) -> Result<String> {
    let images = tools::expected_images(&programs.kubernetes.join("kubeadm")).await?;
    let pause = images.into_iter().find(|image| image.contains("/pause:"));
    pause.context("kubeadm names no pause image")
}

fn in_root(root: &Path) -> Command {
    Command::new("chroot").arg(root)
}

fn install(file: &Path, folder: &Path, mode: u32) -> Result<()> {
    let name = file.file_name().context("a file has a name")?;
    fs::create_dir_all(folder)?;
    let target = folder.join(name);
    let _ = fs::remove_file(&target);
    fs::copy(file, &target).with_context(|| format!("cannot copy {}", file.display()))?;
    fs::set_permissions(&target, fs::Permissions::from_mode(mode))?;
    Ok(())
}
