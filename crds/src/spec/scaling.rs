use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// How a function scales on the requests in flight.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[x_kube(validation = Rule::new("self.minReplicas <= self.maxReplicas")
    .message("`minReplicas` must be at most `maxReplicas`")
    .field_path(".minReplicas"))]
#[serde(rename_all = "camelCase")]
pub struct Scaling {
    /// Fewest pods. With 0, an idle `Dedicated` function has none, and a shared one keeps none
    /// busy; the first request waits while one starts.
    #[schemars(range(min = 0, max = 1000))]
    #[serde(default = "min_replicas")]
    pub min_replicas: i32,
    /// Most pods; for `Shared`, the most that this function alone may ask for.
    #[schemars(range(min = 1, max = 1000))]
    #[serde(default = "max_replicas")]
    pub max_replicas: i32,
    /// Requests in flight that one pod is meant to carry.
    #[schemars(range(min = 1, max = 10000))]
    #[serde(default = "target_concurrency")]
    pub target_concurrency: i32,
    /// Pods leave only after demand has been lower for this long, in seconds.
    #[schemars(range(min = 1, max = 3600))]
    #[serde(default = "scale_down_window_seconds")]
    pub scale_down_window_seconds: i32,
    /// The last pod leaves only after this long without a request, in seconds.
    #[schemars(range(min = 1, max = 86400))]
    #[serde(default = "idle_seconds")]
    pub idle_seconds: i32,
    /// Requests that may wait at a gateway while no pod can serve; one more is answered 503.
    #[schemars(range(min = 0, max = 100_000))]
    #[serde(default = "max_queued")]
    pub max_queued: i32,
    /// How long a request may wait at a gateway, in seconds, before it is answered 503.
    #[schemars(range(min = 1, max = 600))]
    #[serde(default = "max_queue_seconds")]
    pub max_queue_seconds: i32,
}

impl Default for Scaling {
    fn default() -> Self {
        Self {
            min_replicas: min_replicas(),
            max_replicas: max_replicas(),
            target_concurrency: target_concurrency(),
            scale_down_window_seconds: scale_down_window_seconds(),
            idle_seconds: idle_seconds(),
            max_queued: max_queued(),
            max_queue_seconds: max_queue_seconds(),
        }
    }
}

const fn min_replicas() -> i32 {
    0
}

const fn max_replicas() -> i32 {
    10
}

const fn target_concurrency() -> i32 {
    100
}

const fn scale_down_window_seconds() -> i32 {
    60
}

const fn idle_seconds() -> i32 {
    60
}

const fn max_queued() -> i32 {
    1000
}

const fn max_queue_seconds() -> i32 {
    30
}
