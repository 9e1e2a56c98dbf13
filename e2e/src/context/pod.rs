//! Pods: the client that asks from inside the cluster, and what stories look for in others.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, LogParams, PostParams};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Context;
use crate::client::Seen;
use crate::http::{LoadPlan, LoadReport, OpenReport, Schedule};
use crate::wait::wait_until;

/// Longest wait for a client pod, besides what it was told to take.
const CLIENT_DEADLINE: Duration = Duration::from_secs(90);

/// The same for open-loop load, whose last requests may take their full two minutes.
const OPEN_LOOP_DEADLINE: Duration = Duration::from_secs(240);

impl Context {
    /// Sends `GET url` from a pod in the story's namespace.
    ///
    /// # Errors
    /// The pod does not run. An answer that does not come is no error: see [`Seen::error`].
    pub async fn get_inside(&self, url: &str) -> Result<Seen> {
        self.request_inside(&[url]).await
    }

    /// Runs `client request ARGUMENTS` in a pod: the URL, and options such as `--method=POST`,
    /// `--header=NAME: VALUE`, `--body=TEXT`.
    ///
    /// # Errors
    /// The pod does not run. An answer that does not come is no error: see [`Seen::error`].
    pub async fn request_inside(&self, arguments: &[&str]) -> Result<Seen> {
        let arguments = [&["client", "request"], arguments].concat();
        self.client_pod(&arguments, CLIENT_DEADLINE).await
    }

    /// Carries out a load plan from a pod in the story's namespace.
    ///
    /// # Errors
    /// The pod does not run.
    pub async fn load_inside(&self, plan: &LoadPlan) -> Result<LoadReport> {
        let text = serde_json::to_string(plan)?;
        let deadline = CLIENT_DEADLINE + Duration::from_secs_f64(plan.seconds);
        self.client_pod(&["client", "load", &text], deadline).await
    }

    /// Sends open-loop load from a pod in the story's namespace; `image` is that of
    /// [`crate::images::load_generator`].
    ///
    /// # Errors
    /// The pod does not run.
    pub async fn open_loop(&self, image: &str, schedule: &Schedule) -> Result<OpenReport> {
        let text = serde_json::to_string(schedule)?;
        let seconds: f64 = schedule.phases.iter().map(|phase| phase.seconds).sum();
        let deadline = OPEN_LOOP_DEADLINE + Duration::from_secs_f64(seconds);
        let arguments = ["client", "open-loop", &text];
        self.pod_of_client(image, &arguments, deadline).await
    }

    /// UIDs of the namespace's pods with these labels, each with the restarts of its containers: what
    /// must not change where a story says that no pod is touched.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn pod_restarts(&self, labels: &str) -> Result<BTreeMap<String, i32>> {
        let pods = self.list::<Pod>(labels).await?;
        Ok(pods
            .into_iter()
            .map(|pod| (uid(&pod), restarts(&pod)))
            .collect())
    }

    /// Spec of a pod that answers 200 to everything on port 8080: what a plain native server is.
    #[must_use]
    pub fn server_pod(&self) -> Value {
        let mut spec = pod_spec(&self.release.client_image, &["client", "serve"]);
        let probe = json!({ "httpGet": { "path": "/", "port": 8080 }, "periodSeconds": 1 });
        spec["containers"][0]["readinessProbe"] = probe;
        spec["terminationGracePeriodSeconds"] = 0.into();
        spec
    }

    async fn client_pod<T: DeserializeOwned>(
        &self,
        arguments: &[&str],
        deadline: Duration,
    ) -> Result<T> {
        let image = &self.release.client_image;
        self.pod_of_client(image, arguments, deadline).await
    }

    async fn pod_of_client<T: DeserializeOwned>(
        &self,
        image: &str,
        arguments: &[&str],
        deadline: Duration,
    ) -> Result<T> {
        let name = format!("client-{}", hex::encode(rand::random::<[u8; 4]>()));
        let pod = client_pod(&name, image, arguments)?;
        let api = self.api::<Pod>();
        api.create(&PostParams::default(), &pod).await?;
        let ended = wait_until("the client pod has ended", deadline, async || {
            let status = api.get(&name).await?.status.unwrap_or_default();
            let phase = status.phase.unwrap_or_default();
            Ok(matches!(phase.as_str(), "Succeeded" | "Failed").then_some(phase))
        })
        .await?;
        let said = api.logs(&name, &LogParams::default()).await?;
        if ended == "Failed" {
            bail!("the client pod {name} failed: {said}");
        }
        let now = DeleteParams::default().grace_period(0);
        api.delete(&name, &now).await?;
        let line = said.lines().last().unwrap_or_default();
        serde_json::from_str(line).with_context(|| format!("the client pod said `{said}`"))
    }
}

fn client_pod(name: &str, image: &str, arguments: &[&str]) -> Result<Pod> {
    let mut spec = pod_spec(image, arguments);
    spec["restartPolicy"] = "Never".into();
    let metadata = json!({ "name": name, "labels": { "app": "e2e-client" } });
    Ok(serde_json::from_value(
        json!({ "metadata": metadata, "spec": spec }),
    )?)
}

/// Spec of a pod of one container that the Pod Security level `restricted` admits.
pub(crate) fn pod_spec(image: &str, arguments: &[&str]) -> Value {
    json!({
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "securityContext": {
                "runAsNonRoot": true,
                "seccompProfile": { "type": "RuntimeDefault" },
            },
            "containers": [{
                "name": "client",
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "args": arguments,
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true,
                    "capabilities": { "drop": ["ALL"] },
                },
            }],
    })
}

fn uid(pod: &Pod) -> String {
    pod.metadata.uid.clone().unwrap_or_default()
}

fn restarts(pod: &Pod) -> i32 {
    let status = pod.status.as_ref();
    let containers = status.and_then(|status| status.container_statuses.as_ref());
    let restarts = containers
        .into_iter()
        .flatten()
        .map(|container| container.restart_count);
    restarts.sum()
}
