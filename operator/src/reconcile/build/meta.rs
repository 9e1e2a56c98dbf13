//! Names, labels and owners of what the operator makes.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use kube::Resource;
use wasmfn_crds::{
    WasmFunction,
    names::{
        COMPONENT_LABEL, FUNCTION_LABEL, MANAGED_BY, MANAGED_BY_LABEL, RUNTIME_COMPONENT,
        RUNTIME_LABEL,
    },
};

use crate::reconcile::validate::{Owner, RuntimePlan};

/// The standard label that says what a pod is a part of.
pub const NAME_LABEL: &str = "app.kubernetes.io/name";

pub(super) fn labels<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// Labels by which a runtime deployment, its Service and its budget find its pods.
#[must_use]
pub fn runtime_selector(runtime: &str) -> BTreeMap<String, String> {
    labels([
        (NAME_LABEL, MANAGED_BY),
        (COMPONENT_LABEL, RUNTIME_COMPONENT),
        (RUNTIME_LABEL, runtime),
    ])
}

/// The same as text, for `status.selector`.
#[must_use]
pub fn selector_text(runtime: &str) -> String {
    let pairs: Vec<String> = runtime_selector(runtime)
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    pairs.join(",")
}

/// Selects all runtime pods of a namespace.
pub(super) fn all_runtime_pods() -> LabelSelector {
    component_pods(RUNTIME_COMPONENT)
}

/// Selects the pods of a part of wasmfn.
pub(super) fn component_pods(component: &str) -> LabelSelector {
    LabelSelector {
        match_labels: Some(labels([
            (NAME_LABEL, MANAGED_BY),
            (COMPONENT_LABEL, component),
        ])),
        ..LabelSelector::default()
    }
}

/// Of an object that the functions of a namespace share.
pub(super) fn shared(namespace: &str, name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(namespace.to_owned()),
        labels: Some(labels([(MANAGED_BY_LABEL, MANAGED_BY)])),
        ..ObjectMeta::default()
    }
}

/// Of an object that belongs to one function.
pub(super) fn owned(namespace: &str, name: &str, owner: &Owner) -> ObjectMeta {
    let mut meta = shared(namespace, name);
    meta.labels
        .get_or_insert_default()
        .insert(FUNCTION_LABEL.to_owned(), owner.name.clone());
    meta.owner_references = Some(vec![owner_reference(owner)]);
    meta
}

/// Of an object of a runtime deployment.
pub(super) fn of_runtime(plan: &RuntimePlan) -> ObjectMeta {
    let mut meta = match &plan.owner {
        Some(owner) => owned(&plan.namespace, &plan.name, owner),
        None => shared(&plan.namespace, &plan.name),
    };
    meta.labels
        .get_or_insert_default()
        .extend(runtime_selector(&plan.name));
    meta
}

/// `blockOwnerDeletion` stays unset: it asks for a right on the owner that nothing else needs.
fn owner_reference(owner: &Owner) -> OwnerReference {
    OwnerReference {
        api_version: WasmFunction::api_version(&()).into_owned(),
        kind: WasmFunction::kind(&()).into_owned(),
        name: owner.name.clone(),
        uid: owner.uid.clone(),
        controller: Some(true),
        block_owner_deletion: None,
    }
}
