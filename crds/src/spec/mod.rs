//! What a user asks for: the spec of a [`WasmFunction`].

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod grants;
mod limits;
mod route;
mod scaling;
mod template;
#[cfg(test)]
mod tests;

pub use grants::{EnvironmentVariable, KeyReference, Outbound, SecretReference, Value, ValueFrom};
pub use limits::{Command, Contract, Limits, Reuse};
pub use route::{Route, Visibility};
pub use scaling::Scaling;
pub use template::Template;

use crate::status::WasmFunctionStatus;

/// A WebAssembly function, served over HTTP a moment after it is applied.
#[derive(CustomResource, KubeSchema, Clone, Debug, Deserialize, PartialEq, Serialize)]
#[kube(
    group = "wasmfn.dev",
    version = "v1alpha1",
    kind = "WasmFunction",
    plural = "wasmfunctions",
    singular = "wasmfunction",
    shortname = "wfn",
    category = "wasm",
    namespaced,
    cel,
    derive = "PartialEq",
    status = "WasmFunctionStatus",
    doc = "A WebAssembly function, served over HTTP a moment after it is applied.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]{0,48}[a-z0-9])?$')")
        .message("`metadata.name` must be a DNS label of at most 50 characters that starts with a letter"),
    validation = Rule::new("!self.metadata.name.startsWith('wasmfn-')")
        .message("`metadata.name` must not start with `wasmfn-`, which names wasmfn's own objects"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".status.replicas"),
    printcolumn(name = "URL", type_ = "string", json_path = ".status.url"),
    printcolumn(name = "Digest", type_ = "string", json_path = ".status.resolved.shortDigest"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(validation = Rule::new("!has(self.replicas) || self.placement == 'Dedicated'")
    .message("`replicas` must be unset unless `placement` is Dedicated: shared pods scale with their namespace")
    .field_path(".replicas"))]
#[x_kube(validation = Rule::new("!has(self.template) || self.placement == 'Dedicated'")
    .message("`template` must be unset unless `placement` is Dedicated: shared pods are the admin's to shape")
    .field_path(".template"))]
#[x_kube(validation = Rule::new("self.placement != 'Shared' || self.limits.timeoutSeconds <= 300")
    .message("`limits.timeoutSeconds` must be at most 300 unless `placement` is Dedicated")
    .field_path(".limits.timeoutSeconds"))]
#[x_kube(validation = Rule::new("!has(self.reuse) || !has(self.command)")
    .message("`reuse` must be unset where `command` is set: a command ends with its request")
    .field_path(".reuse"))]
#[serde(rename_all = "camelCase")]
pub struct WasmFunctionSpec {
    /// OCI reference of the module, by tag (`registry.example.com/team/hello:v1`) or by digest
    /// (`...@sha256:...`). A tag is resolved once; set the annotation `wasmfn.dev/resolve-at` to a
    /// new value to have it resolved again.
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^\S+$"))]
    pub image: String,

    /// Secrets of this namespace (type `kubernetes.io/dockerconfigjson`) with credentials for the
    /// registry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["name".into()]))]
    pub image_pull_secrets: Vec<SecretReference>,

    /// Where it runs: in the namespace's shared pods, or in pods of its own.
    #[serde(default)]
    pub placement: Placement,

    /// Fixed number of pods; only for `Dedicated`. Turns autoscaling off. It is what `kubectl
    /// scale` and a HorizontalPodAutoscaler read and write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: Option<i32>,

    /// How it scales.
    #[serde(default)]
    pub scaling: Scaling,

    /// What every request may use at most.
    #[serde(default)]
    pub limits: Limits,

    /// How a WASI preview 1 command is called; found out from the module where unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Command>,

    /// Environment variables of the guest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["name".into()]))]
    pub env: Vec<EnvironmentVariable>,

    /// Values that the guest reads through `wasi:config`, by key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 100))]
    pub config: BTreeMap<String, Value>,

    /// What the guest may call. Nothing, unless listed here.
    #[serde(default)]
    pub outbound: Outbound,

    /// Where it answers.
    #[serde(default)]
    pub route: Route,

    /// Key-value stores that the guest may use, by the names under which the admin offers them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 63)))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Set)]
    pub stores: Vec<String>,

    /// Lets one instance of the guest serve more than one request. Unset: every request gets a
    /// fresh instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reuse: Option<Reuse>,

    /// Keeps the object but answers every request with 503.
    #[serde(default)]
    pub suspend: bool,

    /// What pods of a `Dedicated` function have besides; only for `Dedicated`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<Template>,
}

/// Where a function runs.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Placement {
    /// In the namespace's shared runtime pods.
    #[default]
    Shared,
    /// In runtime pods of its own.
    Dedicated,
}
