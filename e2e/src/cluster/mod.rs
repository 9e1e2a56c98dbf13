//! The cluster that stories run on.

mod forward;
mod kind;
mod nodes;
mod pod_network;
mod ready;
mod registry;

use std::path::PathBuf;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::cache::Cache;
use crate::process::Command;
use crate::settings::{Provider, Settings};
use crate::tools::Tools;

pub use forward::Forwards;
pub use kind::down;
pub use nodes::{Node, Nodes};

/// A running cluster.
#[derive(Clone)]
pub struct Cluster {
    /// What was asked for.
    pub settings: Settings,
    /// Programs to drive it with.
    pub tools: Tools,
    /// Credentials.
    pub kubeconfig: PathBuf,
    /// What is known about it.
    pub facts: Facts,
}

/// What holds for a cluster from its start to its end.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Facts {
    /// Whether its pod network enforces `NetworkPolicy`.
    pub enforces_network_policy: bool,
}

impl Cluster {
    /// Makes sure that the cluster and its registries run; quick when they do.
    ///
    /// # Errors
    /// A step of making it fails; `down` removes what is there.
    pub async fn up(settings: &Settings, cache: &Cache) -> Result<Self> {
        let tools = Tools::prepare(cache).await?;
        let facts = match settings.provider {
            Provider::Kind => kind::up(settings, cache, &tools).await?,
            Provider::Existing => Facts {
                enforces_network_policy: false,
            },
        };
        let cluster = Self {
            settings: settings.clone(),
            kubeconfig: settings.kubeconfig()?,
            tools,
            facts,
        };
        registry::deploy(&cluster, cache).await?;
        Ok(cluster)
    }

    /// `kubectl` for this cluster.
    #[must_use]
    pub fn kubectl(&self) -> Command {
        self.tools.kubectl().env("KUBECONFIG", &self.kubeconfig)
    }

    /// `helm` for this cluster.
    #[must_use]
    pub fn helm(&self) -> Command {
        self.tools.helm().env("KUBECONFIG", &self.kubeconfig)
    }

    /// A client of its API server.
    ///
    /// # Errors
    /// The kubeconfig cannot be read.
    pub async fn client(&self) -> Result<kube::Client> {
        let file = kube::config::Kubeconfig::read_from(&self.kubeconfig)?;
        let options = kube::config::KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(file, &options).await?;
        Ok(kube::Client::try_from(config)?)
    }

    /// Its nodes, where they can be broken.
    #[must_use]
    pub fn nodes(&self) -> Option<Nodes> {
        match self.settings.provider {
            Provider::Kind => Some(Nodes::of_kind(&self.settings.cluster)),
            Provider::Existing => None,
        }
    }

    /// Makes the image in `archive` available to the cluster's nodes, and gives the reference that
    /// pods name it by.
    ///
    /// # Errors
    /// The nodes refuse it, or the image repository does.
    pub async fn offer_image(&self, cache: &Cache, image: &crate::images::Image) -> Result<String> {
        match self.settings.provider {
            Provider::Kind => {
                kind::load(&self.settings, cache, image).await?;
                Ok(image.reference.clone())
            }
            Provider::Existing => {
                let repository = self.settings.required_image_repository()?;
                let reference = format!("{repository}/{}:{}", image.name, image.tag);
                let push = self.tools.crane().arg("push").arg(&image.archive);
                push.arg(&reference).run().await?;
                Ok(reference)
            }
        }
    }
}
