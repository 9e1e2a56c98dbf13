//! The Debian system under a node.

use std::path::PathBuf;

use anyhow::Result;

use crate::cache::{Cache, Key};
use crate::process::Command;
use crate::versions;

/// What kind's own image installs, and the container runtime from Debian besides.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,conntrack,iptables,nftables,iproute2,ethtool,\
util-linux,mount,kmod,libseccomp2,bash,ca-certificates,curl,jq,procps,containerd,runc,\
containernetworking-plugins,iputils-ping,e2fsprogs,socat";

/// What a node never reads.
const UNUSED: [&str; 5] = [
    "var/cache/apt/archives",
    "var/lib/apt/lists",
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
];

/// A root file system with `PACKAGES`, kept in the cache.
///
/// # Errors
/// As [`root_with`].
pub async fn root(cache: &Cache) -> Result<PathBuf> {
    root_with(cache, "debian-root", PACKAGES).await
}

/// A root file system with these packages, kept in the cache as `name`. It is made in namespaces of its
/// own, so that an interrupted run leaves no process and no mount behind.
///
/// # Errors
/// debootstrap is not there, or cannot reach Debian's mirror.
pub async fn root_with(cache: &Cache, name: &str, packages: &str) -> Result<PathBuf> {
    let key = Key::default().part(versions::DEBIAN).part(packages);
    let entry = cache
        .entry(name, key, async |directory| {
            let root = directory.join("root");
            isolated()
                .args(["debootstrap", "--variant=minbase"])
                .arg(format!("--include={packages}"))
                .arg(versions::DEBIAN)
                .arg(&root)
                .run()
                .await?;
            for unused in UNUSED {
                std::fs::remove_dir_all(root.join(unused))?;
                std::fs::create_dir_all(root.join(unused))?;
            }
            Ok(())
        })
        .await?;
    Ok(entry.join("root"))
}

/// Runs what follows with mounts and processes of its own, all gone when it ends or is killed.
pub fn isolated() -> Command {
    Command::new("unshare").args(["--mount", "--pid", "--fork", "--kill-child"])
}
