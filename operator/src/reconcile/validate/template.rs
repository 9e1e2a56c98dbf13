//! What the `template` of a dedicated function changes, within what the admin allows.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::ResourceRequirements, apimachinery::pkg::api::resource::Quantity,
};
use wasmfn_crds::{Reason, spec::Template};

use super::Problem;
use crate::{
    config::{RuntimeSettings, TemplateRules},
    resources,
};

/// Settings of the function's pods: the namespace's, with the template's in their place.
pub(super) fn settings(
    base: &RuntimeSettings,
    template: &Template,
    rules: &TemplateRules,
) -> Result<RuntimeSettings, Problem> {
    let mut settings = base.clone();
    if let Some(wanted) = &template.resources {
        check_resources(wanted, rules)?;
        settings.resources = merged(&base.resources, wanted);
    }
    if !template.node_selector.is_empty() {
        allow("nodeSelector", rules.node_selector)?;
        settings
            .node_selector
            .extend(template.node_selector.clone());
    }
    if !template.tolerations.is_empty() {
        allow("tolerations", rules.tolerations)?;
        settings.tolerations.extend(template.tolerations.clone());
    }
    if let Some(affinity) = &template.affinity {
        allow("affinity", rules.affinity)?;
        settings.affinity = Some(affinity.clone());
    }
    Ok(settings)
}

/// What the template leaves out stays as the admin set it.
fn merged(base: &ResourceRequirements, wanted: &ResourceRequirements) -> ResourceRequirements {
    let join = |base: &Option<BTreeMap<String, Quantity>>,
                wanted: &Option<BTreeMap<String, Quantity>>| {
        let mut joined = base.clone().unwrap_or_default();
        joined.extend(wanted.clone().unwrap_or_default());
        (!joined.is_empty()).then_some(joined)
    };
    ResourceRequirements {
        requests: join(&base.requests, &wanted.requests),
        limits: join(&base.limits, &wanted.limits),
        claims: base.claims.clone(),
    }
}

fn allow(field: &str, allowed: bool) -> Result<(), Problem> {
    if allowed {
        return Ok(());
    }
    Err(Problem::new(
        Reason::TemplateNotAllowed,
        format!("the admin does not allow `template.{field}`"),
    ))
}

fn check_resources(wanted: &ResourceRequirements, rules: &TemplateRules) -> Result<(), Problem> {
    allow("resources.claims", wanted.claims.is_none())?;
    for (list, amounts) in [("requests", &wanted.requests), ("limits", &wanted.limits)] {
        for (resource, quantity) in amounts.iter().flatten() {
            let field = format!("template.resources.{list}.{resource}");
            let amount = resources::amount(quantity).map_err(|error| {
                Problem::new(Reason::InvalidSpec, format!("`{field}`: {error}"))
            })?;
            check_bound(&field, resource, amount, quantity, rules)?;
        }
    }
    Ok(())
}

fn check_bound(
    field: &str,
    resource: &str,
    amount: f64,
    quantity: &Quantity,
    rules: &TemplateRules,
) -> Result<(), Problem> {
    let Some(bounds) = &rules.max_resources else {
        return Ok(());
    };
    let not_allowed = |message| Err(Problem::new(Reason::TemplateNotAllowed, message));
    let Some(bound) = bounds.get(resource) else {
        return not_allowed(format!("the admin does not allow `{field}`"));
    };
    match resources::amount(bound) {
        Ok(most) if amount <= most => Ok(()),
        _ => not_allowed(format!(
            "`{field}` is {}, but the admin allows at most {}",
            quantity.0, bound.0
        )),
    }
}
