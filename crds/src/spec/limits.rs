use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What one request may use at most. What passes a limit ends, alone.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("quantity(self.memoryPerRequest).compareTo(quantity('1Mi')) >= 0 && quantity(self.memoryPerRequest).compareTo(quantity('4Gi')) <= 0")
    .message("`memoryPerRequest` must be between 1Mi and 4Gi")
    .field_path(".memoryPerRequest"))]
#[x_kube(validation = Rule::new("quantity(self.requestBytes).compareTo(quantity('16Gi')) <= 0")
    .message("`requestBytes` must be at most 16Gi")
    .field_path(".requestBytes"))]
#[x_kube(validation = Rule::new("quantity(self.responseBytes).compareTo(quantity('16Gi')) <= 0")
    .message("`responseBytes` must be at most 16Gi")
    .field_path(".responseBytes"))]
pub struct Limits {
    /// Memory of the guest, over all its memories and tables together.
    #[schemars(
        with = "String",
        length(max = 16),
        regex(pattern = r"^[0-9]{1,12}(Ki|Mi|Gi|k|M|G)?$")
    )]
    #[serde(default = "memory_per_request")]
    pub memory_per_request: Quantity,
    /// CPU time of the guest, in milliseconds.
    #[schemars(range(min = 1, max = 3_600_000))]
    #[serde(default = "cpu_milliseconds_per_request")]
    pub cpu_milliseconds_per_request: i64,
    /// Time from the pod's admission of the request to the last byte of the answer, in seconds.
    /// At most 300 for `Shared`.
    #[schemars(range(min = 1, max = 3600))]
    #[serde(default = "timeout_seconds")]
    pub timeout_seconds: i32,
    /// Requests that one pod serves at the same time.
    #[schemars(range(min = 1, max = 10000))]
    #[serde(default = "max_concurrency")]
    pub max_concurrency: i32,
    /// Size of the request's body.
    #[schemars(
        with = "String",
        length(max = 16),
        regex(pattern = r"^[0-9]{1,12}(Ki|Mi|Gi|k|M|G)?$")
    )]
    #[serde(default = "request_bytes")]
    pub request_bytes: Quantity,
    /// Size of the answer's body.
    #[schemars(
        with = "String",
        length(max = 16),
        regex(pattern = r"^[0-9]{1,12}(Ki|Mi|Gi|k|M|G)?$")
    )]
    #[serde(default = "response_bytes")]
    pub response_bytes: Quantity,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_per_request: memory_per_request(),
            cpu_milliseconds_per_request: cpu_milliseconds_per_request(),
            timeout_seconds: timeout_seconds(),
            max_concurrency: max_concurrency(),
            request_bytes: request_bytes(),
            response_bytes: response_bytes(),
        }
    }
}

fn memory_per_request() -> Quantity {
    Quantity("128Mi".to_owned())
}

const fn cpu_milliseconds_per_request() -> i64 {
    10_000
}

const fn timeout_seconds() -> i32 {
    30
}

const fn max_concurrency() -> i32 {
    1000
}

fn request_bytes() -> Quantity {
    Quantity("16Mi".to_owned())
}

fn response_bytes() -> Quantity {
    Quantity("64Mi".to_owned())
}

/// How a WASI preview 1 command is called. For JSON commands the limits of `limits` that stand at
/// their defaults are 128 kB in, 20 kB out and 10 MB of memory.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Command {
    /// What it reads and writes. Where unset: what the module's custom section `wasmfn:contract`
    /// says; else JSON if `instructions` is set; else CGI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<Contract>,
    /// Most instructions of one call, counted the same on every machine. 11 million where unset
    /// for JSON; unlimited for CGI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_i64))]
    pub instructions: Option<i64>,
}

/// What a WASI preview 1 command reads and writes.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
#[allow(clippy::upper_case_acronyms)]
pub enum Contract {
    /// RFC 3875: variables and body in, headers and body out.
    CGI,
    /// One JSON document on standard input, one on standard output.
    JSON,
}

/// How long one instance of the guest serves.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Reuse {
    /// Requests that one instance serves before it is thrown away; each draws its own number from
    /// the last quarter below this.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_requests: i32,
    /// Requests that one instance serves at the same time, once it has served some one after another.
    /// More than 1 takes a WASI 0.3 service, and is refused for others when the function is loaded.
    /// Memory is then that of all of them together, and a trap ends them all.
    #[schemars(range(min = 1, max = 1000))]
    pub max_concurrent: i32,
    /// How long an instance waits for its next request, in seconds.
    #[schemars(range(min = 1, max = 3600))]
    pub idle_seconds: i32,
}

impl Default for Reuse {
    fn default() -> Self {
        Self {
            max_requests: 128,
            max_concurrent: 1,
            idle_seconds: 10,
        }
    }
}
