//! Whether and how long the instances of a version serve one request after another.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use wasmfn_crds::spec;

use crate::engine::Wasi;

/// Requests that kept instances of a version have to serve well before it is trusted: until then a
/// request that fails in one is tried in a fresh one. Guests that cannot serve twice fail at once.
const PROBATION_REQUESTS: u32 = 16;

/// What `served_well` holds once reuse was given up.
const GIVEN_UP: u32 = u32::MAX;

/// The least that is drawn of `maxRequests`, as a part of it: three quarters. Instances that
/// began together do not end together.
const LEAST_QUOTA_QUARTERS: u32 = 3;

/// The spec asks for what the module's instances cannot do.
#[derive(Debug, thiserror::Error, Eq, PartialEq)]
#[error(
    "`spec.reuse.maxConcurrent` must be 1, not {max_concurrent}: an instance of a WASI 0.2 component serves \
     one request at a time; leave it out, and set `spec.limits.maxConcurrency` for what a pod serves at the \
     same time, or build the function as a WASI 0.3 service"
)]
pub struct ReuseError {
    max_concurrent: i32,
}

/// How the instances of one version are reused, and whether that goes well.
#[derive(Debug)]
pub struct Reuse {
    max_requests: u32,
    most_at_once: u32,
    idle: Duration,
    /// Requests that kept instances have served well, counted up to [`PROBATION_REQUESTS`]; or
    /// [`GIVEN_UP`].
    served_well: AtomicU32,
}

impl Reuse {
    /// Reads `spec.reuse` for a component of this generation of WASI.
    ///
    /// # Errors
    /// [`ReuseError`] for several requests at a time in one instance of WASI 0.2.
    pub fn read(spec: &spec::Reuse, wasi: Wasi) -> Result<Self, ReuseError> {
        if spec.max_concurrent != 1 && wasi == Wasi::V0_2 {
            return Err(ReuseError {
                max_concurrent: spec.max_concurrent,
            });
        }
        let positive = |number: i32| u32::try_from(number).unwrap_or(0).max(1);
        Ok(Self {
            max_requests: positive(spec.max_requests),
            most_at_once: positive(spec.max_concurrent),
            idle: Duration::from_secs(positive(spec.idle_seconds).into()),
            served_well: AtomicU32::new(0),
        })
    }

    /// How long an instance waits for its next request.
    #[must_use]
    pub const fn idle(&self) -> Duration {
        self.idle
    }

    /// Requests that a new instance serves, drawn for it by the random number `draw`.
    #[must_use]
    pub fn quota(&self, draw: u32) -> u32 {
        quota(self.max_requests, draw)
    }

    /// Requests that one instance serves at the same time.
    #[must_use]
    pub const fn most_at_once(&self) -> u32 {
        self.most_at_once
    }

    /// Whether requests join others in an instance: once it is known to serve more than one.
    #[must_use]
    pub fn shares(&self) -> bool {
        self.most_at_once > 1 && self.is_trusted()
    }

    /// Whether instances are kept at all: not any more once it was given up.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.served_well.load(Ordering::Relaxed) != GIVEN_UP
    }

    /// Whether the guest is known to serve more than once.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.served_well.load(Ordering::Relaxed) == PROBATION_REQUESTS
    }

    /// A kept instance has served a request well.
    pub fn went_well(&self) {
        // Failing changes nothing: it is trusted, or given up, already.
        let _ = self
            .served_well
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                (count < PROBATION_REQUESTS).then(|| count + 1)
            });
    }

    /// The guest cannot serve more than once. False if that was known.
    pub fn give_up(&self) -> bool {
        self.served_well.swap(GIVEN_UP, Ordering::Relaxed) != GIVEN_UP
    }
}

/// Between three quarters and all of `max_requests`, by a random number.
fn quota(max_requests: u32, draw: u32) -> u32 {
    let spread = max_requests / 4 * (4 - LEAST_QUOTA_QUARTERS);
    max_requests - draw % (spread + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reuse() -> Reuse {
        Reuse::read(&spec::Reuse::default(), Wasi::V0_2).unwrap()
    }

    #[test]
    fn only_services_serve_several_requests_at_a_time() {
        let several = spec::Reuse {
            max_concurrent: 2,
            ..spec::Reuse::default()
        };
        let error = Reuse::read(&several, Wasi::V0_2).unwrap_err().to_string();
        assert!(error.starts_with("`spec.reuse.maxConcurrent`"), "{error}");
        assert_eq!(reuse().idle(), Duration::from_secs(10));
        let service = Reuse::read(&several, Wasi::V0_3).unwrap();
        assert_eq!(service.most_at_once(), 2);
        assert!(!service.shares(), "it has to prove itself first");
        for _ in 0..PROBATION_REQUESTS {
            service.went_well();
        }
        assert!(service.shares());
        assert!(service.give_up());
        assert!(!service.shares());
    }

    #[test]
    fn a_guest_is_trusted_once_it_has_served_well() {
        let reuse = reuse();
        for _ in 0..PROBATION_REQUESTS {
            assert!(!reuse.is_trusted());
            reuse.went_well();
        }
        assert!(reuse.is_trusted());
        assert!(reuse.is_on());
    }

    #[test]
    fn what_was_given_up_stays_so() {
        let reuse = reuse();
        assert!(reuse.give_up());
        assert!(!reuse.give_up());
        reuse.went_well();
        assert!(!reuse.is_on());
        assert!(!reuse.is_trusted());
    }

    #[test]
    fn quotas_are_spread_over_the_last_quarter() {
        let drawn: Vec<_> = (0..33).map(|draw| quota(128, draw)).collect();
        assert_eq!(drawn.iter().max(), Some(&128));
        assert_eq!(drawn.iter().min(), Some(&96));
    }

    proptest! {
        #[test]
        fn no_instance_serves_more_than_it_may(max_requests in 1_u32..1_000_000, draw: u32) {
            let quota = quota(max_requests, draw);
            prop_assert!((1..=max_requests).contains(&quota));
            prop_assert!(u64::from(quota) * 4 >= u64::from(max_requests) * 3);
        }
    }
}
