//! A cluster of containers, by kind: created, found again and removed.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{Facts, pod_network, ready};
use crate::cache::Cache;
use crate::images::Image;
use crate::node_image::{self, NodeImage};
use crate::process::Command;
use crate::settings::{
    GATEWAY_NODE_PORT, PRIVATE_REGISTRY_NODE_PORT, REGISTRY_NODE_PORT, SPARE_NODE_PORT, Settings,
};
use crate::tools::{self, Tools};
use crate::versions;

/// Written when a cluster is complete; a cluster without it was interrupted while it was made.
const FACTS_FILE: &str = "facts.json";

/// Makes the cluster unless it runs.
pub(super) async fn up(settings: &Settings, cache: &Cache, tools: &Tools) -> Result<Facts> {
    require_docker().await?;
    if let Some(facts) = running(settings, tools).await? {
        return Ok(facts);
    }
    let image = node_image::ensure(cache).await?;
    down(settings, cache).await?;
    eprintln!("creating the cluster {}", settings.cluster);
    std::fs::create_dir_all(settings.state_directory()?)?;
    create(settings, cache, &image).await?;
    let kubectl = || {
        tools
            .kubectl()
            .env("KUBECONFIG", kubeconfig_or_empty(settings))
    };
    if !image.is_upstream {
        pod_network::lay(&kubectl).await?;
    }
    ready::wait(&kubectl).await?;
    let facts = Facts {
        enforces_network_policy: image.is_upstream,
    };
    std::fs::write(facts_file(settings)?, serde_json::to_vec(&facts)?)?;
    Ok(facts)
}

/// Removes the cluster and everything that belongs to it, whatever state it is in.
///
/// # Errors
/// The container engine refuses.
pub async fn down(settings: &Settings, cache: &Cache) -> Result<()> {
    require_docker().await?;
    kind(settings, cache)
        .await?
        .args(["delete", "cluster", "--name", &settings.cluster])
        .run()
        .await?;
    let network = Command::new("docker").args(["network", "rm", &settings.cluster]);
    let removed = network.raw_output().await?;
    let said = String::from_utf8_lossy(&removed.stderr).to_lowercase();
    if !removed.status.success() && !said.contains("not found") && !said.contains("no such") {
        anyhow::bail!("cannot remove the network {}: {said}", settings.cluster);
    }
    let state = settings.state_directory()?;
    if state.exists() {
        std::fs::remove_dir_all(&state)
            .with_context(|| format!("cannot remove {}", state.display()))?;
    }
    Ok(())
}

/// Gives the nodes an image that they lack.
pub(super) async fn load(settings: &Settings, cache: &Cache, image: &Image) -> Result<()> {
    let mut lacking = Vec::new();
    for node in super::Nodes::of_kind(&settings.cluster).all() {
        let list = ["crictl", "inspecti", "--quiet", &image.reference];
        let found = node.exec(list).raw_output().await?;
        if !found.status.success() {
            lacking.push(node.name().to_owned());
        }
    }
    if lacking.is_empty() {
        return Ok(());
    }
    kind(settings, cache)
        .await?
        .args(["load", "image-archive", "--name", &settings.cluster])
        .arg("--nodes")
        .arg(lacking.join(","))
        .arg(&image.archive)
        .run()
        .await
}

/// The facts of a cluster that is complete and answers.
async fn running(settings: &Settings, tools: &Tools) -> Result<Option<Facts>> {
    let Ok(facts) = std::fs::read(facts_file(settings)?) else {
        return Ok(None);
    };
    let probe = tools
        .kubectl()
        .env("KUBECONFIG", settings.kubeconfig()?)
        .args(["get", "--raw", "/readyz", "--request-timeout=10s"]);
    if !probe.raw_output().await?.status.success() {
        return Ok(None);
    }
    Ok(serde_json::from_slice(&facts).ok())
}

async fn create(settings: &Settings, cache: &Cache, image: &NodeImage) -> Result<()> {
    kind(settings, cache)
        .await?
        .args(["create", "cluster", "--name", &settings.cluster])
        .args(["--image", &image.reference, "--config", "-"])
        .arg("--kubeconfig")
        .arg(settings.kubeconfig()?)
        .input(configuration(settings, image).to_string())
        .run()
        .await
}

fn configuration(settings: &Settings, image: &NodeImage) -> Value {
    let mapping = |host: u16, node: u16| json!({ "containerPort": node, "hostPort": host, "listenAddress": "127.0.0.1" });
    json!({
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "networking": { "disableDefaultCNI": !image.is_upstream },
        "nodes": [
            {
                "role": "control-plane",
                // Without taints: what is drained from the other node has to go somewhere.
                "kubeadmConfigPatches": ["kind: InitConfiguration\nnodeRegistration: { taints: [] }\n"],
                "extraPortMappings": [
                    mapping(settings.gateway_port, GATEWAY_NODE_PORT),
                    mapping(settings.registry_port, REGISTRY_NODE_PORT),
                    mapping(settings.private_registry_port, PRIVATE_REGISTRY_NODE_PORT),
                    mapping(settings.spare_port, SPARE_NODE_PORT),
                ],
            },
            { "role": "worker" },
        ],
    })
}

/// `kind`, with a container network of this cluster alone, so that it can go with the cluster.
async fn kind(settings: &Settings, cache: &Cache) -> Result<Command> {
    let program = tools::program(cache, &versions::KIND).await?;
    // Killed together with this process, also by SIGKILL: it would go on making what `down` removes.
    let command = Command::new("setpriv").args(["--pdeathsig", "KILL"]);
    let command = command.arg(program);
    Ok(command.env("KIND_EXPERIMENTAL_DOCKER_NETWORK", &settings.cluster))
}

async fn require_docker() -> Result<()> {
    let version = Command::new("docker").args(["version", "--format", "{{.Server.Version}}"]);
    version.run().await.context(
        "a container engine must answer to `docker version`: start docker, set DOCKER_HOST, or on a \
         bare machine run `eval \"$(.ci/docker-engine up)\"`",
    )
}

fn facts_file(settings: &Settings) -> Result<PathBuf> {
    Ok(settings.state_directory()?.join(FACTS_FILE))
}

fn kubeconfig_or_empty(settings: &Settings) -> PathBuf {
    settings.kubeconfig().unwrap_or_default()
}
