//! Objects of any kind in the story's namespace.

use anyhow::{Result, bail};
use k8s_openapi::NamespaceResourceScope;
use kube::api::ListParams;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Context;

impl Context {
    /// The objects of a kind in the story's namespace.
    #[must_use]
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// All objects of a kind in the story's namespace that carry `labels` (`a=b,c`; empty for all).
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn list<K>(&self, labels: &str) -> Result<Vec<K>>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
        K: Clone + DeserializeOwned + std::fmt::Debug,
    {
        let parameters = ListParams::default().labels(labels);
        Ok(self.api::<K>().list(&parameters).await?.items)
    }

    /// Applies an object by `kubectl apply`, as a user would.
    ///
    /// # Errors
    /// The API server refuses, with what `kubectl` said.
    pub async fn apply(&self, object: &Value) -> Result<()> {
        self.apply_text(&object.to_string()).await
    }

    /// Applies YAML by `kubectl apply`, as a user would.
    ///
    /// # Errors
    /// The API server refuses, with what `kubectl` said.
    pub async fn apply_text(&self, yaml: &str) -> Result<()> {
        self.kubectl()
            .args(["apply", "--filename=-"])
            .input(yaml)
            .run()
            .await
    }

    /// Applies an object that must be refused, and gives what `kubectl` said.
    ///
    /// # Errors
    /// It was accepted.
    pub async fn refused(&self, object: &Value) -> Result<String> {
        let apply = self.kubectl().args(["apply", "--filename=-"]);
        let output = apply.input(object.to_string()).raw_output().await?;
        if output.status.success() {
            bail!("this was to be refused, and was accepted: {object}");
        }
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Removes an object and waits until it is gone. Fine if it is not there.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn delete(&self, kind: &str, name: &str) -> Result<()> {
        self.kubectl()
            .args([
                "delete",
                kind,
                name,
                "--ignore-not-found",
                "--wait",
                "--timeout=120s",
            ])
            .run()
            .await
    }
}
