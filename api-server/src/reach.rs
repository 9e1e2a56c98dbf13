use std::error::Error;

use kube::runtime::watcher;

/// Whether the API server tells of something, said when that changes: it is asked about every second.
#[derive(Debug)]
pub struct Reach {
    what: String,
    is_away: bool,
}

impl Reach {
    /// Whether it tells of `what`; taken to be so at first.
    #[must_use]
    pub fn of(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            is_away: false,
        }
    }

    /// It has told something.
    pub fn is_there(&mut self) {
        if std::mem::take(&mut self.is_away) {
            tracing::info!(of = self.what, "changes are heard again");
        }
    }

    /// It could not be asked, or told of an error.
    pub fn is_away(&mut self, error: &watcher::Error) {
        if std::mem::replace(&mut self.is_away, true) {
            tracing::debug!(of = self.what, %error, "changes are still not heard");
        } else {
            tracing::warn!(
                of = self.what,
                error = error as &dyn Error,
                "changes are not heard; going on with what is known"
            );
        }
    }
}
