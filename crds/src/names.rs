//! Names that the parts of wasmfn, and their users, agree on: labels, annotations, ports, headers
//! and the objects that the operator makes.

use crate::spec::{Placement, WasmFunction};

/// API group of [`WasmFunction`].
pub const GROUP: &str = "wasmfn.dev";

/// Label on every object that wasmfn makes; the operator never touches an object without it.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// Value of [`MANAGED_BY_LABEL`].
pub const MANAGED_BY: &str = "wasmfn";
/// Label that says which part of wasmfn a pod is.
pub const COMPONENT_LABEL: &str = "app.kubernetes.io/component";
/// [`COMPONENT_LABEL`] of runtime pods.
pub const RUNTIME_COMPONENT: &str = "runtime";
/// [`COMPONENT_LABEL`] of gateway pods.
pub const GATEWAY_COMPONENT: &str = "gateway";
/// [`COMPONENT_LABEL`] of operator pods.
pub const OPERATOR_COMPONENT: &str = "operator";
/// Label that holds the name of a runtime deployment, on it, its pods and its Services.
pub const RUNTIME_LABEL: &str = "wasmfn.dev/runtime";
/// Label that holds the name of a function, on what belongs to that function alone.
pub const FUNCTION_LABEL: &str = "wasmfn.dev/function";

/// Annotation on a [`WasmFunction`]: any new value asks for its tag to be resolved again.
pub const RESOLVE_AT_ANNOTATION: &str = "wasmfn.dev/resolve-at";
/// Annotation on a runtime deployment's pod template: digest of the names of Secrets and
/// ConfigMaps that its volume projects, so that a changed set rolls the deployment.
pub const REFERENCES_ANNOTATION: &str = "wasmfn.dev/references";
/// The annotation by which Kubernetes chooses the pod that leaves first.
pub const DELETION_COST_ANNOTATION: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Field manager of what the operator reconciles.
pub const FIELD_MANAGER: &str = "wasmfn-operator";
/// Field manager of `replicas`, written by the scaler alone.
pub const SCALE_FIELD_MANAGER: &str = "wasmfn-operator-scale";
/// Field manager of `status`.
pub const STATUS_FIELD_MANAGER: &str = "wasmfn-operator-status";

/// Runtime deployment of a namespace's shared functions.
pub const SHARED_RUNTIME: &str = "wasmfn-shared";
/// ServiceAccount, Role-less RoleBinding subject and name of the per-namespace companions.
pub const RUNTIME_ACCOUNT: &str = "wasmfn-runtime";
/// ClusterRole (from the chart) that the RoleBinding of a namespace refers to.
pub const RUNTIME_CLUSTER_ROLE: &str = "wasmfn-runtime";
/// Secret of a namespace that holds its derived tokens and keys.
pub const KEYS_SECRET: &str = "wasmfn-keys";
/// Secret in wasmfn's own namespace that holds the master key, under [`MASTER_KEY_FIELD`].
pub const MASTER_KEY_SECRET: &str = "wasmfn-master-key";
/// Field of [`MASTER_KEY_SECRET`]: 32 random bytes.
pub const MASTER_KEY_FIELD: &str = "key";
/// Lease by which the operators choose their leader.
pub const LEADER_LEASE: &str = "wasmfn-operator";

/// Environment variable of runtime pods that holds certificates of authorities to believe, in PEM.
pub const CA_CERTIFICATES_VARIABLE: &str = "WASMFN_CA_CERTIFICATES";

/// Request header, set by the gateway, that names the function.
pub const FUNCTION_HEADER: &str = "wasmfn-function";
/// Request header, set by the gateway, that proves who it is to a runtime pod.
pub const TOKEN_HEADER: &str = "wasmfn-token";
/// Response header that holds a one-word reason wherever wasmfn itself answers.
pub const REASON_HEADER: &str = "wasmfn-reason";
/// Response header of a pod that did not begin the request: it may be sent elsewhere.
/// Never leaves the gateway.
pub const REFUSED_HEADER: &str = "wasmfn-refused";
/// Headers that begin so belong to wasmfn: dropped from what clients and guests send.
pub const HEADER_PREFIX: &str = "wasmfn-";

/// Runtime pod: requests from gateways.
pub const RUNTIME_DATA_PORT: u16 = 8080;
/// Runtime pod: state stream, metrics, probes.
pub const RUNTIME_ADMIN_PORT: u16 = 8081;
/// Runtime pod: module bytes by digest, for its siblings.
pub const RUNTIME_MODULE_PORT: u16 = 8082;
/// Gateway: public functions, requests from outside.
pub const GATEWAY_PUBLIC_PORT: u16 = 8080;
/// Gateway: the same with TLS.
pub const GATEWAY_PUBLIC_TLS_PORT: u16 = 8443;
/// Gateway: state stream, metrics, probes.
pub const GATEWAY_ADMIN_PORT: u16 = 8081;
/// Gateway: all functions, requests from inside the cluster.
pub const GATEWAY_CLUSTER_PORT: u16 = 8090;
/// Operator: metrics, probes.
pub const OPERATOR_ADMIN_PORT: u16 = 8081;

/// Path of the state stream on admin ports.
pub const STATE_PATH: &str = "/v1/state";

/// A function's name is at most this long, so that every child's name fits 63 characters.
pub const FUNCTION_NAME_MAX_LENGTH: usize = 50;

/// Runtime deployment that the spec asks for.
#[must_use]
pub fn runtime_of(function: &WasmFunction) -> String {
    let name = function.metadata.name.as_deref().unwrap_or_default();
    match function.spec.placement {
        Placement::Shared => SHARED_RUNTIME.to_owned(),
        Placement::Dedicated => dedicated_runtime(name),
    }
}

/// How runtime deployments of dedicated functions begin.
const DEDICATED_PREFIX: &str = "wasmfn-fn-";

/// Runtime deployment of a dedicated function.
#[must_use]
pub fn dedicated_runtime(function: &str) -> String {
    format!("{DEDICATED_PREFIX}{function}")
}

/// Whether a runtime deployment is that of one function alone.
#[must_use]
pub fn is_dedicated(runtime: &str) -> bool {
    runtime.starts_with(DEDICATED_PREFIX)
}

/// Runtime deployment whose pods answer for a function at this moment: the one that the operator
/// wrote down, until it has seen another one take over; before that, the one that the spec asks for.
#[must_use]
pub fn serving_runtime(function: &WasmFunction) -> String {
    function
        .status
        .as_ref()
        .and_then(|status| status.serving.as_ref())
        .map_or_else(|| runtime_of(function), |serving| serving.runtime.clone())
}

/// Whether pods of `runtime` have to hold `function`: they are to serve it, or still do.
#[must_use]
pub fn is_served_by(function: &WasmFunction, runtime: &str) -> bool {
    runtime_of(function) == runtime || serving_runtime(function) == runtime
}
