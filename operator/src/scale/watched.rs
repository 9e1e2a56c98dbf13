//! What is kept about a runtime deployment between two looks at it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::api::apps::v1::Deployment;
use wasmfn_autoscale::{Cause, Decision, History, Inputs, decide};

use super::{
    collect::Namespace,
    write::{self, Written},
};

/// How long a deployment that could not be scaled is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A runtime deployment.
#[derive(Debug)]
pub(super) struct Watched {
    deployment: Arc<Deployment>,
    history: History,
    written: Option<Written>,
    /// A change is being carried out.
    changing: bool,
    retry_at: Option<Instant>,
    lacks_room: bool,
    cause: Option<Cause>,
}

/// What to do about a decision.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// Nothing, until then or until there is news.
    Rest {
        /// When to decide again.
        until: Option<Instant>,
    },
    /// Write it.
    Change,
}

impl Watched {
    pub(super) fn new(deployment: &Arc<Deployment>) -> Self {
        Self {
            deployment: Arc::clone(deployment),
            history: History::default(),
            written: None,
            changing: false,
            retry_at: None,
            lacks_room: false,
            cause: None,
        }
    }

    /// The deployment as it was met first.
    pub(super) fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// Takes in what there is.
    pub(super) fn observe(
        &mut self,
        namespace: &Namespace<'_>,
        deployment: &Deployment,
        now: Instant,
    ) -> Inputs {
        let unseen = self
            .written
            .and_then(|written| written.unless_seen(deployment));
        if unseen.is_none() {
            self.written = None;
        }
        let current = unseen.unwrap_or_else(|| write::replicas(deployment));
        let inputs = namespace.inputs(deployment, current, now);
        self.history.observe(&inputs, now);
        inputs
    }

    pub(super) fn decide(&self, inputs: &Inputs, now: Instant) -> Decision {
        decide(&self.history, inputs, now)
    }

    /// Whether something else than before decides.
    pub(super) fn turns_to(&mut self, cause: Cause) -> bool {
        self.cause.replace(cause) != Some(cause)
    }

    /// Whether room for pods has become short with this decision.
    pub(super) fn begins_to_lack(&mut self, decision: &Decision) -> bool {
        let lacks = decision.lacking > 0;
        !std::mem::replace(&mut self.lacks_room, lacks) && lacks
    }

    /// What to do now; a change is taken to be under way from here on.
    pub(super) fn step(&mut self, decision: &Decision, current: u32, now: Instant) -> Step {
        if decision.replicas == current || self.changing {
            let until = decision.again_at;
            return Step::Rest { until };
        }
        if let Some(until) = self.retry_at.filter(|at| *at > now) {
            return Step::Rest { until: Some(until) };
        }
        self.changing = true;
        Step::Change
    }

    /// The change has ended; with nothing where it failed.
    pub(super) fn changed(&mut self, written: Option<Option<Written>>, now: Instant) {
        self.changing = false;
        self.retry_at = written.is_none().then(|| now + RETRY_AFTER);
        self.written = written.flatten().or(self.written);
    }
}
