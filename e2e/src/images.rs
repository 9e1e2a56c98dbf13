//! Images of one static program and a list of certificate authorities each. A tag is a hash of the
//! content: a changed program is a new tag, and an unchanged one is never loaded twice.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::archive::{ImageConfig, ImageFile, sha256_of, write_image, write_layer};
use crate::cache::{Cache, Key};
use crate::process::Command;
use crate::tools;
use crate::versions;

/// Binaries that the chart runs.
pub const PRODUCT: [&str; 3] = ["wasmfn-operator", "wasmfn-gateway", "wasmfn-runtime"];
/// Name of the image of this very program, which stories run inside the cluster.
pub const CLIENT: &str = "wasmfn-e2e";

/// User that all images run as.
const USER: &str = "65532:65532";
/// Where programs look for certificate authorities.
const AUTHORITIES: &str = "etc/ssl/certs/ca-certificates.crt";
/// Where this machine may have them.
const AUTHORITIES_HERE: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// An image in a file.
pub struct Image {
    /// Name without registry.
    pub name: String,
    /// Hash of the content.
    pub tag: String,
    /// Name and tag as nodes know it.
    pub reference: String,
    /// The file.
    pub archive: PathBuf,
}

/// Builds the product's binaries with a profile of Cargo's, as they are in the work tree, and their
/// images, and that of this program.
///
/// # Errors
/// `cargo build` fails.
pub async fn product(repository: &Path, profile: &str) -> Result<Vec<Image>> {
    let binaries = build_binaries(repository, profile).await?;
    let directory = image_directory(repository).await?;
    let mut images = Vec::new();
    for name in PRODUCT {
        let program = binaries.get(name);
        let program = program.with_context(|| format!("the workspace builds no binary {name}"))?;
        images.push(of_program(&directory, name, program)?);
    }
    images.push(client(repository).await?);
    Ok(images)
}

/// The image of this program.
///
/// # Errors
/// It cannot be written.
pub async fn client(repository: &Path) -> Result<Image> {
    let program = std::env::current_exe().context("cannot find this program")?;
    of_program(&image_directory(repository).await?, CLIENT, &program)
}

/// The image of oha, with this program beside it, which runs it.
///
/// # Errors
/// It cannot be built.
pub async fn load_generator(cache: &Cache, repository: &Path) -> Result<Image> {
    let oha = tools::oha(cache).await?;
    let program = std::env::current_exe().context("cannot find this program")?;
    let directory = image_directory(repository).await?;
    of_programs(
        &directory,
        "wasmfn-e2e-load",
        &[("wasmfn-e2e-load", &program), ("oha", &oha)],
    )
}

/// The image of the registry that runs in the cluster.
///
/// # Errors
/// It cannot be built.
pub async fn registry(cache: &Cache) -> Result<Image> {
    let program = tools::program(cache, &versions::REGISTRY).await?;
    let key = Key::default()
        .part(sha256_of(&program)?)
        .part(include_str!("images.rs"))
        .part(include_str!("archive.rs"));
    let entry = cache
        .entry("registry-image", key, async |directory| {
            of_program(directory, "registry", &program)?;
            Ok(())
        })
        .await?;
    of_program(&entry, "registry", &program)
}

/// The image of `program`, written into `directory` unless it is there.
fn of_program(directory: &Path, name: &str, program: &Path) -> Result<Image> {
    of_programs(directory, name, &[(name, program)])
}

/// The image of `programs` by their names, written into `directory` unless it is there. It runs the
/// first.
fn of_programs(directory: &Path, name: &str, programs: &[(&str, &Path)]) -> Result<Image> {
    let authorities = AUTHORITIES_HERE
        .map(Path::new)
        .into_iter()
        .find(|path| path.exists());
    let authorities = authorities.context("this machine has no list of certificate authorities")?;
    let mut content = String::new();
    for (_, program) in programs {
        content += &sha256_of(program)?;
    }
    content += &sha256_of(authorities)?;
    let tag = hex::encode(&Sha256::digest(content)[..6]);
    let image = Image {
        name: name.to_owned(),
        reference: format!("localhost/{name}:{tag}"),
        archive: directory.join(format!("{name}-{tag}.tar")),
        tag,
    };
    if !image.archive.exists() {
        std::fs::create_dir_all(directory)?;
        remove_older(directory, name)?;
        write(&image, programs, authorities)?;
    }
    Ok(image)
}

