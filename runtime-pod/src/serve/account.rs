//! Whose CPU time a guest uses, and whether any is left.

use std::{sync::Arc, time::Duration};

use super::shared::Shared;

/// CPU time after which a guest waits for its turn, however it came by it.
pub(super) const FIRST_SLICE: Duration = Duration::from_millis(2);

/// What a guest's CPU time is counted against.
pub(super) enum Account {
    /// One request's.
    Own {
        /// Used so far.
        used: Duration,
        /// The most.
        limit: Duration,
    },
    /// That of all who share an instance.
    Shared(Arc<Shared>),
}

impl Account {
    /// One request may use so much.
    pub(super) const fn of_one(limit: Duration) -> Self {
        Self::Own {
            used: Duration::ZERO,
            limit,
        }
    }

    /// So much more was used.
    pub(super) fn charge(&mut self, took: Duration) {
        match self {
            Self::Own { used, .. } => *used += took,
            Self::Shared(shared) => shared.book().charge(took),
        }
    }

    /// Whether the request that began last is within its first slice.
    pub(super) fn is_first(&self) -> bool {
        match self {
            Self::Own { used, .. } => *used < FIRST_SLICE,
            Self::Shared(shared) => shared.book().since_last() < FIRST_SLICE,
        }
    }

    /// Whether nothing is left.
    pub(super) fn is_used_up(&self) -> bool {
        match self {
            Self::Own { used, limit } => used >= limit,
            Self::Shared(shared) => shared.book().is_used_up(),
        }
    }
}
