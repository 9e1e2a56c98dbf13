//! Functions changed and watched until something holds of them.

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::events::v1::Event;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use wasmfn_crds::{WasmFunction, names};

use super::Context;
use crate::wait::wait_until;

impl Context {
    /// Applies a function with `spec` besides `image`, and does not wait for it.
    ///
    /// # Errors
    /// It is refused.
    pub async fn declare(&self, name: &str, image: &str, spec: &Value) -> Result<()> {
        self.apply(&self.manifest(name, image, spec)).await
    }

    /// Merges `spec` into a function's spec.
    ///
    /// # Errors
    /// It is refused.
    pub async fn change(&self, name: &str, spec: Value) -> Result<()> {
        self.merge(name, json!({ "spec": spec })).await
    }

    /// Asks for a function's tag to be resolved again; each `word` does so once.
    ///
    /// # Errors
    /// It is refused.
    pub async fn resolve_again(&self, name: &str, word: &str) -> Result<()> {
        let annotations = json!({ names::RESOLVE_AT_ANNOTATION: word });
        self.merge(name, json!({ "metadata": { "annotations": annotations } }))
            .await
    }

    async fn merge(&self, name: &str, patch: Value) -> Result<()> {
        let api = self.api::<WasmFunction>();
        api.patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        Ok(())
    }

    /// Waits until `holds` says so of a function, and gives it.
    ///
    /// # Errors
    /// It does not within `deadline`.
    pub async fn function_until(
        &self,
        name: &str,
        what: &str,
        deadline: Duration,
        holds: impl Fn(&WasmFunction) -> bool,
    ) -> Result<WasmFunction> {
        wait_until(
            &format!("the function {name} {what}"),
            deadline,
            async || {
                let function = self.function(name).await?;
                if holds(&function) {
                    return Ok(Some(function));
                }
                anyhow::bail!("its status is {:?}", function.status)
            },
        )
        .await
    }

    /// Waits until the current generation of a function is not `Ready` for `reason`, and gives the
    /// sentence.
    ///
    /// # Errors
    /// It is not within `deadline`.
    pub async fn fails(&self, name: &str, reason: &str, deadline: Duration) -> Result<String> {
        wait_until(
            &format!("the function {name} is not Ready for {reason}"),
            deadline,
            async || {
                let (found, sentence) = self
                    .condition(name, "Ready", "False", Duration::from_millis(300))
                    .await?;
                if found == reason {
                    return Ok(Some(sentence));
                }
                anyhow::bail!("Ready is False for {found}: {sentence}")
            },
        )
        .await
    }

    /// Waits for an event about a function with this reason.
    ///
    /// # Errors
    /// There is none within `deadline`.
    pub async fn event(&self, name: &str, reason: &str, deadline: Duration) -> Result<Event> {
        wait_until(
            &format!("an event {reason} about {name}"),
            deadline,
            async || {
                let events = self.api::<Event>().list(&ListParams::default()).await?;
                Ok(events.items.into_iter().find(|event| {
                    let about = event
                        .regarding
                        .as_ref()
                        .and_then(|object| object.name.as_deref());
                    about == Some(name) && event.reason.as_deref() == Some(reason)
                }))
            },
        )
        .await
    }
}
