//! Which layer of an image is the module: a pure reading of manifests and indexes.
//!
//! WebAssembly is published under many labels (CNCF artifacts, ORAS, Krustlet's and Kubewarden's
//! types, images for `wasi/wasm`), so labels only say which bytes to fetch. What these are is found
//! out from the bytes, and anything ambiguous is refused.

use serde::Deserialize;

use super::digest;

/// Largest manifest, in bytes: what the OCI distribution specification has registries accept.
pub(super) const MANIFEST_MAX_BYTES: u64 = 4 << 20;

/// The kinds of documents that we read.
pub(super) const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, \
     application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.docker.distribution.manifest.list.v2+json";

/// Kind of a manifest.
pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Kind of the config of a WebAssembly artifact (CNCF, "Wasm OCI Artifact layout").
pub(super) const CNCF_CONFIG: &str = "application/vnd.wasm.config.v0+json";
const SPIN_APPLICATION: &str = "application/vnd.fermyon.spin.application.v1+config";
const ATTESTATION: &str = "vnd.docker.reference.type";
/// How much of a registry's word an error shows, in bytes.
const SHOWN_BYTES: usize = 100;
/// How many platforms an error lists.
const PLATFORMS_SHOWN: usize = 8;

/// Content by its digest.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    pub(super) media_type: String,
    pub(super) digest: String,
    pub(super) size: u64,
    #[serde(default)]
    platform: Option<Platform>,
    #[serde(default)]
    annotations: Option<serde_json::Map<String, serde_json::Value>>,
}

#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
struct Platform {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: Option<u64>,
    config: Option<Config>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    #[serde(default)]
    media_type: String,
}

/// What to fetch next.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Selection {
    /// The module itself.
    Layer(Descriptor),
    /// The manifest that an index holds for us.
    Manifest(Descriptor),
}

/// Why a document leads to no module.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Unusable {
    /// It is no manifest.
    Invalid(String),
    /// It holds something else.
    NotWasm(String),
    /// It holds WebAssembly, but not as one module.
    Unsupported(String),
}

/// Reads a manifest or an index.
pub(super) fn select(document: &[u8]) -> Result<Selection, Unusable> {
    let document: Document = serde_json::from_slice(document).map_err(|error| {
        Unusable::Invalid(format!(
            "its manifest cannot be read (line {}, column {})",
            error.line(),
            error.column()
        ))
    })?;
    let selection = match (document.manifests, document.layers) {
        (Some(manifests), None) => Selection::Manifest(from_index(manifests)?),
        (None, Some(layers)) => {
            let config = document
                .config
                .map_or_else(String::new, |config| config.media_type);
            Selection::Layer(from_manifest(&config, layers)?)
        }
        _ if document.schema_version == Some(1) => {
            return Err(Unusable::NotWasm(
                "it is an image of docker's old schema 1".to_owned(),
            ));
        }
        _ => {
            return Err(Unusable::Invalid(
                "its manifest has neither `layers` nor `manifests`, or both".to_owned(),
            ));
        }
    };
    let (Selection::Layer(descriptor) | Selection::Manifest(descriptor)) = &selection;
    if !digest::is_valid(&descriptor.digest) {
        return Err(Unusable::Invalid(
            "its manifest names a digest that is not sha256".to_owned(),
        ));
    }
    Ok(selection)
}

fn from_index(manifests: Vec<Descriptor>) -> Result<Descriptor, Unusable> {
    let mut images: Vec<Descriptor> = manifests
        .into_iter()
        .filter(|descriptor| !descriptor.is_attestation())
        .collect();
    let best = images
        .iter()
        .filter_map(|descriptor| descriptor.platform.as_ref().and_then(Platform::wasm_rank))
        .min();
    if let Some(best) = best {
        images.retain(|descriptor| {
            descriptor.platform.as_ref().and_then(Platform::wasm_rank) == Some(best)
        });
        return only(images, |count| {
            Unusable::Unsupported(format!(
                "its index lists {count} images for the same wasm platform; refer to one by its digest"
            ))
        });
    }
    if images.len() == 1 && images[0].has_no_platform() {
        return only(images, |_| Unusable::Invalid(String::new()));
    }
    Err(Unusable::NotWasm(format!(
        "its index lists no wasm platform, but {}",
        list(&images)
    )))
}

