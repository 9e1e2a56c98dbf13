//! Pods of the product: found, replaced, killed.

use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use wasmfn_crds::names;

use super::Context;
use crate::settings::SYSTEM_NAMESPACE;
use crate::wait::wait_until;

/// How long new pods may take to be ready on a busy machine.
const POD_START: Duration = Duration::from_secs(120);

impl Context {
    /// Pods of a Dedicated function, those that leave included.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn pods_of(&self, function: &str) -> Result<Vec<Pod>> {
        let runtime = names::dedicated_runtime(function);
        self.list(&format!("{}={runtime}", names::RUNTIME_LABEL))
            .await
    }

    /// The gateways' pods that stay.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn gateway_pods(&self) -> Result<Vec<Pod>> {
        self.component_pods(names::GATEWAY_COMPONENT).await
    }

    async fn component_pods(&self, component: &str) -> Result<Vec<Pod>> {
        let system = self.in_namespace(SYSTEM_NAMESPACE);
        let pods = system.list::<Pod>(&label(component)).await?;
        Ok(pods.into_iter().filter(stays).collect())
    }

    /// Kills all operator pods at once, as when their nodes lose power.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn kill_operators(&self) -> Result<()> {
        let kill = ["delete", "pods", "--force", "--grace-period=0"];
        self.in_namespace(SYSTEM_NAMESPACE)
            .kubectl()
            .args(kill)
            .args(["--selector", &label(names::OPERATOR_COMPONENT)])
            .run()
            .await
    }

    /// Waits until `count` pods of a component are ready, none of them among `before`.
    ///
    /// # Errors
    /// They are not in time.
    pub async fn replaced(&self, component: &str, before: &[Pod]) -> Result<()> {
        let old: Vec<_> = before.iter().filter_map(ResourceExt::uid).collect();
        let what = format!("the {component} pods are new and ready");
        wait_until(&what, POD_START, async || {
            let pods = self.component_pods(component).await?;
            let fresh = |pod: &&Pod| pod.uid().is_some_and(|uid| !old.contains(&uid));
            let ready = pods.iter().filter(fresh).filter(|pod| is_ready(pod));
            Ok((ready.count() >= before.len()).then_some(()))
        })
        .await
    }

    /// The operators' pods.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn operator_pods(&self) -> Result<Vec<Pod>> {
        self.component_pods(names::OPERATOR_COMPONENT).await
    }

    /// Kills the first process of a pod's container with SIGKILL.
    ///
    /// # Errors
    /// This cluster's nodes are not to be broken, or do not run it.
    pub async fn kill_container(&self, pod: &Pod, container: &str) -> Result<()> {
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
        let node = self.nodes()?.named(node.context("the pod has a node")?)?;
        node.kill_container(&pod.name_any(), container).await
    }
}

fn label(component: &str) -> String {
    format!(
        "{}={component},app.kubernetes.io/name=wasmfn",
        names::COMPONENT_LABEL
    )
}

/// Whether nobody has asked the pod to leave.
#[must_use]
pub fn stays(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none()
}

/// Whether the pod is ready.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// A pod's address.
///
/// # Errors
/// It has none yet.
pub fn address(pod: &Pod) -> Result<String> {
    let status = pod.status.as_ref().context("a pod has a status")?;
    status.pod_ip.clone().context("the pod has an address")
}
