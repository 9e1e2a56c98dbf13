//! How many files and connections the process may hold open.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the number of descriptors to what the container may have: each mapped module and each
/// connection takes one, and the first limit is 1024 on many nodes.
pub(super) fn raise_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}
