//! What a story has at hand.

mod change;
mod components;
mod dump;
mod function;
mod gauges;
mod guest;
mod held;
mod namespace;
mod objects;
mod observe;
mod pod;
mod push;
mod restore;
mod traffic;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use kube::Client;
use serde_json::Value;

use crate::cluster::{Cluster, Nodes};
use crate::http::{LoadPlan, Origin};
use crate::install::Release;
use crate::process::Command;
use crate::settings::SYSTEM_NAMESPACE;

pub use components::{address, is_ready, stays};
pub use observe::{Observed, Replicas};
pub(crate) use pod::pod_spec;
pub use push::Pushed;
pub use traffic::Traffic;

/// Label on every namespace that a story made: the story's own namespace.
pub const STORY_LABEL: &str = "wasmfn.dev/e2e-story";

/// What a story has at hand: the cluster, a namespace of its own, and ways to act and to look.
#[derive(Clone)]
pub struct Context {
    /// The cluster.
    pub cluster: Cluster,
    /// A client of its API server.
    pub client: Client,
    /// The story's namespace, where the Pod Security level `restricted` is enforced.
    pub namespace: String,
    /// The gateway's public port, from outside the cluster.
    pub gateway: Origin,
    release: Release,
    release_changed: Arc<AtomicBool>,
}

impl Context {
    /// For the story `name`; its namespace is not there yet.
    ///
    /// # Errors
    /// The cluster's credentials cannot be read.
    pub async fn new(cluster: &Cluster, release: &Release, name: &str) -> Result<Self> {
        Ok(Self {
            cluster: cluster.clone(),
            client: cluster.client().await?,
            namespace: format!("e2e-{}", name.replace('_', "-")),
            gateway: Origin::new(&gateway_url(cluster))?,
            release: release.clone(),
            release_changed: Arc::default(),
        })
    }

    /// `kubectl` in the story's namespace.
    #[must_use]
    pub fn kubectl(&self) -> Command {
        self.cluster
            .kubectl()
            .args(["--namespace", &self.namespace])
    }

    /// `helm` in wasmfn's own namespace.
    #[must_use]
    pub fn helm(&self) -> Command {
        self.cluster.helm().args(["--namespace", SYSTEM_NAMESPACE])
    }

    /// Runs the chart's own test.
    ///
    /// # Errors
    /// It fails.
    pub async fn test_chart(&self) -> Result<()> {
        self.release.test().await
    }

    /// Upgrades the chart, with `changes` laid over the values that it was installed with. The runner
    /// takes them back after the story.
    ///
    /// # Errors
    /// Helm's own.
    pub async fn upgrade_chart(&self, changes: &Value) -> Result<()> {
        self.release_changed.store(true, Ordering::Relaxed);
        self.release.upgrade(changes).await
    }

    /// Uninstalls the chart. The runner installs it again after the story, if the story does not.
    ///
    /// # Errors
    /// Helm's own.
    pub async fn uninstall_chart(&self) -> Result<()> {
        self.release_changed.store(true, Ordering::Relaxed);
        self.release.uninstall().await
    }

    /// Installs the chart as it was before the story.
    ///
    /// # Errors
    /// Helm's own.
    pub async fn install_chart(&self) -> Result<()> {
        self.release.install().await?;
        self.release_changed.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// The nodes, for stories that need [`crate::story::Need::BreakableNodes`].
    ///
    /// # Errors
    /// This cluster's nodes are not to be broken.
    pub fn nodes(&self) -> Result<Nodes> {
        let nodes = self.cluster.nodes();
        nodes.context("the nodes of this cluster are not to be broken")
    }

    /// The gateways' public listener, from inside the cluster.
    #[must_use]
    pub fn gateway_inside(&self) -> String {
        format!("http://wasmfn-gateway.{SYSTEM_NAMESPACE}.svc.cluster.local")
    }

    /// A load plan for `function` in the story's namespace, through the gateway from outside.
    #[must_use]
    pub fn load_on(&self, function: &str) -> LoadPlan {
        LoadPlan {
            base: gateway_url(&self.cluster),
            host: self.host(function),
            ..LoadPlan::default()
        }
    }
}

fn gateway_url(cluster: &Cluster) -> String {
    format!("http://127.0.0.1:{}", cluster.settings.gateway_port)
}
