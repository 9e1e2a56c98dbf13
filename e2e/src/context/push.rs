//! Modules go to the registries by `oras`, as users would push them.

use anyhow::Result;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Context;
use crate::process::Command;
use crate::settings::{PRIVATE_REGISTRY_HOST, READER, REGISTRY_HOST};

/// Media type of the module's configuration, by the CNCF's guidance for Wasm artifacts.
const CONFIG_TYPE: &str = "application/vnd.wasm.config.v0+json";
/// Media type of a module.
const MODULE_TYPE: &str = "application/wasm";

/// Without a fixed time the same bytes would get another digest at each push.
const CREATED: &str = "org.opencontainers.image.created=1970-01-01T00:00:00Z";

/// A module in a registry.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// Reference as the cluster's pods know it, by tag.
    pub image: String,
    /// Digest of the manifest.
    pub digest: String,
    /// The manifest.
    pub manifest: Value,
}

impl Context {
    /// Pushes `module` as `name` (`repository:tag`) to the open registry.
    ///
    /// # Errors
    /// The registry refuses.
    pub async fn push(&self, module: &[u8], name: &str) -> Result<Pushed> {
        let port = self.cluster.settings.registry_port;
        self.oras_push(REGISTRY_HOST, port, None, module, name)
            .await
    }

    /// Pushes `module` as `name` (`repository:tag`) to the registry that asks for a password.
    ///
    /// # Errors
    /// The registry refuses.
    pub async fn push_private(&self, module: &[u8], name: &str) -> Result<Pushed> {
        let port = self.cluster.settings.private_registry_port;
        self.oras_push(PRIVATE_REGISTRY_HOST, port, Some(READER), module, name)
            .await
    }

    /// `crane`, for the open registry at [`Self::registry_here`].
    #[must_use]
    pub fn crane(&self) -> Command {
        self.cluster.tools.crane()
    }

    /// Address of the open registry from here.
    #[must_use]
    pub fn registry_here(&self) -> String {
        format!("localhost:{}", self.cluster.settings.registry_port)
    }

    /// Repositories lie under the story's namespace, so that stories cannot move each other's tags.
    async fn oras_push(
        &self,
        host: &str,
        port: u16,
        user: Option<(&str, &str)>,
        module: &[u8],
        name: &str,
    ) -> Result<Pushed> {
        let name = format!("{}/{name}", self.namespace);
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("module.wasm"), module)?;
        std::fs::write(folder.path().join("config.json"), "{}")?;
        let written = folder.path().join("manifest.json");
        let mut push = self
            .cluster
            .tools
            .oras()
            .current_dir(folder.path())
            .args(["push", "--plain-http", "--no-tty", "--annotation", CREATED])
            .arg(format!("--export-manifest={}", written.display()))
            .arg(format!("--config=config.json:{CONFIG_TYPE}"));
        if let Some((user, password)) = user {
            push = push
                .args(["--username", user, "--password-stdin"])
                .input(password);
        }
        push.arg(format!("localhost:{port}/{name}"))
            .arg(format!("module.wasm:{MODULE_TYPE}"))
            .run()
            .await?;
        let manifest = std::fs::read(written)?;
        Ok(Pushed {
            image: format!("{host}/{name}"),
            digest: format!("sha256:{}", hex::encode(Sha256::digest(&manifest))),
            manifest: serde_json::from_slice(&manifest)?,
        })
    }
}
