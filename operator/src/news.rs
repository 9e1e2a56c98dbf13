//! What a change in the cluster makes the operator look at again.

use std::sync::{Arc, Mutex};

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{ResourceExt, api::DynamicObject, runtime::watcher::Event};
use wasmfn_crds::{
    ConditionType, Reason, WasmFunction,
    condition::find,
    hosts::FunctionKey,
    names::{FUNCTION_LABEL, RUNTIME_COMPONENT, RUNTIME_LABEL, SHARED_RUNTIME, is_served_by},
};

use crate::{
    caches::{self, Guarded, Listener},
    context::Context,
    follow::Followers,
    reconcile::{
        object::{Kind, ObjectKey},
        pod,
    },
};

/// Hears of each change and has looked at again whom it concerns.
pub struct News {
    context: Arc<Context>,
    followers: Mutex<Followers>,
}

impl News {
    /// Follows pods through `followers`.
    #[must_use]
    pub fn new(context: Arc<Context>, followers: Followers) -> Self {
        Self {
            context,
            followers: Mutex::new(followers),
        }
    }

    fn function_seen(&self, function: &Guarded) {
        let context = &self.context;
        let key = caches::key(function);
        if let Ok(function) = &function.0
            && context.hosts.seen(function)
        {
            context.functions.wake_all(context.hosts.claimants());
        }
        context.namespaces.wake(key.namespace.clone());
        context.functions.wake(key);
        context.removal.notify_one();
    }

    fn function_gone(&self, function: &Guarded) {
        let context = &self.context;
        let key = caches::key(function);
        let uid = function.uid().unwrap_or_default();
        context.backoff.forget(&uid);
        context.recent.forget(&uid);
        context.knowledge.forget(&key);
        if context.hosts.gone(&key) {
            context.functions.wake_all(context.hosts.claimants());
        }
        context.functions.wake_all(self.heirs(&key));
        context.namespaces.wake(key.namespace);
        context.removal.notify_one();
    }

    /// Whom the end of a function concerns: those that waited for its place in the shared volume,
    /// and anyone who brings the shared deployment up to date.
    fn heirs(&self, gone: &FunctionKey) -> Vec<FunctionKey> {
        let siblings = self.context.caches.functions_of(&gone.namespace);
        let shared = reconciled(&siblings).find(|sibling| is_served_by(sibling, SHARED_RUNTIME));
        let any = shared.or_else(|| reconciled(&siblings).next());
        let waiting = reconciled(&siblings).filter(|sibling| waits_for_room(sibling));
        any.into_iter()
            .chain(waiting)
            .map(FunctionKey::of)
            .collect()
    }

    /// Has the functions of a runtime deployment looked at again.
    fn runtime_changed(&self, namespace: &str, runtime: &str) {
        let siblings = self.context.caches.functions_of(namespace);
        let served = siblings
            .iter()
            .filter_map(|sibling| sibling.0.as_ref().ok())
            .filter(|sibling| is_served_by(sibling, runtime))
            .map(FunctionKey::of);
        self.context.functions.wake_all(served);
        self.context.namespaces.wake(namespace.to_owned());
    }

    fn pod_seen(&self, pod: &Pod) {
        let mut followers = self.followers();
        followers.seen(pod);
        self.context.metrics.follows(followers.len());
        drop(followers);
        self.pod_changed(pod);
    }

    fn pod_gone(&self, pod: &Pod) {
        let mut followers = self.followers();
        followers.gone(pod);
        self.context.metrics.follows(followers.len());
        drop(followers);
        self.pod_changed(pod);
    }

    fn pod_changed(&self, pod: &Pod) {
        let is_runtime = pod
            .labels()
            .get(wasmfn_crds::names::COMPONENT_LABEL)
            .is_some_and(|component| component == RUNTIME_COMPONENT);
        if let (true, Some(runtime)) = (is_runtime, pod::runtime(pod)) {
            self.runtime_changed(&pod.namespace().unwrap_or_default(), runtime);
        }
    }

