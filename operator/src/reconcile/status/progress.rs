//! How far the current generation is.

use wasmfn_crds::{Reason, Resolved, Serving};
use wasmfn_report::Load;

use crate::reconcile::{
    observed::{Observed, is_current, is_settled},
    validate::Problem,
};

/// How far the current generation is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Progress {
    /// A pod serves it.
    Loaded,
    /// It was loaded, and would be again after waking up.
    Idle,
    /// It cannot be brought up.
    Failed(Problem),
    /// It is being brought up.
    Underway(Problem),
}

pub(super) fn progress(
    observed: &Observed<'_>,
    resolved: Option<&Resolved>,
    serving: Option<&Serving>,
) -> Progress {
    let loaded = observed
        .target
        .reports()
        .filter_map(|report| report.serving.as_ref())
        .any(|version| is_current(observed.function, resolved, version));
    let on_record = observed
        .function
        .status
        .as_ref()
        .and_then(|status| status.serving.as_ref());
    let settled = is_settled(observed.function, resolved, serving.or(on_record));
    if loaded && settled {
        return Progress::Loaded;
    }
    if loaded {
        let message = "it is loaded where it is to run; a pod there is about to become ready";
        return Progress::Underway(Problem::new(Reason::PodsStarting, message));
    }
    if let Some((word, message)) = observed.failure() {
        let reason = Reason::parse(word).unwrap_or(Reason::LoadFailed);
        return Progress::Failed(Problem::new(reason, message));
    }
    if let Some(trouble) = observed.target.trouble() {
        return Progress::Failed(trouble.clone());
    }
    if settled {
        return Progress::Idle;
    }
    Progress::Underway(underway(observed))
}

/// The furthest that a pod is with the current generation.
fn underway(observed: &Observed<'_>) -> Problem {
    let furthest = observed
        .current_reports()
        .map(|report| stage(&report.load))
        .max_by_key(|(stage, ..)| *stage);
    if let Some((_, reason, message)) = furthest {
        return Problem::new(reason, message);
    }
    let any_heard = observed
        .target
        .pods
        .iter()
        .any(|pod| pod.heard && !pod.leaving);
    if any_heard {
        Problem::new(
            Reason::Pending,
            "the pods have yet to hear of this generation",
        )
    } else if observed.target.replicas > 0 || !observed.target.pods.is_empty() {
        Problem::new(Reason::PodsStarting, "a runtime pod is starting")
    } else {
        Problem::new(Reason::Pending, "a runtime pod is about to be started")
    }
}

fn stage(load: &Load) -> (u8, Reason, &'static str) {
    match load {
        Load::Compiling => (
            3,
            Reason::Compiling,
            "the module is being compiled and linked",
        ),
        Load::Pulling => (2, Reason::Pulling, "the module is being pulled"),
        Load::Resolving => (
            1,
            Reason::Resolving,
            "the registry is being asked for the digest",
        ),
        Load::Waiting | Load::Loaded | Load::Failed { .. } | Load::Unknown => {
            (0, Reason::Pending, "nothing has happened yet")
        }
    }
}
