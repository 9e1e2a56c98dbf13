//! What the calls of one request may use together, so that one request cannot be turned into a
//! flood.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::Limits;

/// Calls of one request at the same time: browsers stay below it, fan-outs of aggregators fit.
pub(in crate::sandbox) const CALLS_AT_ONCE: u32 = 32;
/// Calls of one request, one after the other.
pub(in crate::sandbox) const CALLS: u32 = 1000;
/// What calls may carry each way, also where the request's own bodies are limited to less.
pub(in crate::sandbox) const LEAST_BYTES: u64 = 16 << 20;

/// Which part of the allowance is used up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum UsedUp {
    /// [`CALLS_AT_ONCE`].
    AtOnce,
    /// [`CALLS`].
    Calls,
}

/// The allowance of one request.
#[derive(Debug)]
pub(in crate::sandbox) struct Allowance {
    at_once: Arc<Semaphore>,
    calls_left: AtomicU32,
    sent: Volume,
    received: Volume,
}

/// Bytes in one direction.
#[derive(Debug)]
pub(super) struct Volume {
    limit_bytes: u64,
    left_bytes: AtomicU64,
}

impl Allowance {
    /// What a request with these limits may use: each way as much as both of its own bodies.
    pub(in crate::sandbox) fn new(limits: &Limits) -> Arc<Self> {
        let at_once = Arc::new(Semaphore::new(CALLS_AT_ONCE as usize));
        Self::beside(at_once, limits)
    }

    /// What the next request in the same instance may use: as much again, but for the calls at once
    /// that this one has left running.
    pub(super) fn renewed(&self, limits: &Limits) -> Arc<Self> {
        Self::beside(Arc::clone(&self.at_once), limits)
    }

    fn beside(at_once: Arc<Semaphore>, limits: &Limits) -> Arc<Self> {
        let own_bytes = limits.request_bytes.saturating_add(limits.response_bytes);
        let bytes = own_bytes.max(LEAST_BYTES);
        Arc::new(Self {
            at_once,
            calls_left: AtomicU32::new(CALLS),
            sent: Volume::new(bytes),
            received: Volume::new(bytes),
        })
    }

    /// Lets a call begin; it counts as running until the permit is dropped.
    pub(super) fn begin(&self) -> Result<OwnedSemaphorePermit, UsedUp> {
        let permit = Arc::clone(&self.at_once)
            .try_acquire_owned()
            .map_err(|_| UsedUp::AtOnce)?;
        self.calls_left
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            })
            .map_err(|_| UsedUp::Calls)?;
        Ok(permit)
    }

    /// Whether a call has begun.
    pub(super) fn is_touched(&self) -> bool {
        self.calls_left.load(Ordering::Relaxed) < CALLS
    }

    /// What all calls send.
    pub(super) const fn sent(&self) -> &Volume {
        &self.sent
    }

    /// What all calls receive.
    pub(super) const fn received(&self) -> &Volume {
        &self.received
    }
}

impl Volume {
    const fn new(limit_bytes: u64) -> Self {
        Self {
            limit_bytes,
            left_bytes: AtomicU64::new(limit_bytes),
        }
    }

    /// Takes `bytes`; false if so many are not left.
    pub(super) fn take(&self, bytes: u64) -> bool {
        self.left_bytes
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(bytes)
            })
            .is_ok()
    }

    /// The limit, in bytes.
    pub(super) const fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmfn_crds::spec;

    fn allowance() -> Arc<Allowance> {
        Allowance::new(&Limits::read(&spec::Limits::default()).unwrap())
    }

    #[test]
    fn calls_are_limited_at_once_and_in_all() {
        let allowance = allowance();
        let running: Vec<_> = (0..CALLS_AT_ONCE).map(|_| allowance.begin()).collect();
        assert!(running.iter().all(Result::is_ok));
        assert_eq!(allowance.begin().unwrap_err(), UsedUp::AtOnce);
        drop(running);
        for _ in CALLS_AT_ONCE..CALLS {
            drop(allowance.begin().unwrap());
        }
        assert_eq!(allowance.begin().unwrap_err(), UsedUp::Calls);
    }

    #[test]
    fn the_next_request_may_call_as_often_but_what_still_runs_is_counted() {
        let limits = Limits::read(&spec::Limits::default()).unwrap();
        let first = Allowance::new(&limits);
        assert!(!first.is_touched());
        let running: Vec<_> = (1..CALLS_AT_ONCE).map(|_| first.begin()).collect();
        assert!(first.is_touched());
        assert!(first.sent().take(1));
        let second = first.renewed(&limits);
        assert!(!second.is_touched());
        assert!(second.sent().take(second.sent().limit_bytes()));
        let last = second.begin().unwrap();
        assert_eq!(second.begin().unwrap_err(), UsedUp::AtOnce);
        drop((running, last));
        for _ in 1..CALLS {
            drop(second.begin().unwrap());
        }
        assert_eq!(second.begin().unwrap_err(), UsedUp::Calls);
    }

    #[test]
    fn each_way_carries_what_both_bodies_may_hold() {
        let allowance = allowance();
        let limit_bytes = (16 << 20) + (64 << 20);
        assert_eq!(allowance.sent().limit_bytes(), limit_bytes);
        assert!(allowance.sent().take(limit_bytes));
        assert!(!allowance.sent().take(1));
        assert!(allowance.received().take(limit_bytes - 1));
        assert!(!allowance.received().take(2));
        assert!(allowance.received().take(1));
    }
}