fn from_manifest(config: &str, layers: Vec<Descriptor>) -> Result<Descriptor, Unusable> {
    if config == SPIN_APPLICATION
        || layers
            .iter()
            .any(|layer| layer.media_type == SPIN_APPLICATION)
    {
        return Err(Unusable::Unsupported(
            "it is a Spin application; push its component itself, for example with `wkg oci push`"
                .to_owned(),
        ));
    }
    let count = layers.len();
    if config == CNCF_CONFIG && count > 1 {
        return Err(several(count));
    }
    let (modules, others): (Vec<_>, Vec<_>) = layers
        .into_iter()
        .partition(|layer| is_wasm(&layer.media_type));
    if !modules.is_empty() {
        return only(modules, several);
    }
    match <[Descriptor; 1]>::try_from(others) {
        Ok([layer]) if !is_compressed(&layer.media_type) => Ok(layer),
        Ok([layer]) => Err(Unusable::NotWasm(format!(
            "its only layer is {}, as of a container image",
            shown(&layer.media_type)
        ))),
        Err(others) => Err(Unusable::NotWasm(format!(
            "it has {} layers and none is of a wasm type, as in a container image",
            others.len()
        ))),
    }
}

fn several(count: usize) -> Unusable {
    Unusable::Unsupported(format!(
        "it holds {count} layers where one module is expected; push the module alone"
    ))
}

fn only(
    mut descriptors: Vec<Descriptor>,
    otherwise: impl FnOnce(usize) -> Unusable,
) -> Result<Descriptor, Unusable> {
    let count = descriptors.len();
    match descriptors.pop() {
        Some(descriptor) if count == 1 => Ok(descriptor),
        _ => Err(otherwise(count)),
    }
}

/// `application/wasm`, and what ends as `application/vnd.wasm.content.layer.v1+wasm` does.
fn is_wasm(media_type: &str) -> bool {
    media_type == "application/wasm" || media_type.ends_with("+wasm")
}

fn is_compressed(media_type: &str) -> bool {
    [".gzip", "+gzip", "+zstd"]
        .iter()
        .any(|ending| media_type.ends_with(ending))
}

impl Descriptor {
    fn is_attestation(&self) -> bool {
        let annotated = self
            .annotations
            .as_ref()
            .is_some_and(|annotations| annotations.contains_key(ATTESTATION));
        let unknown = self
            .platform
            .as_ref()
            .is_some_and(|platform| platform.os == "unknown" && platform.architecture == "unknown");
        annotated || unknown
    }

    fn has_no_platform(&self) -> bool {
        self.platform
            .as_ref()
            .is_none_or(|platform| platform.os.is_empty() && platform.architecture.is_empty())
    }
}

impl Platform {
    /// Smaller is better; none where it is no wasm platform.
    fn wasm_rank(&self) -> Option<u8> {
        if self.architecture != "wasm" && self.architecture != "wasm32" {
            return None;
        }
        Some(match self.os.to_ascii_lowercase().as_str() {
            "wasip2" => 0,
            "wasip1" => 1,
            "wasi" => 2,
            _ => 3,
        })
    }
}

fn list(images: &[Descriptor]) -> String {
    if images.is_empty() {
        return "nothing at all".to_owned();
    }
    let mut platforms: Vec<String> = images
        .iter()
        .take(PLATFORMS_SHOWN)
        .map(|image| match &image.platform {
            Some(platform) => shown(&format!("{}/{}", platform.os, platform.architecture)),
            None => "one without a platform".to_owned(),
        })
        .collect();
    if images.len() > PLATFORMS_SHOWN {
        platforms.push("others".to_owned());
    }
    platforms.join(", ")
}

/// A registry's word, cut and without what is not printed.
fn shown(text: &str) -> String {
    if text.is_empty() {
        return "of no stated type".to_owned();
    }
    wasmfn_crds::condition::cut(text, SHOWN_BYTES)
        .chars()
        .filter(|letter| !letter.is_control())
        .collect()
}

/// What fetched bytes are where they are a container image's layer and so no module.
pub(super) fn archive_format(bytes: &[u8]) -> Option<&'static str> {
    const TAR_MAGIC_AT: usize = 257;
    if bytes.starts_with(b"\x1f\x8b") {
        Some("a gzip archive")
    } else if bytes.starts_with(b"\x28\xb5\x2f\xfd") {
        Some("a zstd archive")
    } else if bytes.starts_with(b"PK\x03\x04") {
        Some("a zip archive")
    } else if bytes
        .get(TAR_MAGIC_AT..)
        .is_some_and(|rest| rest.starts_with(b"ustar"))
    {
        Some("a tar archive")
    } else {
        None
    }
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
