//! A story's namespaces: made before it, gone after it.

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use serde_json::json;

use super::{Context, STORY_LABEL};
use crate::wait::wait_until;

/// Longest wait for namespaces to be gone. A pod's grace period is the largest part of it.
const GONE_DEADLINE: Duration = Duration::from_secs(420);

impl Context {
    /// Makes the story's namespace, after removing what an earlier run left of it.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn open(&self) -> Result<()> {
        self.close().await?;
        self.label_and_create(&self.namespace).await
    }

    /// Removes the story's namespaces and waits until they are gone.
    ///
    /// # Errors
    /// The API server refuses, or they stay.
    pub async fn close(&self) -> Result<()> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let ours = ListParams::default().labels(&format!("{STORY_LABEL}={}", self.namespace));
        if api.list(&ours).await?.items.is_empty() {
            return Ok(());
        }
        for namespace in api.list(&ours).await? {
            let name = namespace.metadata.name.unwrap_or_default();
            self.end_pods(&name).await?;
            api.delete(&name, &DeleteParams::default()).await?;
        }
        wait_until(
            "the story's namespaces are gone",
            GONE_DEADLINE,
            async || Ok(api.list(&ours).await?.items.is_empty().then_some(())),
        )
        .await
    }

    /// Makes another namespace for the story, with `suffix` at the end of its name, and gives the name.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn another_namespace(&self, suffix: &str) -> Result<String> {
        let name = format!("{}-{suffix}", self.namespace);
        self.label_and_create(&name).await?;
        Ok(name)
    }

    /// The same story in another of its namespaces.
    #[must_use]
    pub fn in_namespace(&self, namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            ..self.clone()
        }
    }

    async fn label_and_create(&self, name: &str) -> Result<()> {
        let namespace = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": name,
                "labels": {
                    STORY_LABEL: self.namespace,
                    "pod-security.kubernetes.io/enforce": "restricted",
                },
            },
        });
        let apply = self
            .cluster
            .kubectl()
            .args(["apply", "--server-side", "--filename=-"]);
        apply.input(namespace.to_string()).run().await
    }

    /// Functions first, so that the operator lets go of their pods; then the pods, whose grace period
    /// nobody waits for when a story is over. A namespace that is deleted while pods are there waits for
    /// half of their grace period.
    async fn end_pods(&self, namespace: &str) -> Result<()> {
        let kubectl = || self.cluster.kubectl().args(["--namespace", namespace]);
        let functions = kubectl().args(["delete", "wasmfunctions", "--all", "--wait=false"]);
        // There is no such kind before the chart is installed.
        functions.raw_output().await?;
        kubectl()
            .args(["delete", "deployments,replicasets,pods", "--all"])
            .args(["--grace-period=1", "--timeout=90s"])
            .run()
            .await
    }
}