fn write(image: &Image, programs: &[(&str, &Path)], authorities: &Path) -> Result<()> {
    let layer = image.archive.with_extension("layer");
    let file = |path: &str, source: &Path, mode| ImageFile {
        path: path.to_owned(),
        source: source.to_owned(),
        mode,
    };
    let programs = programs
        .iter()
        .map(|(name, source)| file(name, source, 0o755));
    let mut files: Vec<ImageFile> = programs.collect();
    files.push(file(AUTHORITIES, authorities, 0o644));
    let entrypoint = format!("/{}", files[0].path);
    write_layer(&layer, &["tmp"], &files)?;
    let partial = image.archive.with_extension("partial");
    let config = ImageConfig {
        reference: &image.reference,
        entrypoint: &[&entrypoint],
        user: USER,
        ..ImageConfig::default()
    };
    write_image(&partial, &layer, &config)?;
    std::fs::remove_file(layer)?;
    std::fs::rename(partial, &image.archive)?;
    Ok(())
}

/// Removes archives of the same name: they are large, and their content is built again in no time.
fn remove_older(directory: &Path, name: &str) -> Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let file_name = entry.file_name();
        let rest = file_name.to_string_lossy();
        let rest = rest
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('-'));
        // The rest is a hash: another image's name may begin with this one's.
        if rest.is_some_and(|rest| !rest.contains('-')) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Paths of the product's binaries by name.
async fn build_binaries(repository: &Path, profile: &str) -> Result<BTreeMap<String, PathBuf>> {
    let packages = PRODUCT.map(|name| format!("--package={name}"));
    let messages = cargo(repository)
        .args([
            "build",
            "--bins",
            "--profile",
            profile,
            "--message-format=json-render-diagnostics",
        ])
        .args(packages)
        .show_errors()
        .output()
        .await?;
    Ok(executables(&messages))
}

/// Folder in Cargo's target folder.
async fn image_directory(repository: &Path) -> Result<PathBuf> {
    let metadata = cargo(repository).args(["metadata", "--format-version=1", "--no-deps"]);
    let metadata: Value = serde_json::from_str(&metadata.output().await?)?;
    let target = metadata["target_directory"].as_str();
    Ok(Path::new(target.context("cargo names no target folder")?).join("e2e-images"))
}

fn cargo(repository: &Path) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    Command::new(program).current_dir(repository)
}

fn executables(messages: &str) -> BTreeMap<String, PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|message| {
            let name = message["target"]["name"].as_str()?;
            let executable = message["executable"].as_str()?;
            Some((name.to_owned(), executable.into()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_program_is_a_new_tag_and_replaces_the_old_archive() {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("program");
        let images = folder.path().join("images");
        std::fs::write(&program, "one").expect("writes");
        let first = of_program(&images, "thing", &program).expect("an image");
        let other = of_program(&images, "thing-else", &program).expect("an image");
        std::fs::write(&program, "two").expect("writes");
        let second = of_program(&images, "thing", &program).expect("an image");
        assert_ne!(first.tag, second.tag);
        assert!(!first.archive.exists());
        assert!(second.archive.exists());
        assert!(other.archive.exists());
    }

    #[test]
    fn executables_are_found_among_the_messages_of_cargo() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"a"},"executable":"/t/a"}
{"reason":"compiler-artifact","target":{"name":"b"},"executable":null}
{"reason":"build-finished","success":true}"#;
        let found = executables(messages);
        assert_eq!(found, BTreeMap::from([("a".into(), PathBuf::from("/t/a"))]));
    }
}
