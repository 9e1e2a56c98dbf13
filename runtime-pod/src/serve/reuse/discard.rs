//! Why instances that could have served more requests end.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelValue;

use crate::metrics::{Metrics, ReusedCounter};

/// Why an instance of a function with `reuse` has ended.
#[derive(Clone, Copy, Debug, EncodeLabelValue, Eq, Hash, PartialEq)]
pub enum Discard {
    /// It has served its number of requests.
    Quota,
    /// It has waited for `idleSeconds`.
    Idle,
    /// Its version answers no more: it was replaced, suspended or deleted, or reuse was given up.
    Replaced,
    /// A request trapped in it, passed a limit, or was given up by its client.
    Failed,
    /// The guest has returned and holds on to its request or its answer.
    Held,
    /// Others wait already, as many as may.
    Surplus,
    /// Its memory or its slot was wanted.
    Room,
}

impl Discard {
    /// All causes.
    pub const ALL: [Self; 7] = [
        Self::Quota,
        Self::Idle,
        Self::Replaced,
        Self::Failed,
        Self::Held,
        Self::Surplus,
        Self::Room,
    ];
}

/// Counts an instance when it is made, and its end when dropped.
#[derive(Debug)]
pub(in crate::serve) struct Tally {
    metrics: Arc<Metrics>,
    function: String,
    cause: Discard,
}

impl Tally {
    /// An instance that is made now. It ends as failed, unless somebody says otherwise.
    pub(in crate::serve) fn new(metrics: &Arc<Metrics>, function: &str) -> Self {
        metrics.made(function);
        Self {
            metrics: Arc::clone(metrics),
            function: function.to_owned(),
            cause: Discard::Failed,
        }
    }

    pub(super) const fn because(&mut self, cause: Discard) {
        self.cause = cause;
    }

    /// Counts requests that its function's instances serve after their first.
    pub(super) fn reused(&self) -> ReusedCounter {
        self.metrics.reused(&self.function)
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.metrics.discarded(&self.function, self.cause);
    }
}
