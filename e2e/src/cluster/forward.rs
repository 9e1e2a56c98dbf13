//! Paths from 127.0.0.1 into a cluster that maps no ports: `kubectl port-forward`, for as long as the
//! run lasts.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpStream;
use tokio::process::Child;

use super::Cluster;
use crate::settings::{Provider, REGISTRY_NAMESPACE, SYSTEM_NAMESPACE};
use crate::wait::wait_until;

/// Longest wait for a forward to take connections.
const DEADLINE: Duration = Duration::from_secs(30);

/// Open paths; dropping this closes them.
pub struct Forwards {
    _processes: Vec<Child>,
}

impl Forwards {
    /// Opens paths to the registries, and to the gateway where `gateway` says so. Where the cluster
    /// maps the ports itself there is nothing to do.
    ///
    /// # Errors
    /// A path does not open.
    pub async fn open(cluster: &Cluster, gateway: bool) -> Result<Self> {
        let mut processes = Vec::new();
        let settings = &cluster.settings;
        if settings.provider == Provider::Existing {
            let mut wanted = vec![
                (REGISTRY_NAMESPACE, "registry", settings.registry_port, 5000),
                (
                    REGISTRY_NAMESPACE,
                    "private",
                    settings.private_registry_port,
                    5000,
                ),
            ];
            if gateway {
                wanted.push((
                    SYSTEM_NAMESPACE,
                    "wasmfn-gateway",
                    settings.gateway_port,
                    80,
                ));
            }
            for (namespace, service, local, remote) in wanted {
                processes.push(forward(cluster, namespace, service, local, remote).await?);
            }
        }
        Ok(Self {
            _processes: processes,
        })
    }
}

async fn forward(
    cluster: &Cluster,
    namespace: &str,
    service: &str,
    local: u16,
    remote: u16,
) -> Result<Child> {
    let process = cluster
        .kubectl()
        .args([
            "--namespace",
            namespace,
            "port-forward",
            "--address=127.0.0.1",
        ])
        .arg(format!("service/{service}"))
        .arg(format!("{local}:{remote}"))
        .background()?;
    wait_until(
        "the forwarded port takes connections",
        DEADLINE,
        async || Ok(TcpStream::connect(("127.0.0.1", local)).await.ok()),
    )
    .await
    .with_context(|| format!("cannot forward port {local} to {namespace}/{service}"))?;
    Ok(process)
}
