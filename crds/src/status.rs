//! How a [`WasmFunction`](crate::WasmFunction) fares: its status.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a function fares. Written by the operator alone.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WasmFunctionStatus {
    /// Generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where it answers from outside the cluster; unset for `visibility: Cluster`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Where it answers from inside the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internal_url: Option<String>,
    /// What the image was resolved to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<Resolved>,
    /// The version that answers now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving: Option<Serving>,
    /// What the module turned out to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ModuleKind>,
    /// Pods of the runtime deployment that serves it.
    #[serde(default)]
    pub replicas: i32,
    /// Those of them that are ready.
    #[serde(default)]
    pub ready_replicas: i32,
    /// Selects its pods, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// `Ready`, `Resolved`, `Loaded`, `Routed`, `Serving`, `Degraded` and `Active`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// What an image was resolved to. Good only while `image` and `resolveAt` equal what the object
/// asks for.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Resolved {
    /// The spec's `image` at the time.
    pub image: String,
    /// The annotation `wasmfn.dev/resolve-at` at the time; empty where there was none.
    #[serde(default)]
    pub resolve_at: String,
    /// Digest of the manifest, as `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// First 12 hexadecimal digits of `digest`, for people.
    pub short_digest: String,
}

impl Resolved {
    /// A resolution of `image`, asked for by `resolve_at`, to `digest`.
    #[must_use]
    pub fn new(image: &str, resolve_at: &str, digest: &str) -> Self {
        let hexadecimal = digest.split_once(':').map_or(digest, |(_, rest)| rest);
        Self {
            image: image.to_owned(),
            resolve_at: resolve_at.to_owned(),
            digest: digest.to_owned(),
            short_digest: hexadecimal.chars().take(12).collect(),
        }
    }
}

/// The version that answers now.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Serving {
    /// Digest of its manifest.
    pub digest: String,
    /// Generation of the spec that it serves under.
    pub generation: i64,
    /// Runtime deployment whose pods answer. It follows `placement` only once pods of the new
    /// place can answer.
    pub runtime: String,
}

/// What a module turned out to be.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ModuleKind {
    /// A component that handles HTTP requests.
    Component,
    /// A WASI preview 1 command.
    Command,
}
