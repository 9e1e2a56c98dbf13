//! `WasmFunctions` in the story's namespace: declared, awaited, asked.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use wasmfn_crds::WasmFunction;

use super::Context;
use crate::http::Answer;
use crate::wait::wait_until;

/// How long a function may take to become ready: a pod may have to start for it.
const READY_DEADLINE: Duration = Duration::from_secs(180);

impl Context {
    /// A function's manifest. `spec` holds the fields besides `image`.
    #[must_use]
    pub fn manifest(&self, name: &str, image: &str, spec: &Value) -> Value {
        let mut manifest = json!({
            "apiVersion": "wasmfn.dev/v1alpha1",
            "kind": "WasmFunction",
            "metadata": { "name": name, "namespace": self.namespace },
            "spec": { "image": image },
        });
        if let Some(fields) = spec.as_object() {
            for (field, value) in fields {
                manifest["spec"][field] = value.clone();
            }
        }
        manifest
    }

    /// Applies a function and waits until it is `Ready`.
    ///
    /// # Errors
    /// It is refused, or not ready in time.
    pub async fn deploy(&self, name: &str, image: &str, spec: &Value) -> Result<()> {
        self.apply(&self.manifest(name, image, spec)).await?;
        self.ready(name).await
    }

    /// Waits until the current generation of a function is `Ready`.
    ///
    /// # Errors
    /// It is not in time.
    pub async fn ready(&self, name: &str) -> Result<()> {
        self.condition(name, "Ready", "True", READY_DEADLINE)
            .await?;
        Ok(())
    }

    /// Waits until a condition of the current generation of a function has this status, and gives the
    /// condition's reason and message.
    ///
    /// # Errors
    /// It has not within `deadline`; says what it was last.
    pub async fn condition(
        &self,
        name: &str,
        condition: &str,
        status: &str,
        deadline: Duration,
    ) -> Result<(String, String)> {
        let description = format!("the function {name} has the condition {condition}={status}");
        wait_until(&description, deadline, async || {
            let function = self.function(name).await?;
            let generation = function.metadata.generation;
            let conditions = function.status.unwrap_or_default().conditions;
            let found = conditions.iter().find(|found| found.type_ == condition);
            let found = found.with_context(|| format!("there is no condition {condition}"))?;
            if found.status == status && found.observed_generation == generation {
                return Ok(Some((found.reason.clone(), found.message.clone())));
            }
            anyhow::bail!(
                "{condition} is {} ({}: {}) for generation {:?} of {generation:?}",
                found.status,
                found.reason,
                found.message,
                found.observed_generation
            )
        })
        .await
    }

    /// A function as the API server has it.
    ///
    /// # Errors
    /// It is not there.
    pub async fn function(&self, name: &str) -> Result<WasmFunction> {
        Ok(self.api().get(name).await?)
    }

    /// Host that a function of the story's namespace answers to.
    #[must_use]
    pub fn host(&self, function: &str) -> String {
        format!("{function}.{}.localhost", self.namespace)
    }

    /// Asks a function through the gateway, from outside.
    ///
    /// # Errors
    /// There is no whole answer. Any status is an answer.
    pub async fn get(&self, function: &str, path: &str) -> Result<Answer> {
        self.gateway.get(&self.host(function), path).send().await
    }

    /// Asks a function until it answers 200 with a body that holds `text`.
    ///
    /// # Errors
    /// It does not within `deadline`; says what came last.
    pub async fn answers(&self, function: &str, text: &str, deadline: Duration) -> Result<Answer> {
        let description = format!("the function {function} answers with `{text}`");
        wait_until(&description, deadline, async || {
            let answer = self.get(function, "/").await?;
            if answer.status == http::StatusCode::OK && answer.text().contains(text) {
                return Ok(Some(answer));
            }
            anyhow::bail!("it answered {} {}", answer.status, answer.text())
        })
        .await
    }
}
