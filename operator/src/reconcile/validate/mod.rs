//! What the spec asks for, checked against the admin's settings. What comes out cannot be wrong.

use std::collections::BTreeMap;

use wasmfn_crds::{
    Placement, Reason, WasmFunction, hosts,
    names::{SHARED_RUNTIME, is_served_by, runtime_of},
    quantity,
    stores::StoreOffers,
};

use super::references::{self, References};
use crate::config::{Config, RuntimeSettings};

mod template;
#[cfg(test)]
mod tests;

/// Grace period of shared pods, in seconds: the longest shared request and the time to let go.
const SHARED_GRACE_SECONDS: i64 = 330;

/// What a dedicated pod's grace period adds to its function's longest request, in seconds.
const GRACE_MARGIN_SECONDS: i64 = 30;

/// Why a function is not as it should be: a reason of the API and a sentence.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// The reason.
    pub reason: Reason,
    /// What is wrong and what to do.
    pub message: String,
}

impl Problem {
    /// A problem.
    #[must_use]
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

/// The function that an object belongs to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Owner {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

impl Owner {
    /// The function as an owner.
    #[must_use]
    pub fn of(function: &WasmFunction) -> Self {
        Self {
            name: function.metadata.name.clone().unwrap_or_default(),
            uid: function.metadata.uid.clone().unwrap_or_default(),
        }
    }
}

/// A runtime deployment, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct RuntimePlan {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The function that it belongs to; unset for the shared one.
    pub owner: Option<Owner>,
    /// Settings of its pods.
    pub settings: RuntimeSettings,
    /// Registries that its pods ask over plain HTTP.
    pub plain_http_registries: Vec<String>,
    /// Labels of its pods that the function asks for.
    pub extra_labels: BTreeMap<String, String>,
    /// Annotations of its pods that the function asks for.
    pub extra_annotations: BTreeMap<String, String>,
    /// Secrets and ConfigMaps that its pods see.
    pub references: References,
    /// Grace period of its pods, in seconds.
    pub grace_seconds: i64,
}

/// A function, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Validated {
    /// Runtime deployments that shall exist: where it is to run, and the shared one where that
    /// still serves it. A dedicated one with a problem is left as it is.
    pub runtimes: Vec<RuntimePlan>,
    /// What is wrong with the function.
    pub problem: Option<Problem>,
}

/// Checks `function`. `siblings` are all functions of its namespace, itself included.
#[must_use]
pub fn validate(function: &WasmFunction, siblings: &[&WasmFunction], config: &Config) -> Validated {
    let mut runtimes = Vec::new();
    let namespace = function.metadata.namespace.as_deref().unwrap_or_default();
    let offers = &config.runtime(namespace).stores;
    let mut problem = spec_problem(function, offers).err();
    if is_served_by(function, SHARED_RUNTIME) {
        let (plan, left_out) = shared_runtime(function, siblings, config);
        runtimes.push(plan);
        if left_out && function.spec.placement == Placement::Shared {
            problem.get_or_insert_with(too_many_references);
        }
    }
    if function.spec.placement == Placement::Dedicated && problem.is_none() {
        match dedicated_runtime(function, config) {
            Ok(plan) => runtimes.push(plan),
            Err(found) => problem = Some(found),
        }
    }
    Validated { runtimes, problem }
}

fn too_many_references() -> Problem {
    let most = references::MOST_NAMES;
    Problem::new(
        Reason::TooManyReferences,
        format!(
            "the shared functions of this namespace name more than {most} Secrets and ConfigMaps together, \
             and older functions come first; name fewer, or set `placement: Dedicated`"
        ),
    )
}

/// The shared runtime deployment of the function's namespace, and whether the function's
/// references have no place in it.
fn shared_runtime(
    function: &WasmFunction,
    siblings: &[&WasmFunction],
    config: &Config,
) -> (RuntimePlan, bool) {
    let namespace = function.metadata.namespace.clone().unwrap_or_default();
    let mut members: Vec<&WasmFunction> = siblings
        .iter()
        .copied()
        .filter(|sibling| is_served_by(sibling, SHARED_RUNTIME))
        .collect();
    members.sort_by_cached_key(|member| hosts::seniority(member));
    let offers = &config.runtime(&namespace).stores;
    let gathered = references::gather(members, offers);
    let uid = function.metadata.uid.as_deref().unwrap_or_default();
    let plan = RuntimePlan {
        name: SHARED_RUNTIME.to_owned(),
        owner: None,
        settings: config.runtime(&namespace).clone(),
        plain_http_registries: config.plain_http_registries.clone(),
        extra_labels: BTreeMap::new(),
        extra_annotations: BTreeMap::new(),
        references: gathered.references,
        grace_seconds: SHARED_GRACE_SECONDS,
        namespace,
    };
    (plan, gathered.left_out.contains(uid))
}

fn dedicated_runtime(function: &WasmFunction, config: &Config) -> Result<RuntimePlan, Problem> {
    let namespace = function.metadata.namespace.clone().unwrap_or_default();
    let template = function.spec.template.clone().unwrap_or_default();
    let settings = template::settings(
        config.runtime(&namespace),
        &template,
        &config.dedicated_template,
    )?;
    Ok(RuntimePlan {
        name: runtime_of(function),
        owner: Some(Owner::of(function)),
        settings,
        plain_http_registries: config.plain_http_registries.clone(),
        extra_labels: template.labels,
        extra_annotations: template.annotations,
        references: References::of(function, &config.runtime(&namespace).stores),
        grace_seconds: i64::from(function.spec.limits.timeout_seconds) + GRACE_MARGIN_SECONDS,
        namespace,
    })
}

/// What the schema lets pass and yet cannot be.
fn spec_problem(function: &WasmFunction, offers: &StoreOffers) -> Result<(), Problem> {
    let limits = &function.spec.limits;
    for (field, amount) in [
        ("memoryPerRequest", &limits.memory_per_request),
        ("requestBytes", &limits.request_bytes),
        ("responseBytes", &limits.response_bytes),
    ] {
        quantity::bytes(amount).map_err(|error| {
            Problem::new(Reason::InvalidSpec, format!("`limits.{field}`: {error}"))
        })?;
    }
    match references::problem(&References::of(function, offers)) {
        Some(message) => Err(Problem::new(Reason::InvalidSpec, message)),
        None => Ok(()),
    }
}
