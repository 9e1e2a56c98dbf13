//! Why a reconcile failed.

use thiserror::Error;
use wasmfn_crds::Reason;

use super::{apply::ApplyError, validate::Problem};

/// Why a reconcile failed.
#[derive(Debug, Error)]
pub enum ReconcileError {
    /// An object could not be brought into its shape.
    #[error("cannot make what the function needs")]
    Apply(#[from] ApplyError),
    /// The status could not be written.
    #[error("cannot write the function's status")]
    Status(#[source] kube::Error),
}

impl ReconcileError {
    /// One word for metrics.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Apply(ApplyError::NameTaken(_)) => "NameTaken",
            Self::Apply(ApplyError::Refused { .. }) => "ApplyRefused",
            Self::Apply(ApplyError::Failed { .. }) => "ApplyFailed",
            Self::Status(_) => "StatusFailed",
        }
    }
}

/// What a user can do something about; what passes by itself is none.
#[must_use]
pub fn problem(error: &ApplyError) -> Option<Problem> {
    let reason = match error {
        ApplyError::NameTaken(_) => Reason::NameTaken,
        ApplyError::Refused { .. } => Reason::ApplyFailed,
        ApplyError::Failed { .. } => return None,
    };
    Some(Problem::new(reason, error.to_string()))
}
