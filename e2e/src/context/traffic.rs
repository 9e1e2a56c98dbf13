//! Steady traffic on a function, of which nothing may be lost.

use std::time::Duration;

use anyhow::Result;

use super::Context;
use crate::http::{LoadPlan, RunningLoad};
use crate::wait::wait_until;

/// How long traffic may take to flow on.
const FLOW_DEADLINE: Duration = Duration::from_secs(90);

/// Traffic that goes on until it is stopped.
pub struct Traffic(RunningLoad);

impl Context {
    /// Starts `concurrency` clients that ask a function for `path` over and over, from outside.
    #[must_use]
    pub fn traffic(&self, function: &str, path: &str, concurrency: usize) -> Traffic {
        Traffic(RunningLoad::start(LoadPlan {
            path: path.to_owned(),
            concurrency,
            ..self.load_on(function)
        }))
    }
}

impl Traffic {
    /// Waits until `more` further requests were sent.
    ///
    /// # Errors
    /// They were not within a minute and a half.
    pub async fn flows(&self, more: usize) -> Result<()> {
        let goal = self.0.sent() + more;
        wait_until("traffic flows", FLOW_DEADLINE, async || {
            Ok((self.0.sent() >= goal).then_some(()))
        })
        .await
    }

    /// Stops, and fails if anything was lost. Gives how many requests there were.
    ///
    /// # Errors
    /// Something was lost.
    pub async fn none_lost(self) -> Result<usize> {
        let report = self.0.stop().await?;
        report.none_lost()?;
        Ok(report.sent)
    }
}
