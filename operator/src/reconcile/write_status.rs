//! Writes a function's status, only where it differs, and tells of its turns.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Api, Resource,
    api::{Patch, PatchParams},
    core::error_boundary::InvalidObject,
};
use serde_json::{Value, json};
use wasmfn_crds::{
    ConditionType, Reason, WasmFunction, WasmFunctionStatus,
    condition::{Finding, Truth, merge},
    names::STATUS_FIELD_MANAGER,
};

use super::error::ReconcileError;
use crate::{context::Context, events::transitions, telemetry::chain};

/// Field manager of the one condition on an object that this version cannot parse: all the rest
/// of its status belongs to whoever could.
const UNPARSABLE_FIELD_MANAGER: &str = "wasmfn-operator-unparsable";

/// Writes `status`, unless the object has it already.
///
/// # Errors
/// [`ReconcileError::Status`].
pub async fn write_status(
    function: &WasmFunction,
    status: WasmFunctionStatus,
    context: &Context,
) -> Result<(), ReconcileError> {
    let old = function.status.clone().unwrap_or_default();
    if function.status.as_ref() == Some(&status) {
        return Ok(());
    }
    let meta = &function.metadata;
    let body = body(meta.name.as_deref(), meta.uid.as_deref(), &json!(status));
    let written = patch::<WasmFunction>(context, function, STATUS_FIELD_MANAGER, &body).await;
    let written = match written {
        Ok(written) => written,
        // The object is there no more, or another one has its name: the watch will tell.
        Err(ReconcileError::Status(kube::Error::Api(status)))
            if matches!(status.code, 404 | 409) =>
        {
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    context.recent.wrote(&written);
    context.metrics.status_written();
    publish(
        context,
        &old.conditions,
        &status.conditions,
        function.object_ref(&()),
    )
    .await;
    Ok(())
}

/// Says on an object that this version cannot parse that it cannot.
///
/// # Errors
/// [`ReconcileError::Status`].
pub async fn write_unparsable(
    object: &InvalidObject,
    context: &Context,
) -> Result<(), ReconcileError> {
    let meta = &object.metadata;
    let uid = meta.uid.clone().unwrap_or_default();
    let generation = meta.generation.unwrap_or_default();
    if !context.recent.first_unparsable(&uid, generation) {
        return Ok(());
    }
    let finding = Finding {
        kind: ConditionType::Ready,
        truth: Truth::False,
        reason: Reason::InvalidSpec,
        message: format!(
            "this version of wasmfn cannot read the object: {}",
            object.error
        ),
    };
    let conditions = merge(&[], &[finding], generation, jiff::Timestamp::now());
    let status = json!({ "conditions": conditions });
    let body = body(meta.name.as_deref(), meta.uid.as_deref(), &status);
    let guarded = kube::core::DeserializeGuard::<WasmFunction>(Err(object.clone()));
    patch::<kube::core::DeserializeGuard<WasmFunction>>(
        context,
        &guarded,
        UNPARSABLE_FIELD_MANAGER,
        &body,
    )
    .await
    .inspect_err(|_| context.recent.forget(&uid))?;
    publish(context, &[], &conditions, guarded.object_ref(&())).await;
    Ok(())
}

fn body(name: Option<&str>, uid: Option<&str>, status: &Value) -> Value {
    json!({
        "apiVersion": WasmFunction::api_version(&()),
        "kind": WasmFunction::kind(&()),
        // With the UID, so that a successor of the same name is not taken for this object.
        "metadata": { "name": name, "uid": uid },
        "status": status,
    })
}

async fn patch<K>(
    context: &Context,
    object: &K,
    manager: &str,
    body: &Value,
) -> Result<K, ReconcileError>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let meta = object.meta();
    let namespace = meta.namespace.as_deref().unwrap_or_default();
    let name = meta.name.as_deref().unwrap_or_default();
    let api: Api<K> = Api::namespaced(context.client.clone(), namespace);
    api.patch_status(
        name,
        &PatchParams::apply(manager).force(),
        &Patch::Apply(body),
    )
    .await
    .map_err(ReconcileError::Status)
}

/// Events are for people: that one cannot be published stops nothing.
async fn publish(
    context: &Context,
    old: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition],
    new: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition],
    reference: ObjectReference,
) {
    for event in transitions(old, new) {
        if let Err(error) = context.recorder.publish(&event, &reference).await {
            tracing::warn!(
                error = chain(&error),
                reason = event.reason,
                "cannot publish an event"
            );
        }
    }
}
