use std::time::{Duration, Instant};

use crate::Usage;

/// What is known about a runtime deployment.
#[derive(Clone, Debug, PartialEq)]
pub struct Inputs {
    /// `spec.replicas` as it stands: pods that are starting are counted as supply.
    pub current: u32,
    /// Pods that stay while the deployment has functions; 0 for a `Dedicated` one.
    pub keep_warm: u32,
    /// All functions that the deployment has to hold.
    pub functions: Vec<Function>,
    /// Since when every gateway has told its full picture; unset while some gateway has not, is
    /// silent, or none is there.
    pub known_since: Option<Instant>,
    /// Pods of an earlier template are being replaced.
    pub rolling: bool,
    /// Pods that were asked for find no node, or pass the namespace's quota.
    pub no_capacity: bool,
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
    /// Requests that one pod is meant to carry at a time; 0 counts as 1.
    pub target_concurrency: u32,
    /// `scaling.scaleDownWindowSeconds`: how long demand has to be lower before pods leave.
    pub scale_down_window: Duration,
    /// `scaling.idleSeconds`: how long the last pod outlives the last request.
    pub idle: Duration,
    /// `suspend`: it asks for nothing.
    pub suspended: bool,
    /// Its current generation is not loaded anywhere yet: a pod has to see to it.
    pub loading: bool,
    /// It still answers here while another deployment takes over: what is there stays.
    pub hands_over: bool,
    /// Requests that were passed on to pods, over all gateways.
    pub in_flight: u64,
    /// Requests that wait, over all gateways.
    pub queued: u64,
    /// What it uses of the deployment's pods.
    pub usage: Usage,
    /// When there last was any request.
    pub last_demand: Option<Instant>,
}

impl Function {
    /// Fewest pods that it may ask for.
    pub(crate) fn fewest(&self) -> u32 {
        if self.suspended {
            0
        } else {
            self.fixed.unwrap_or(self.min_replicas)
        }
    }

    /// Most pods that it may ask for; never fewer than the fewest.
    pub(crate) fn most(&self) -> u32 {
        if self.suspended {
            0
        } else {
            let most = self.fixed.unwrap_or(self.max_replicas);
            most.max(self.fewest())
        }
    }
}

/// Fewest and most pods of all functions together.
pub(crate) fn bounds(functions: &[Function]) -> (u32, u32) {
    functions.iter().fold((0, 0), |(fewest, most), function| {
        (
            fewest.saturating_add(function.fewest()),
            most.saturating_add(function.most()),
        )
    })
}
