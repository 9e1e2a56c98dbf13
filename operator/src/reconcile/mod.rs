//! A function's way from what it asks for to what there is: fetch, validate, build, apply, status.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use kube::runtime::controller::Action;
use wasmfn_crds::{WasmFunction, hosts::FunctionKey};

mod apply;
mod build;
mod error;
mod fetch;
pub mod object;
pub mod observed;
mod pacing;
pub mod pod;
mod recent;
pub mod references;
mod status;
#[cfg(test)]
mod tests;
pub mod validate;
mod write_status;

pub(crate) use apply::label_path;
pub use apply::{Applier, ApplyError};
pub use build::{House, NAME_LABEL, runtime_selector};
pub use error::ReconcileError;
pub(crate) use fetch::replica_failure;
pub use pacing::{Pacing, is_rolling};
pub use recent::Recent;

use crate::{caches::Guarded, context::Context, telemetry::chain};
use fetch::Fetched;
use observed::Observed;
use references::Pace;
use validate::{Owner, Problem, Validated};

/// How long nothing is looked at without any reason: a net under the watches.
const SAFETY_NET: Duration = Duration::from_secs(600);

/// How soon a name that somebody else has is looked at again.
const NAME_TAKEN_RECHECK: Duration = Duration::from_secs(180);

/// Brings what there is to what a function asks for, and writes down how it fares.
///
/// # Errors
/// [`ReconcileError`]; what was done by then stays.
pub async fn reconcile(
    object: Arc<Guarded>,
    context: Arc<Context>,
) -> Result<Action, ReconcileError> {
    let started = Instant::now();
    let outcome = match &object.0 {
        Ok(cached) => reconcile_function(cached, &context).await,
        Err(unparsable) => {
            let written = write_status::write_unparsable(unparsable, &context).await;
            written.map(|()| Action::await_change())
        }
    };
    let word = outcome.as_ref().map_or_else(ReconcileError::word, |_| "Ok");
    context.metrics.reconciled(word, started.elapsed());
    if outcome.is_ok() {
        let uid = kube::ResourceExt::uid(object.as_ref()).unwrap_or_default();
        context.backoff.forget(&uid);
    }
    outcome
}

/// What happens after a failed reconcile: the next try, later each time.
#[must_use]
pub fn after_error(object: &Guarded, error: &ReconcileError, context: &Context) -> Action {
    let delay = context
        .backoff
        .failed(&kube::ResourceExt::uid(object).unwrap_or_default());
    tracing::warn!(
        function = %crate::caches::key(object),
        error = chain(error),
        delay_seconds = delay.as_secs(),
        "reconcile failed"
    );
    Action::requeue(delay)
}

async fn reconcile_function(
    cached: &WasmFunction,
    context: &Context,
) -> Result<Action, ReconcileError> {
    if cached.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let now = Instant::now();
    let function = context.recent.newest(cached);
    let fetched = fetch::fetch(&function, context, now);
    let siblings = fetched.siblings(&context.recent);
    let siblings: Vec<&WasmFunction> = siblings.iter().map(AsRef::as_ref).collect();
    let validated = validate::validate(&function, &siblings, &context.config);
    let (applied, paced_until) = apply_all(&function, &validated, context, now).await;
    let problem = applied.as_ref().err().and_then(error::problem);
    write(&function, &fetched, validated.problem.or(problem), context).await?;
    match applied {
        Err(ApplyError::NameTaken(_)) => Ok(Action::requeue(NAME_TAKEN_RECHECK)),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(next_look([paced_until, fetched.active_until], now)),
    }
}

/// Builds and applies all that the function needs. Says until when a roll has to wait, if one does.
async fn apply_all(
    function: &WasmFunction,
    validated: &Validated,
    context: &Context,
    now: Instant,
) -> (Result<(), ApplyError>, Option<Instant>) {
    let FunctionKey { namespace, .. } = FunctionKey::of(function);
    let house = context.house();
    let mut runtime_objects = Vec::new();
    let mut paced_until = None;
    for plan in &validated.runtimes {
        runtime_objects.extend(build::runtime_companions(plan));
        let live = context.caches.deployment(&plan.namespace, &plan.name);
        match context.pacing.pace(plan, live.as_deref(), now) {
            Pace::Now => runtime_objects.push(build::runtime_deployment(house, plan)),
            Pace::Until(until) => paced_until = Some(until),
        }
    }
    let stages = [build::companions(house, &namespace), runtime_objects];
    let alias = build::alias(house, &namespace, &Owner::of(function));
    let (shared, alias) = futures::join!(
        context.applier.apply_shared(&namespace, &stages),
        context.applier.apply(&alias),
    );
    (shared.and(alias).map(|_| ()), paced_until)
}

async fn write(
    function: &WasmFunction,
    fetched: &Fetched,
    problem: Option<Problem>,
    context: &Context,
) -> Result<(), ReconcileError> {
    let key = FunctionKey::of(function);
    let uid = function.metadata.uid.as_deref().unwrap_or_default();
    let generation = function.metadata.generation.unwrap_or_default();
    let observed = Observed {
        function,
        target: fetched.target.clone(),
        serving: fetched.serving.clone(),
        active: fetched.active,
        host_problems: fetched.hosts.problems(&key),
        // As late as may be: gateways hear of a change when the operator does.
        routing: context.knowledge.routing(&key, uid, generation),
        problem,
    };
    let status = status::status(&observed, &context.config, Timestamp::now());
    write_status::write_status(function, status, context).await
}

fn next_look(times: impl IntoIterator<Item = Option<Instant>>, now: Instant) -> Action {
    let next = times.into_iter().flatten().min();
    let wait = next.map_or(SAFETY_NET, |next| next.saturating_duration_since(now));
    // A moment later, so that the time has surely come.
    Action::requeue(wait.min(SAFETY_NET) + Duration::from_millis(5))
}