    /// Has someone looked at again who brings an object that has changed back into its shape.
    fn object_changed(&self, object: &impl ResourceExt) {
        let namespace = object.namespace().unwrap_or_default();
        let labels = object.labels();
        if let Some(name) = labels.get(FUNCTION_LABEL) {
            let name = name.clone();
            self.context.functions.wake(FunctionKey { namespace, name });
        } else if let Some(runtime) = labels.get(RUNTIME_LABEL) {
            self.runtime_changed(&namespace, runtime);
        } else {
            let siblings = self.context.caches.functions_of(&namespace);
            let any = reconciled(&siblings).next().map(FunctionKey::of);
            self.context.functions.wake_all(any);
        }
        self.context.removal.notify_one();
    }

    fn object_gone(&self, kind: Kind, object: &impl ResourceExt) {
        self.context.applier.gone(&ObjectKey {
            kind,
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
        });
        self.object_changed(object);
    }

    /// After a gap in a watch anything may have gone unseen.
    fn look_at_all(&self) {
        let keys = self.context.caches.function_keys();
        let namespaces: Vec<String> = keys.iter().map(|key| key.namespace.clone()).collect();
        self.context.functions.wake_all(keys);
        self.context.namespaces.wake_all(namespaces);
        self.context.removal.notify_one();
    }

    fn followers(&self) -> std::sync::MutexGuard<'_, Followers> {
        self.followers
            .lock()
            .expect("no code that holds this lock panics")
    }
}

/// Those whose reconcile does something: they can be read, and are there to stay.
fn reconciled(functions: &[Arc<Guarded>]) -> impl Iterator<Item = &WasmFunction> {
    let parsed = functions
        .iter()
        .filter_map(|function| function.0.as_ref().ok());
    parsed.filter(|function| function.metadata.deletion_timestamp.is_none())
}

fn waits_for_room(function: &WasmFunction) -> bool {
    let conditions = function.status.as_ref().map(|status| &status.conditions);
    conditions
        .and_then(|conditions| find(conditions, ConditionType::Ready))
        .is_some_and(|ready| ready.reason == Reason::TooManyReferences.as_str())
}

impl Listener for News {
    fn function(&self, event: &Event<Guarded>) {
        match event {
            Event::Apply(function) | Event::InitApply(function) => self.function_seen(function),
            Event::Delete(function) => self.function_gone(function),
            Event::Init => {}
            Event::InitDone => {
                self.context
                    .hosts
                    .retain(&self.context.caches.function_keys());
                self.look_at_all();
            }
        }
    }

    fn pod(&self, event: &Event<Pod>) {
        match event {
            Event::Apply(pod) | Event::InitApply(pod) => self.pod_seen(pod),
            Event::Delete(pod) => self.pod_gone(pod),
            Event::Init => {}
            Event::InitDone => {
                let pods = self.context.caches.pods.state();
                self.followers().retain(pods.iter().map(AsRef::as_ref));
                self.look_at_all();
            }
        }
    }

    fn deployment(&self, event: &Event<Deployment>) {
        match event {
            Event::Apply(deployment) | Event::InitApply(deployment) => {
                let namespace = deployment.namespace().unwrap_or_default();
                self.runtime_changed(&namespace, &deployment.name_any());
                self.context.removal.notify_one();
            }
            Event::Delete(deployment) => {
                self.object_gone(Kind::Deployment, deployment);
                let namespace = deployment.namespace().unwrap_or_default();
                self.runtime_changed(&namespace, &deployment.name_any());
            }
            Event::Init => {}
            Event::InitDone => self.look_at_all(),
        }
    }

    fn object(&self, kind: Kind, event: &Event<DynamicObject>) {
        match event {
            Event::Apply(object) | Event::InitApply(object) => self.object_changed(object),
            Event::Delete(object) => self.object_gone(kind, object),
            Event::Init => {}
            Event::InitDone => self.look_at_all(),
        }
    }
}

#[cfg(test)]
#[path = "news_tests.rs"]
mod tests;
