//! Writes container images as files, with no container engine: one layer in the format of
//! `docker save`, which docker, containerd, kind and crane all read.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;
use sha2::{Digest, Sha256};

/// What an image runs, and how.
#[derive(Default)]
pub struct ImageConfig<'a> {
    /// Name and tag.
    pub reference: &'a str,
    /// Program and first arguments.
    pub entrypoint: &'a [&'a str],
    /// `NAME=value`.
    pub env: &'a [&'a str],
    /// Numeric user, `""` for root.
    pub user: &'a str,
    /// Signal that asks its first process to stop; `""` for SIGTERM.
    pub stop_signal: &'a str,
}

/// A file of an image.
pub struct ImageFile {
    /// Where it lies in the image, without the leading slash.
    pub path: String,
    /// Where it lies here.
    pub source: PathBuf,
    /// Permission bits.
    pub mode: u32,
}

/// Writes a layer of `files` and empty `directories` to `layer`. The same input gives the same bytes.
///
/// # Errors
/// A file cannot be read, or `layer` not be written.
pub fn write_layer(layer: &Path, directories: &[&str], files: &[ImageFile]) -> Result<()> {
    let mut builder = tar::Builder::new(BufWriter::new(File::create(layer)?));
    for directory in directories {
        let mut header = header(tar::EntryType::Directory, 0o1777, 0);
        builder.append_data(&mut header, format!("{directory}/"), std::io::empty())?;
    }
    for file in files {
        let source = File::open(&file.source)
            .with_context(|| format!("cannot read {}", file.source.display()))?;
        let size = source.metadata()?.len();
        let mut header = header(tar::EntryType::Regular, file.mode, size);
        builder.append_data(&mut header, &file.path, source)?;
    }
    builder.into_inner()?.flush()?;
    Ok(())
}

/// Writes the image that has the tar file `layer` as its only layer to `archive`.
///
/// # Errors
/// `layer` cannot be read, or `archive` not be written.
pub fn write_image(archive: &Path, layer: &Path, config: &ImageConfig<'_>) -> Result<()> {
    let layer_digest = sha256_of(layer)?;
    let image = image_json(config, &layer_digest).to_string();
    let image_name = format!("{}.json", hex::encode(Sha256::digest(&image)));
    let manifest = json!([{
        "Config": image_name,
        "RepoTags": [config.reference],
        "Layers": ["layer.tar"],
    }])
    .to_string();
    let mut builder = tar::Builder::new(BufWriter::new(File::create(archive)?));
    append_bytes(&mut builder, &image_name, image.as_bytes())?;
    append_bytes(&mut builder, "manifest.json", manifest.as_bytes())?;
    let layer = File::open(layer)?;
    let mut header = header(tar::EntryType::Regular, 0o644, layer.metadata()?.len());
    builder.append_data(&mut header, "layer.tar", layer)?;
    builder.into_inner()?.flush()?;
    Ok(())
}

fn image_json(config: &ImageConfig<'_>, layer_digest: &str) -> serde_json::Value {
    let mut run = json!({ "Entrypoint": config.entrypoint, "Env": config.env });
    if !config.user.is_empty() {
        run["User"] = config.user.into();
    }
    if !config.stop_signal.is_empty() {
        run["StopSignal"] = config.stop_signal.into();
    }
    json!({
        "architecture": architecture(),
        "os": "linux",
        "config": run,
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{layer_digest}")] },
    })
}

/// Digest of an archive's image configuration, in hex: what container engines call the image's ID.
///
/// # Errors
/// It is not an archive that [`write_image`] made.
pub fn config_digest(archive: &Path) -> Result<String> {
    let mut archive = tar::Archive::new(File::open(archive)?);
    let first = archive
        .entries()?
        .next()
        .context("the archive is empty")??;
    let name = first.path()?.display().to_string();
    let digest = name.strip_suffix(".json");
    Ok(digest
        .with_context(|| format!("the archive begins with {name}"))?
        .to_owned())
}

/// This machine's architecture in the words of OCI images.
#[must_use]
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn append_bytes<W: Write>(builder: &mut tar::Builder<W>, path: &str, bytes: &[u8]) -> Result<()> {
    let mut header = header(tar::EntryType::Regular, 0o644, bytes.len() as u64);
    builder.append_data(&mut header, path, bytes)?;
    Ok(())
}

/// SHA-256 of a file, in hex.
///
/// # Errors
/// The file cannot be read.
pub fn sha256_of(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(hex::encode(hash.finalize()));
        }
        hash.update(&buffer[..count]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(folder: &Path) -> Vec<u8> {
        let source = folder.join("program");
        std::fs::write(&source, "bytes").expect("writes");
        let file = ImageFile {
            path: "program".into(),
            source,
            mode: 0o755,
        };
        write_layer(&folder.join("layer"), &["tmp"], &[file]).expect("a layer");
        let config = ImageConfig {
            reference: "localhost/program:1",
            entrypoint: &["/program"],
            user: "65532",
            ..ImageConfig::default()
        };
        write_image(&folder.join("image"), &folder.join("layer"), &config).expect("an image");
        std::fs::read(folder.join("image")).expect("reads")
    }

    #[test]
    fn the_same_input_gives_the_same_image() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(written(folder.path()), written(folder.path()));
    }

    #[test]
    fn the_manifest_names_what_is_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let image = written(folder.path());
        let mut names = Vec::new();
        let mut manifest = String::new();
        let mut archive = tar::Archive::new(image.as_slice());
        for entry in archive.entries().expect("entries") {
            let mut entry = entry.expect("an entry");
            let name = entry.path().expect("a path").display().to_string();
            if name == "manifest.json" {
                entry.read_to_string(&mut manifest).expect("reads");
            }
            names.push(name);
        }
        let manifest: serde_json::Value = serde_json::from_str(&manifest).expect("JSON");
        let config = manifest[0]["Config"].as_str().expect("a name").to_owned();
        assert!(names.contains(&config), "{names:?}");
        assert!(names.contains(&"layer.tar".to_owned()), "{names:?}");
    }
}
