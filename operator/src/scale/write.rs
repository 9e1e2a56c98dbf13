//! Writes `replicas`, and nothing else, under a field manager of its own.

use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;
use wasmfn_crds::names::SCALE_FIELD_MANAGER;

/// What was written and may not be in the caches yet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Written {
    replicas: u32,
    version: u64,
}

impl Written {
    /// `replicas`, unless `cached` knows better.
    pub(super) fn unless_seen(&self, cached: &Deployment) -> Option<u32> {
        let behind = version(cached).is_some_and(|version| version < self.version);
        behind.then_some(self.replicas)
    }
}

/// Writes `replicas`.
///
/// # Errors
/// Those of the API server, and a lost connection.
pub(super) async fn write(
    client: &Client,
    deployment: &Deployment,
    replicas: u32,
) -> Result<Option<Written>, kube::Error> {
    let namespace = deployment.namespace().unwrap_or_default();
    let api: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
    // With the UID, so that a successor of the same name is not taken for this deployment.
    let body = json!({
        "metadata": { "uid": deployment.metadata.uid },
        "spec": { "replicas": replicas },
    });
    let params = PatchParams {
        field_manager: Some(SCALE_FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let written = api
        .patch(&deployment.name_any(), &params, &Patch::Merge(body))
        .await?;
    Ok(version(&written).map(|version| Written { replicas, version }))
}

/// `spec.replicas` as the cache has it.
pub(super) fn replicas(deployment: &Deployment) -> u32 {
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas);
    wanted.map_or(1, |replicas| u32::try_from(replicas).unwrap_or(0))
}

/// Resource versions of one object can be compared as numbers.
fn version(deployment: &Deployment) -> Option<u64> {
    deployment
        .metadata
        .resource_version
        .as_deref()?
        .parse()
        .ok()
}
