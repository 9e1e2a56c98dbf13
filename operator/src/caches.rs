//! What the API server holds, as far as the operator has to know it: kept up to date by watches.

use std::{collections::BTreeMap, fmt::Debug, hash::Hash, sync::Arc};

use futures::{Future, StreamExt};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::DynamicObject,
    core::DeserializeGuard,
    runtime::{
        WatchStreamExt,
        reflector::{self, ObjectRef, Store, store::Writer},
        watcher::{self, Event},
    },
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use wasmfn_api_server::Reach;
use wasmfn_crds::{
    WasmFunction,
    hosts::FunctionKey,
    names::{COMPONENT_LABEL, GATEWAY_COMPONENT, MANAGED_BY, MANAGED_BY_LABEL, RUNTIME_COMPONENT},
};

use crate::reconcile::{
    NAME_LABEL,
    object::{Kind, ObjectKey},
};

/// A function, or what is left of one that this version cannot parse.
pub type Guarded = DeserializeGuard<WasmFunction>;

/// Kinds that are kept as they come; deployments are read as such, Secrets not at all.
const PLAIN_KINDS: [Kind; 5] = [
    Kind::Service,
    Kind::ServiceAccount,
    Kind::RoleBinding,
    Kind::NetworkPolicy,
    Kind::PodDisruptionBudget,
];

/// The reading ends of all caches.
#[derive(Clone)]
pub struct Caches {
    /// All functions.
    pub functions: Store<Guarded>,
    /// All pods of wasmfn: runtime pods everywhere, and gateways.
    pub pods: Store<Pod>,
    /// All runtime deployments.
    pub deployments: Store<Deployment>,
    objects: BTreeMap<Kind, Store<DynamicObject>>,
}

/// The writing ends.
pub struct Writers {
    functions: Writer<Guarded>,
    pods: Writer<Pod>,
    deployments: Writer<Deployment>,
    objects: BTreeMap<Kind, Writer<DynamicObject>>,
}

/// Whoever wants to hear of each change, after the caches have it.
pub trait Listener: Send + Sync + 'static {
    /// A function has changed.
    fn function(&self, event: &Event<Guarded>);
    /// A pod has changed.
    fn pod(&self, event: &Event<Pod>);
    /// A runtime deployment has changed.
    fn deployment(&self, event: &Event<Deployment>);
    /// Another object that the operator made has changed.
    fn object(&self, kind: Kind, event: &Event<DynamicObject>);
}

/// Empty caches.
#[must_use]
pub fn caches() -> (Caches, Writers) {
    let (functions, functions_writer) = reflector::store();
    let (pods, pods_writer) = reflector::store();
    let (deployments, deployments_writer) = reflector::store();
    let mut objects = BTreeMap::new();
    let mut objects_writers = BTreeMap::new();
    for kind in PLAIN_KINDS {
        let writer = Writer::new(kind.resource());
        objects.insert(kind, writer.as_reader());
        objects_writers.insert(kind, writer);
    }
    (
        Caches {
            functions,
            pods,
            deployments,
            objects,
        },
        Writers {
            functions: functions_writer,
            pods: pods_writer,
            deployments: deployments_writer,
            objects: objects_writers,
        },
    )
}

impl Caches {
    /// Waits until each cache has been filled once.
    pub async fn ready(&self) {
        // A writer lives as long as the process; if one is gone, the process is on its way out.
        let _ = self.functions.wait_until_ready().await;
        let _ = self.pods.wait_until_ready().await;
        let _ = self.deployments.wait_until_ready().await;
        for store in self.objects.values() {
            let _ = store.wait_until_ready().await;
        }
    }

    /// A function, if this version can parse it.
    #[must_use]
    pub fn functions_of(&self, namespace: &str) -> Vec<Arc<Guarded>> {
        self.functions
            .state_filter(|function| function.meta().namespace.as_deref() == Some(namespace))
    }

    /// Keys of all functions.
    #[must_use]
    pub fn function_keys(&self) -> Vec<FunctionKey> {
        let state = self.functions.state();
        state
            .iter()
            .map(|function| key(function.as_ref()))
            .collect()
    }

    /// A runtime deployment.
    #[must_use]
    pub fn deployment(&self, namespace: &str, name: &str) -> Option<Arc<Deployment>> {
        self.deployments
            .get(&ObjectRef::new(name).within(namespace))
    }

    /// Pods that say that they belong to a runtime deployment.
    #[must_use]
    pub fn runtime_pods(&self, namespace: &str, runtime: &str) -> Vec<Arc<Pod>> {
        self.pods.state_filter(|pod| {
            pod.metadata.namespace.as_deref() == Some(namespace)
                && crate::reconcile::pod::runtime(pod) == Some(runtime)
        })
    }

