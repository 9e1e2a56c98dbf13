//! Takes away what no function needs any more: runtime deployments that were moved out of, and
//! what the functions of a namespace shared. What belongs to one function goes with it by itself.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use kube::{
    Api,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions, PropagationPolicy},
};
use serde_json::json;
use wasmfn_crds::{
    hosts::FunctionKey,
    names::{
        FUNCTION_LABEL, KEYS_SECRET, MANAGED_BY, RUNTIME_ACCOUNT, RUNTIME_LABEL, is_served_by,
    },
};

use crate::{
    caches::{self, Guarded},
    context::Context,
    reconcile::{
        label_path,
        object::{Kind, ObjectKey},
    },
    telemetry::chain,
};

/// Gateways and pods may lag behind a move: nothing goes before this long without need.
const GRACE: Duration = Duration::from_secs(10);

/// How often all objects are looked at without any reason.
const SAFETY_NET: Duration = Duration::from_secs(60);

/// An object that nobody needs.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Unneeded {
    key: ObjectKey,
    uid: String,
}

/// Removes for as long as it is polled.
pub async fn run(context: Arc<Context>) {
    let mut since: HashMap<Unneeded, Instant> = HashMap::new();
    loop {
        let unneeded = unneeded(
            context.caches.all_objects(),
            &context.caches.functions.state(),
        );
        let (now_due, next) = due(&mut since, unneeded, Instant::now());
        for object in now_due {
            match remove(&context, &object).await {
                // The caches are behind: it went before.
                Ok(false) => {}
                Ok(true) => {
                    context.metrics.removed();
                    tracing::info!(object = %object.key, namespace = object.key.namespace, "removed");
                }
                Err(error) => {
                    tracing::warn!(object = %object.key, namespace = object.key.namespace, error = chain(&error), "cannot remove");
                }
            }
        }
        let wait = next.unwrap_or_else(|| Instant::now() + SAFETY_NET);
        let _ = tokio::time::timeout_at(wait.into(), context.removal.notified()).await;
    }
}

/// Objects of ours that no function needs. What an ownerReference takes away is left to that.
fn unneeded(
    objects: Vec<(ObjectKey, BTreeMap<String, String>, String)>,
    functions: &[Arc<Guarded>],
) -> Vec<Unneeded> {
    let mut by_namespace: HashMap<String, Vec<&Guarded>> = HashMap::new();
    for function in functions {
        let FunctionKey { namespace, .. } = caches::key(function.as_ref());
        by_namespace.entry(namespace).or_default().push(function);
    }
    objects
        .into_iter()
        .filter(|(key, labels, _)| {
            let functions = by_namespace
                .get(&key.namespace)
                .map_or(&[] as &[_], Vec::as_slice);
            !is_needed(key, labels, functions)
        })
        .map(|(key, _, uid)| Unneeded { key, uid })
        .collect()
}

fn is_needed(key: &ObjectKey, labels: &BTreeMap<String, String>, functions: &[&Guarded]) -> bool {
    if let Some(runtime) = labels.get(RUNTIME_LABEL) {
        let owner = labels.get(FUNCTION_LABEL);
        let owner_is_gone = owner.is_some_and(|owner| {
            !functions
                .iter()
                .any(|function| caches::key(*function).name == *owner)
        });
        return owner_is_gone
            || functions.iter().any(|function| {
                // One that cannot be parsed may need anything.
                function
                    .0
                    .as_ref()
                    .map_or(true, |function| is_served_by(function, runtime))
            });
    }
    // A Service that is neither a runtime's nor a companion is a function's name, and owned.
    key.name != RUNTIME_ACCOUNT || !functions.is_empty()
}

/// Those of `unneeded` whose grace is over, and when the next one's is.
fn due(
    since: &mut HashMap<Unneeded, Instant>,
    unneeded: Vec<Unneeded>,
    now: Instant,
) -> (Vec<Unneeded>, Option<Instant>) {
    since.retain(|object, _| unneeded.contains(object));
    let mut due = Vec::new();
    let mut next: Option<Instant> = None;
    for object in unneeded {
        let at = *since.entry(object.clone()).or_insert(now) + GRACE;
        if at <= now {
            // Tried again after another grace, should it fail.
            since.insert(object.clone(), now);
            due.push(object);
        } else {
            next = Some(next.map_or(at, |next| next.min(at)));
        }
    }
    // The account last: as long as it is there, the Secret is known to be there too.
    due.sort_by_key(|object| object.key.kind == Kind::ServiceAccount);
    let retry = (!due.is_empty()).then(|| now + GRACE);
    (due, next.into_iter().chain(retry).min())
}

/// Removes an object; says whether there was one.
async fn remove(context: &Context, object: &Unneeded) -> Result<bool, kube::Error> {
    if object.key.kind == Kind::ServiceAccount {
        remove_keys(context, &object.key.namespace).await?;
    }
    delete(context, &object.key, &object.uid).await
}

/// The Secret cannot be read: a patch that tests our label, and changes nothing, tells whether it
/// is ours.
async fn remove_keys(context: &Context, namespace: &str) -> Result<(), kube::Error> {
    let key = ObjectKey {
        kind: Kind::Secret,
        namespace: namespace.to_owned(),
        name: KEYS_SECRET.to_owned(),
    };
    let test = json!([{ "op": "test", "path": label_path(), "value": MANAGED_BY }]);
    let patch: Patch<()> =
        Patch::Json(serde_json::from_value(test).map_err(kube::Error::SerdeError)?);
    let api = api(context, &key);
    match api
        .patch(KEYS_SECRET, &PatchParams::default(), &patch)
        .await
    {
        Ok(secret) => {
            let uid = secret.metadata.uid.unwrap_or_default();
            delete(context, &key, &uid).await?;
            context.applier.gone(&key);
            Ok(())
        }
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 422) => Ok(()),
        Err(error) => Err(error),
    }
}

async fn delete(context: &Context, key: &ObjectKey, uid: &str) -> Result<bool, kube::Error> {
    let params = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Background),
        preconditions: Some(Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    match api(context, key).delete(&key.name, &params).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(false),
        Err(error) => Err(error),
    }
}

fn api(context: &Context, key: &ObjectKey) -> Api<DynamicObject> {
    Api::namespaced_with(context.client.clone(), &key.namespace, &key.kind.resource())
}

#[cfg(test)]
mod tests;
