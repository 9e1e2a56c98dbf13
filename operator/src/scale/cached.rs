//! What the caches hold of some namespaces.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
    sync::Arc,
};

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Resource,
    runtime::reflector::{Lookup, Store},
};

use crate::caches::{Caches, Guarded};

/// Objects by namespace, from one pass over each cache however many namespaces are looked at.
pub(super) struct Cached {
    pub(super) deployments: HashMap<String, Vec<Arc<Deployment>>>,
    pub(super) functions: HashMap<String, Vec<Arc<Guarded>>>,
    pub(super) pods: HashMap<String, Vec<Arc<Pod>>>,
}

impl Cached {
    pub(super) fn new(caches: &Caches, namespaces: &BTreeSet<String>) -> Self {
        Self {
            deployments: of(&caches.deployments, namespaces),
            functions: of(&caches.functions, namespaces),
            pods: of(&caches.pods, namespaces),
        }
    }
}

fn of<K>(store: &Store<K>, namespaces: &BTreeSet<String>) -> HashMap<String, Vec<Arc<K>>>
where
    K: Resource + Lookup + Clone + 'static,
    <K as Lookup>::DynamicType: Clone + Eq + Hash,
{
    let is_asked_for = |object: &K| {
        let namespace = object.meta().namespace.as_ref();
        namespace.is_some_and(|namespace| namespaces.contains(namespace))
    };
    let mut by_namespace: HashMap<String, Vec<Arc<K>>> = HashMap::new();
    for object in store.state_filter(is_asked_for) {
        let namespace = object.meta().namespace.clone().unwrap_or_default();
        by_namespace.entry(namespace).or_default().push(object);
    }
    by_namespace
}
