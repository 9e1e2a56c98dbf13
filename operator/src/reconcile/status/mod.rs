//! A function's status, from what is known about it. Pure.

use jiff::Timestamp;
use wasmfn_crds::{ModuleKind, Visibility, WasmFunctionStatus, condition, names::runtime_of};

use super::{build::selector_text, observed::Observed};
use crate::config::Config;

mod findings;
mod progress;
mod resolution;
mod serving;
#[cfg(test)]
mod tests;

/// The status that a function shall have. What is not known keeps its old value.
#[must_use]
pub fn status(observed: &Observed<'_>, config: &Config, now: Timestamp) -> WasmFunctionStatus {
    let function = observed.function;
    let old = function.status.clone().unwrap_or_default();
    let resolved = resolution::resolved(observed);
    let (serving, kind) = serving::serving(observed, resolved.as_ref());
    let findings = findings::findings(observed, resolved.as_ref(), serving.as_ref());
    let generation = observed.generation();
    WasmFunctionStatus {
        observed_generation: Some(generation),
        url: url(observed, config),
        internal_url: Some(internal_url(observed)),
        conditions: condition::merge(&old.conditions, &findings, generation, now),
        resolved: resolved.or(old.resolved),
        serving: serving.or(old.serving),
        kind: kind.as_deref().and_then(module_kind).or(old.kind),
        replicas: observed.target.replicas,
        ready_replicas: observed.target.ready_replicas,
        selector: Some(selector_text(&runtime_of(function))),
    }
}

fn url(observed: &Observed<'_>, config: &Config) -> Option<String> {
    match observed.function.spec.route.visibility {
        Visibility::Public => {
            let host = config.hosts.own_host(&observed.key());
            Some(config.external.url(&host))
        }
        Visibility::Cluster => None,
    }
}

fn internal_url(observed: &Observed<'_>) -> String {
    let key = observed.key();
    format!("http://{}.{}.svc", key.name, key.namespace)
}

fn module_kind(word: &str) -> Option<ModuleKind> {
    match word {
        "Component" => Some(ModuleKind::Component),
        "Command" => Some(ModuleKind::Command),
        _ => None,
    }
}
