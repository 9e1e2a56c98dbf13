use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;

/// Who has a Lease, for how long, and how long it has been seen unchanged.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Hold {
    /// The holder; empty where it was given back.
    pub(super) holder: String,
    /// How long the holder may go without a renewal.
    pub(super) duration: Duration,
    /// How long this process has seen it unchanged, on its own clock.
    pub(super) unchanged: Duration,
}

/// What to do about a Lease.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// It is nobody's, or nobody's any more: take it.
    Acquire,
    /// It is mine: say so again.
    Renew,
    /// It is somebody else's.
    Wait,
}

impl Hold {
    /// What a Lease says. A missing duration counts as ours.
    pub(super) fn of(lease: &Lease, unchanged: Duration) -> Self {
        let spec = lease.spec.as_ref();
        let seconds = spec
            .and_then(|spec| spec.lease_duration_seconds)
            .unwrap_or(super::LEASE_SECONDS);
        Self {
            holder: spec
                .and_then(|spec| spec.holder_identity.clone())
                .unwrap_or_default(),
            duration: Duration::from_secs(u64::from(seconds.unsigned_abs())),
            unchanged,
        }
    }
}

/// A Lease is taken over only after it was seen unchanged for its whole duration.
pub(super) fn decide(hold: &Hold, me: &str) -> Step {
    if hold.holder.is_empty() {
        Step::Acquire
    } else if hold.holder == me {
        Step::Renew
    } else if hold.unchanged >= hold.duration {
        Step::Acquire
    } else {
        Step::Wait
    }
}
