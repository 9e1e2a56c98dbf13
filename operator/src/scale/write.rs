//! Writes `replicas`, and nothing else, under a field manager of its own.

use std::collections::HashMap;

use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;
use wasmfn_crds::names::SCALE_FIELD_MANAGER;

/// What was written and may not be in the caches yet: replicas and resource version, by UID.
#[derive(Debug, Default)]
pub(super) struct Written(HashMap<String, (u32, u64)>);

impl Written {
    /// `spec.replicas` as it stands.
    pub(super) fn replicas(&mut self, cached: &Deployment) -> u32 {
        let uid = cached.uid().unwrap_or_default();
        if let Some((replicas, at)) = self.0.get(&uid) {
            if version(cached).is_some_and(|version| version < *at) {
                return *replicas;
            }
            self.0.remove(&uid);
        }
        replicas(cached)
    }

    /// Writes `replicas`.
    pub(super) async fn write(
        &mut self,
        client: &Client,
        deployment: &Deployment,
        replicas: u32,
    ) -> Result<(), kube::Error> {
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
        if let Some(version) = version(&written) {
            self.0
                .insert(deployment.uid().unwrap_or_default(), (replicas, version));
        }
        Ok(())
    }
}

fn replicas(deployment: &Deployment) -> u32 {
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
