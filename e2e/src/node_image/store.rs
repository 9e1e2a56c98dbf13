//! Puts images into a node's containerd before the node ever runs, as kind does: not unpacked, and
//! pinned, so that the kubelet never collects them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::debian::isolated;

/// Folder in the node's root that holds the archives to import. Gone afterwards.
pub const INBOX: &str = "tmp/images";

/// Imports every archive of [`INBOX`] with the node's own containerd, which runs in namespaces of its
/// own: whatever ends this, nothing of it stays.
///
/// # Errors
/// containerd does not start, or refuses an archive.
pub async fn fill(root: &Path) -> Result<()> {
    let script = root.join("tmp/fill-store.sh");
    fs::write(&script, include_str!("fill-store.sh"))?;
    isolated()
        .arg(format!("--mount-proc={}", root.join("proc").display()))
        .arg("chroot")
        .arg(root)
        .args(["bash", "/tmp/fill-store.sh", &format!("/{INBOX}")])
        .run()
        .await
        .context("cannot fill the node's image store")?;
    fs::remove_file(script)?;
    fs::remove_dir_all(root.join(INBOX))?;
    Ok(())
}
