use std::time::Instant;

use crate::{Inputs, floor};

/// What to write to `spec.replicas`, and why.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    /// Pods that the deployment shall have.
    pub replicas: u32,
    /// What asked for them.
    pub cause: Cause,
    /// When to decide again though nothing has changed by then.
    pub again_at: Option<Instant>,
}

/// What decided the number of pods.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cause {
    /// A fixed `spec.replicas`.
    Fixed,
    /// `keepWarm` of the namespace.
    KeepWarm,
    /// `scaling.minReplicas`.
    MinReplicas,
    /// A generation that is not loaded yet.
    Loading,
    /// Requests in flight or waiting.
    Demand,
    /// The last request is not long enough ago.
    RecentDemand,
    /// Nobody needs a pod.
    Idle,
    /// No function is left: the deployment stays as it is until it is removed.
    NoFunctions,
    /// Fewer would do by what is known, but not all is known.
    MissingData,
}

impl Cause {
    /// One word for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fixed => "Fixed",
            Self::KeepWarm => "KeepWarm",
            Self::MinReplicas => "MinReplicas",
            Self::Loading => "Loading",
            Self::Demand => "Demand",
            Self::RecentDemand => "RecentDemand",
            Self::Idle => "Idle",
            Self::NoFunctions => "NoFunctions",
            Self::MissingData => "MissingData",
        }
    }
}

/// How many pods the deployment shall have at `now`.
///
/// Never fewer than now while the demand of some gateway is unknown, but for a fixed count, which
/// is somebody's word and no guess.
#[must_use]
pub fn decide(inputs: &Inputs, now: Instant) -> Decision {
    let floor = floor::of_deployment(inputs, now);
    let by_guess = floor.cause != Cause::Fixed;
    if floor.replicas < inputs.current && by_guess && inputs.known_since.is_none() {
        return Decision {
            replicas: inputs.current,
            cause: Cause::MissingData,
            again_at: None,
        };
    }
    Decision {
        replicas: floor.replicas,
        cause: floor.cause,
        again_at: floor.until,
    }
}
