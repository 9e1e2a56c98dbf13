//! Builds programs from crates.io.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::cache::{Cache, Key};
use crate::process::Command;

/// Version of [oha](https://github.com/hatoo/oha), the open-loop load generator of the benchmarks.
/// Not among the cluster's versions: those make the image of the nodes.
const OHA: &str = "1.16.0";
/// One static file, so that an image holds nothing else.
const STATIC: &str = "-C target-feature=+crt-static";

/// oha as one static program.
///
/// # Errors
/// crates.io does not have it, or there is no C compiler or cmake, which it needs.
pub async fn oha(cache: &Cache) -> Result<PathBuf> {
    let key = Key::default().part(OHA).part(STATIC);
    let name = format!("oha-{OHA}");
    let entry = cache.entry(&name, key, async |directory| {
        let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let install = Command::new(cargo)
            .args(["install", "--quiet", "--locked", "oha", "--version", OHA])
            .args(["--target", &target, "--root"])
            .arg(directory)
            // Flags and target folder of the workspace are not oha's.
            .current_dir(directory)
            .env("RUSTFLAGS", STATIC);
        install
            .run()
            .await
            .context("oha does not build; it needs a C compiler and cmake")
    });
    Ok(entry.await?.join("bin/oha"))
}
