/// What decided the number of pods.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Cause {
    /// A fixed `spec.replicas`.
    Fixed,
    /// `keepWarm` of the namespace.
    KeepWarm,
    /// `scaling.minReplicas`.
    MinReplicas,
    /// `scaling.maxReplicas`: demand asks for more, or what is there is more.
    MaxReplicas,
    /// A generation that is not loaded yet.
    Loading,
    /// A function that still answers here while another deployment takes over.
    Handover,
    /// Requests, CPU or memory, as they are now.
    Demand,
    /// There was more demand a moment ago, or the last request is not long enough ago.
    RecentDemand,
    /// Nobody needs a pod.
    Idle,
    /// All functions are suspended.
    Suspended,
    /// No function is left: the deployment stays as it is until it is removed.
    NoFunctions,
    /// Fewer would do by what is known, but not all is known, or not for long enough.
    MissingData,
    /// Fewer would do, but pods are being replaced.
    Rollout,
    /// More are needed, but there is no room for those that were asked for already.
    NoCapacity,
}

impl Cause {
    /// One word for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fixed => "Fixed",
            Self::KeepWarm => "KeepWarm",
            Self::MinReplicas => "MinReplicas",
            Self::MaxReplicas => "MaxReplicas",
            Self::Loading => "Loading",
            Self::Handover => "Handover",
            Self::Demand => "Demand",
            Self::RecentDemand => "RecentDemand",
            Self::Idle => "Idle",
            Self::Suspended => "Suspended",
            Self::NoFunctions => "NoFunctions",
            Self::MissingData => "MissingData",
            Self::Rollout => "Rollout",
            Self::NoCapacity => "NoCapacity",
        }
    }
}
