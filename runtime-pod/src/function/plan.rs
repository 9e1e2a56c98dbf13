//! What to do next for a function: a pure decision.

use std::time::{Duration, Instant};

use wasmfn_crds::{WasmFunction, names::RESOLVE_AT_ANNOTATION};
use wasmfn_report::Resolution;

use crate::command::contract::{Asked, Counting};

/// Pause before the first new attempt; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause between attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Whose word counts for what a tag stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ResolutionAuthority {
    /// The operator's: a digest is served once `status.resolved` names it.
    Operator,
    /// This process's own: there is no operator.
    Own,
}

/// What the object asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Desired {
    pub(super) image: String,
    pub(super) resolve_at: String,
    /// Digest of `status.resolved`, if it belongs to this image and annotation.
    pub(super) recorded: Option<String>,
    pub(super) generation: i64,
    pub(super) is_suspended: bool,
    /// State of the referred Secrets and `ConfigMap`s.
    pub(super) revision: u64,
    /// How the module is to be compiled.
    pub(super) counting: Counting,
}

impl Desired {
    pub(super) fn of(function: &WasmFunction, revision: u64) -> Self {
        let image = function.spec.image.clone();
        let resolve_at = function
            .metadata
            .annotations
            .as_ref()
            .and_then(|annotations| annotations.get(RESOLVE_AT_ANNOTATION))
            .cloned()
            .unwrap_or_default();
        let recorded = function
            .status
            .as_ref()
            .and_then(|status| status.resolved.as_ref())
            .filter(|resolved| resolved.image == image && resolved.resolve_at == resolve_at)
            .map(|resolved| resolved.digest.clone());
        Self {
            image,
            resolve_at,
            recorded,
            generation: function.metadata.generation.unwrap_or_default(),
            is_suspended: function.spec.suspend,
            revision,
            counting: Counting::of(Asked::of(function.spec.command.as_ref())),
        }
    }
}

/// What has been done so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// What this process resolved last.
    pub(super) resolution: Option<Resolution>,
    /// The module that is compiled and ready to be served.
    pub(super) prepared: Option<Prepared>,
    /// What requests get now.
    pub(super) serving: Option<Served>,
    /// The last attempt that failed.
    pub(super) failure: Option<Failure>,
    /// Generation that was running at two crashes of the process.
    pub(super) quarantined: Option<i64>,
}

/// A module that is compiled.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Prepared {
    pub(super) digest: String,
    pub(super) counting: Counting,
}

/// What requests get.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Served {
    pub(super) digest: String,
    pub(super) generation: i64,
    pub(super) revision: u64,
}

/// An attempt that failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Failure {
    pub(super) attempt: Attempt,
    /// When to try again; never, until something changes, where unset.
    pub(super) retry_at: Option<Instant>,
    /// How often it failed in a row.
    pub(super) times: u32,
}

/// A step, and what it was based on: the same step on another basis is worth another try.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Attempt {
    pub(super) step: Step,
    pub(super) generation: i64,
    pub(super) revision: u64,
}

/// What to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// Ask the registry for the digest of the image.
    Resolve {
        /// The image.
        image: String,
        /// The annotation.
        resolve_at: String,
    },
    /// Pull and compile.
    Prepare {
        /// Where from.
        image: String,
        /// What.
        digest: String,
        /// How.
        counting: Counting,
    },
    /// Let requests get the prepared module under the newest settings.
    Serve {
        /// The module.
        digest: String,
    },
}

/// What comes next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Next {
    /// This step, now.
    Do(Attempt),
    /// Nothing until this time, unless something changes.
    Pause(Instant),
    /// Nothing until something changes.
    Rest(Resting),
}

/// Why there is nothing to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Resting {
    /// The newest generation is served.
    Served,
    /// The operator has to record the digest.
    Unrecorded,
    /// The function is suspended.
    Suspended,
    /// The last attempt failed for good.
    Failed,
    /// The generation was running at two crashes of the process.
    Quarantined,
}

/// Decides what comes next.
pub(super) fn next(
    desired: &Desired,
    progress: &Progress,
    authority: ResolutionAuthority,
    now: Instant,
) -> Next {
    let step = match step(desired, progress, authority) {
        Ok(step) => step,
        Err(resting) => return Next::Rest(resting),
    };
    let attempt = Attempt {
        step,
        generation: desired.generation,
        revision: desired.revision,
    };
    match &progress.failure {
        Some(failure) if failure.attempt == attempt => match failure.retry_at {
            None => Next::Rest(Resting::Failed),
            Some(time) if time > now => Next::Pause(time),
            Some(_) => Next::Do(attempt),
        },
        _ => Next::Do(attempt),
    }
}

fn step(
    desired: &Desired,
    progress: &Progress,
    authority: ResolutionAuthority,
) -> Result<Step, Resting> {
    if desired.is_suspended {
        return Err(Resting::Suspended);
    }
    if progress.quarantined == Some(desired.generation) {
        return Err(Resting::Quarantined);
    }
    let own = progress
        .resolution
        .as_ref()
        .filter(|own| own.image == desired.image && own.resolve_at == desired.resolve_at)
        .map(|own| own.digest.clone());
    let Some(digest) = desired.recorded.clone().or_else(|| own.clone()) else {
        return Ok(Step::Resolve {
            image: desired.image.clone(),
            resolve_at: desired.resolve_at.clone(),
        });
    };
    let served = Served {
        digest: digest.clone(),
        generation: desired.generation,
        revision: desired.revision,
    };
    let may_serve = desired.recorded.is_some() || authority == ResolutionAuthority::Own;
    if may_serve && progress.serving.as_ref() == Some(&served) {
        return Err(Resting::Served);
    }
    let wanted = Prepared {
        digest: digest.clone(),
        counting: desired.counting,
    };
    if progress.prepared.as_ref() != Some(&wanted) {
        return Ok(Step::Prepare {
            image: desired.image.clone(),
            digest,
            counting: desired.counting,
        });
    }
    if may_serve {
        Ok(Step::Serve { digest })
    } else {
        Err(Resting::Unrecorded)
    }
}

/// A failure of `attempt` at `now`, after `before`; tried again only if it is `transient`, and not
/// before `at_least` has passed.
pub(super) fn fail(
    attempt: Attempt,
    before: Option<&Failure>,
    transient: bool,
    at_least: Option<Duration>,
    now: Instant,
) -> Failure {
    let times = before
        .filter(|failure| failure.attempt == attempt)
        .map_or(1, |failure| failure.times.saturating_add(1));
    let pause = FIRST_PAUSE
        .saturating_mul(1 << (times - 1).min(10))
        .min(LONGEST_PAUSE)
        .max(at_least.unwrap_or_default());
    Failure {
        attempt,
        retry_at: transient.then(|| now + pause),
        times,
    }
}
