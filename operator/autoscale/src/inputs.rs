use std::time::{Duration, Instant};

/// What is known about a runtime deployment.
#[derive(Clone, Debug, PartialEq)]
pub struct Inputs {
    /// `spec.replicas` as it stands.
    pub current: u32,
    /// Pods that stay while the deployment has functions; 0 for a `Dedicated` one.
    pub keep_warm: u32,
    /// All functions that the deployment has to hold.
    pub functions: Vec<Function>,
    /// Since when the demand of every gateway has been known without a gap; unset while some
    /// gateway has not told its full picture yet, or none is there.
    pub known_since: Option<Instant>,
}

/// One function of a deployment.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// `spec.replicas`: a fixed count, which turns scaling off.
    pub fixed: Option<u32>,
    /// `scaling.minReplicas`.
    pub min_replicas: u32,
    /// `scaling.maxReplicas`.
    pub max_replicas: u32,
    /// `scaling.idleSeconds`: how long the last pod outlives the last request.
    pub idle: Duration,
    /// `suspend`: it asks for nothing.
    pub suspended: bool,
    /// Its current generation is not loaded anywhere yet: a pod has to see to it.
    pub loading: bool,
    /// Requests in flight and waiting, over all gateways.
    pub demand: u64,
    /// When there last was any demand.
    pub last_demand: Option<Instant>,
}
