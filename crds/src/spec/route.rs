use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a function answers. It always owns `NAME.NAMESPACE.DOMAIN`, with every path.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// Who may call it.
    #[serde(default)]
    pub visibility: Visibility,
    /// More hosts, each under a suffix that the admin granted to this namespace. The older of two
    /// functions that claim the same host and path has it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        inner(
            length(min = 1, max = 253),
            regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
        )
    )]
    #[x_kube(merge_strategy = kube::core::ListMerge::Set)]
    pub hosts: Vec<String>,
    /// Path prefixes that it answers under `hosts`, by whole segments; all paths where empty. The
    /// longest prefix wins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        inner(length(min = 1, max = 256), regex(pattern = r"^/[^\s?#]*$"))
    )]
    #[x_kube(merge_strategy = kube::core::ListMerge::Set)]
    pub paths: Vec<String>,
}

/// Who may call a function.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Visibility {
    /// Everyone who reaches the gateway, from outside and from inside the cluster.
    #[default]
    Public,
    /// Pods of the cluster only.
    Cluster,
}
