//! What a run works on, and the names and ports that everything about the cluster shares.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::cache::user_directory;

/// Namespace of wasmfn itself.
pub const SYSTEM_NAMESPACE: &str = "wasmfn-system";
/// Namespace of the registries and of the client pod.
pub const REGISTRY_NAMESPACE: &str = "registry";
/// Registry that anyone in the cluster may pull from.
pub const REGISTRY_HOST: &str = "registry.registry.svc.cluster.local:5000";
/// Registry that asks for [`READER`] or [`SECOND_READER`].
pub const PRIVATE_REGISTRY_HOST: &str = "private.registry.svc.cluster.local:5000";
/// Name and password of a user of the private registry.
pub const READER: (&str, &str) = ("reader", "correct-horse");
/// Another user of the private registry, for rotated pull secrets.
pub const SECOND_READER: (&str, &str) = ("second-reader", "battery-staple");

/// `NodePort` of the gateway's public listener.
pub const GATEWAY_NODE_PORT: u16 = 30080;
/// `NodePort` of [`REGISTRY_HOST`].
pub const REGISTRY_NODE_PORT: u16 = 30500;
/// `NodePort` of [`PRIVATE_REGISTRY_HOST`].
pub const PRIVATE_REGISTRY_NODE_PORT: u16 = 30501;
/// `NodePort` that nothing has, for what stories and benchmarks put beside wasmfn.
pub const SPARE_NODE_PORT: u16 = 30600;

/// Where the cluster comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Provider {
    /// Two containers on this machine.
    Kind,
    /// The cluster that `KUBECONFIG` leads to. Stories that break nodes are skipped there.
    Existing,
}

/// Options of every command.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// Where the cluster comes from
    #[arg(long, global = true, value_enum, default_value_t = Provider::Kind)]
    pub provider: Provider,
    /// Name of the kind cluster
    #[arg(
        long,
        global = true,
        env = "WASMFN_E2E_CLUSTER",
        default_value = "wasmfn-e2e"
    )]
    pub cluster: String,
    /// Port of 127.0.0.1 that leads to the gateway
    #[arg(
        long,
        global = true,
        env = "WASMFN_E2E_GATEWAY_PORT",
        default_value_t = 18080
    )]
    pub gateway_port: u16,
    /// Port of 127.0.0.1 that leads to the cluster's registry
    #[arg(
        long,
        global = true,
        env = "WASMFN_E2E_REGISTRY_PORT",
        default_value_t = 15000
    )]
    pub registry_port: u16,
    /// Port of 127.0.0.1 that leads to the cluster's private registry
    #[arg(
        long,
        global = true,
        env = "WASMFN_E2E_PRIVATE_REGISTRY_PORT",
        default_value_t = 15001
    )]
    pub private_registry_port: u16,
    /// Port of 127.0.0.1 that leads to what a benchmark puts beside wasmfn
    #[arg(
        long,
        global = true,
        env = "WASMFN_E2E_SPARE_PORT",
        default_value_t = 18081
    )]
    pub spare_port: u16,
    /// Where to push product images for `--provider existing`, such as `registry.example.com/me`
    #[arg(long, global = true, env = "WASMFN_E2E_IMAGE_REPOSITORY")]
    pub image_repository: Option<String>,
    /// Cargo profile that the product is built with; `release` is what ships, and takes minutes
    #[arg(long, global = true, env = "WASMFN_E2E_PROFILE", default_value = "dev")]
    pub profile: String,
}

impl Settings {
    /// Folder with what belongs to the running cluster. Removed with it.
    ///
    /// # Errors
    /// There is no home folder.
    pub fn state_directory(&self) -> Result<PathBuf> {
        let state = user_directory("XDG_STATE_HOME", ".local/state")?;
        Ok(state.join("wasmfn-e2e").join(&self.cluster))
    }

    /// Credentials of the cluster. Never those of the user, unless asked for.
    ///
    /// # Errors
    /// `KUBECONFIG` is not set for `--provider existing`.
    pub fn kubeconfig(&self) -> Result<PathBuf> {
        match self.provider {
            Provider::Kind => Ok(self.state_directory()?.join("kubeconfig")),
            Provider::Existing => {
                let path = std::env::var_os("KUBECONFIG").filter(|path| !path.is_empty());
                let path = path.context("`--provider existing` needs KUBECONFIG to name a file")?;
                Ok(path.into())
            }
        }
    }

    /// Where product images go on a cluster that is not ours.
    ///
    /// # Errors
    /// `--image-repository` is not given.
    pub fn required_image_repository(&self) -> Result<&str> {
        match &self.image_repository {
            Some(repository) => Ok(repository.trim_end_matches('/')),
            None => bail!(
                "`--provider existing` needs --image-repository, which its nodes can pull from"
            ),
        }
    }
}