    /// An object of ours, as plain data. Secrets are never known.
    #[must_use]
    pub fn object(&self, key: &ObjectKey) -> Option<Value> {
        if key.kind == Kind::Deployment {
            let deployment = self.deployment(&key.namespace, &key.name)?;
            return serde_json::to_value(&*deployment).ok();
        }
        let store = self.objects.get(&key.kind)?;
        let resource = key.kind.resource();
        let found = ObjectRef::new_with(&key.name, resource.clone()).within(&key.namespace);
        let mut object = serde_json::to_value(&*store.get(&found)?).ok()?;
        // Objects of a list come without.
        object["apiVersion"] = resource.api_version.into();
        object["kind"] = resource.kind.into();
        Some(object)
    }

    /// Every object of ours with its labels and its UID.
    #[must_use]
    pub fn all_objects(&self) -> Vec<(ObjectKey, BTreeMap<String, String>, String)> {
        let mut all = Vec::new();
        for deployment in self.deployments.state() {
            all.push(described(Kind::Deployment, &*deployment));
        }
        for (kind, store) in &self.objects {
            for object in store.state() {
                all.push(described(*kind, &*object));
            }
        }
        all
    }
}

fn described<K: ResourceExt>(
    kind: Kind,
    object: &K,
) -> (ObjectKey, BTreeMap<String, String>, String) {
    let key = ObjectKey {
        kind,
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
    };
    let labels = object.labels().clone();
    (key, labels, object.uid().unwrap_or_default())
}

/// Key of a function.
#[must_use]
pub fn key<K: ResourceExt>(object: &K) -> FunctionKey {
    FunctionKey {
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
    }
}

#[cfg(test)]
impl Writers {
    /// Puts an object into the cache of its kind, as a watch would.
    pub(crate) fn put(&mut self, kind: Kind, object: &Value) {
        let object = object.clone();
        match self.objects.get_mut(&kind) {
            Some(writer) => writer.apply_watcher_event(&Event::Apply(
                serde_json::from_value(object).expect("an object"),
            )),
            None => self.deployments.apply_watcher_event(&Event::Apply(
                serde_json::from_value(object).expect("a deployment"),
            )),
        }
    }

    /// Puts a function into its cache.
    pub(crate) fn put_function(&mut self, function: &WasmFunction) {
        let guarded = DeserializeGuard(Ok(function.clone()));
        self.functions.apply_watcher_event(&Event::Apply(guarded));
    }

    /// Puts a pod into its cache.
    pub(crate) fn put_pod(&mut self, pod: &Pod) {
        self.pods.apply_watcher_event(&Event::Apply(pod.clone()));
    }
}

impl Writers {
    /// Keeps all caches up to date, and tells `listener` of each change, until dropped.
    pub async fn run(self, client: Client, listener: Arc<impl Listener>) {
        let ours = watcher::Config::default().labels(&format!("{MANAGED_BY_LABEL}={MANAGED_BY}"));
        let pods = watcher::Config::default().labels(&format!(
            "{NAME_LABEL}={MANAGED_BY},{COMPONENT_LABEL} in ({RUNTIME_COMPONENT},{GATEWAY_COMPONENT})"
        ));
        let (on_function, on_pod, on_deployment) = (
            Arc::clone(&listener),
            Arc::clone(&listener),
            Arc::clone(&listener),
        );
        let objects = self.objects.into_iter().map(|(kind, writer)| {
            let listener = Arc::clone(&listener);
            let api = Api::all_with(client.clone(), &kind.resource());
            watch(api, ours.clone(), writer, move |event| {
                listener.object(kind, event);
            })
        });
        futures::join!(
            watch(
                Api::all(client.clone()),
                watcher::Config::default(),
                self.functions,
                move |event| on_function.function(event),
            ),
            watch(Api::all(client.clone()), pods, self.pods, move |event| {
                on_pod.pod(event);
            }),
            watch(
                Api::all(client.clone()),
                ours.clone(),
                self.deployments,
                move |event| on_deployment.deployment(event),
            ),
            futures::future::join_all(objects),
        );
    }
}

fn watch<K>(
    api: Api<K>,
    config: watcher::Config,
    writer: Writer<K>,
    mut changed: impl FnMut(&Event<K>) + Send,
) -> impl Future<Output = ()> + Send
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    K::DynamicType: Clone + Debug + Eq + Hash + Send + Sync,
{
    let url = api.resource_url().to_owned();
    let stream = wasmfn_api_server::changes(api, config)
        .modify(|object| object.meta_mut().managed_fields = None);
    let stream = reflector::reflector(writer, stream);
    async move {
        let mut stream = std::pin::pin!(stream);
        let mut reach = Reach::of(url);
        while let Some(event) = stream.next().await {
            match event {
                Ok(event) => {
                    reach.is_there();
                    changed(&event);
                }
                Err(error) => reach.is_away(&error),
            }
        }
    }
}
