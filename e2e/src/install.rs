//! Installs the chart with the images of the work tree.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::cache::Cache;
use crate::cli::repository;
use crate::cluster::Cluster;
use crate::images::{self, CLIENT};
use crate::process::Command;
use crate::settings::{
    GATEWAY_NODE_PORT, PRIVATE_REGISTRY_HOST, Provider, REGISTRY_HOST, SYSTEM_NAMESPACE, Settings,
};
use crate::tools::Tools;

/// Name of the Helm release.
pub const RELEASE: &str = "wasmfn";
/// How long Helm waits for the rollout.
const DEADLINE: &str = "--timeout=240s";

/// The chart on a cluster, with the values it was installed with.
#[derive(Clone)]
pub struct Release {
    cluster: Cluster,
    values: Value,
    /// Reference of the image of this program.
    pub client_image: String,
}

/// Builds the product's images, gives them to the cluster, and installs the chart, or upgrades it.
///
/// # Errors
/// The build fails, the cluster refuses something, or a pod does not become ready.
pub async fn install(cluster: &Cluster, cache: &Cache) -> Result<Release> {
    let mut references = Vec::new();
    for image in images::product(&repository(), &cluster.settings.profile).await? {
        references.push((
            image.name.clone(),
            cluster.offer_image(cache, &image).await?,
        ));
    }
    let reference = |wanted: &str| {
        let found = references.iter().find(|(name, _)| name == wanted);
        found.map_or("", |(_, reference)| reference)
    };
    let release = Release {
        cluster: cluster.clone(),
        values: values(&cluster.settings, reference),
        client_image: reference(CLIENT).to_owned(),
    };
    eprintln!("installing the chart");
    release.create_namespace().await?;
    release.end_interrupted().await?;
    release.install().await?;
    Ok(release)
}

/// The release as somebody installed it, and this program's image besides: for work on stories.
///
/// # Errors
/// The cluster refuses the image.
pub async fn found(cluster: &Cluster, cache: &Cache) -> Result<Release> {
    let image = images::client(&repository()).await?;
    let release = Release {
        cluster: cluster.clone(),
        values: json!({}),
        client_image: cluster.offer_image(cache, &image).await?,
    };
    let values = release
        .helm()
        .args(["get", "values", RELEASE, "--output=json"]);
    let values = values.raw_output().await?.stdout;
    Ok(Release {
        values: serde_json::from_slice(&values).unwrap_or_default(),
        ..release
    })
}

/// Removes what `--provider existing` was given: the chart, the registries, and their namespaces.
///
/// # Errors
/// The cluster refuses.
pub async fn uninstall(settings: &Settings, cache: &Cache) -> Result<()> {
    let tools = Tools::prepare(cache).await?;
    let kubeconfig = settings.kubeconfig()?;
    let helm = tools.helm().env("KUBECONFIG", &kubeconfig);
    helm.args(["uninstall", RELEASE, "--namespace", SYSTEM_NAMESPACE])
        .args(["--ignore-not-found", "--wait", DEADLINE])
        .run()
        .await?;
    let namespaces = [SYSTEM_NAMESPACE, crate::settings::REGISTRY_NAMESPACE];
    let kubectl = tools.kubectl().env("KUBECONFIG", &kubeconfig);
    kubectl
        .args(["delete", "namespace", "--ignore-not-found"])
        .args(namespaces)
        .run()
        .await
}

impl Release {
    /// Installs the chart, or upgrades it to the values of [`install`].
    ///
    /// # Errors
    /// Helm's own, with what it said.
    pub async fn install(&self) -> Result<()> {
        self.upgrade(&json!({})).await
    }

    /// As [`Self::install`], with `changes` laid over the values.
    ///
    /// # Errors
    /// Helm's own, with what it said.
    pub async fn upgrade(&self, changes: &Value) -> Result<()> {
        let mut values = self.values.clone();
        merge(&mut values, changes);
        self.helm()
            .args(["upgrade", "--install", RELEASE])
            .arg(repository().join("charts/wasmfn"))
            .args(["--values=-", "--wait", "--history-max=3", DEADLINE])
            .input(values.to_string())
            .run()
            .await
            .context("cannot install the chart")
    }

    /// Uninstalls the chart. Functions stay.
    ///
    /// # Errors
    /// Helm's own, with what it said.
    pub async fn uninstall(&self) -> Result<()> {
        let helm = self.helm().args(["uninstall", RELEASE, "--wait", DEADLINE]);
        helm.run().await
    }

    /// Runs the chart's own test.
    ///
    /// # Errors
    /// It fails.
    pub async fn test(&self) -> Result<()> {
        self.helm()
            .args(["test", RELEASE, "--logs", DEADLINE])
            .run()
            .await
    }

    fn helm(&self) -> Command {
        self.cluster.helm().args(["--namespace", SYSTEM_NAMESPACE])
    }

    async fn create_namespace(&self) -> Result<()> {
        let namespace = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": SYSTEM_NAMESPACE,
                "labels": { "pod-security.kubernetes.io/enforce": "restricted" },
            },
        });
        let apply = self
            .cluster
            .kubectl()
            .args(["apply", "--server-side", "--filename=-"]);
        apply.input(namespace.to_string()).run().await
    }

    /// An interrupted Helm leaves its release locked.
    async fn end_interrupted(&self) -> Result<()> {
        let status = self.helm().args(["status", RELEASE, "--output=json"]);
        let status = status.raw_output().await?;
        if !status.status.success() {
            let said = String::from_utf8_lossy(&status.stderr);
            if said.contains("not found") {
                return Ok(());
            }
            bail!("cannot ask Helm about the release: {said}");
        }
        let status: Value = serde_json::from_slice(&status.stdout)?;
        let word = status["info"]["status"].as_str().unwrap_or_default();
        if word.starts_with("pending-") || word == "uninstalling" {
            self.helm()
                .args(["uninstall", RELEASE, "--wait", DEADLINE])
                .run()
                .await?;
        }
        Ok(())
    }
}

fn values<'a>(settings: &Settings, reference: impl Fn(&str) -> &'a str) -> Value {
    let image = |name: &str| {
        let (repository, tag) = reference(name).rsplit_once(':').unwrap_or_default();
        json!({ "repository": repository, "tag": tag })
    };
    let service = match settings.provider {
        Provider::Kind => json!({ "type": "NodePort", "nodePort": GATEWAY_NODE_PORT }),
        Provider::Existing => json!({ "type": "ClusterIP" }),
    };
    json!({
        "images": {
            "operator": image("wasmfn-operator"),
            "gateway": image("wasmfn-gateway"),
            "runtime": image("wasmfn-runtime"),
        },
        "external": { "scheme": "http", "port": settings.gateway_port },
        "gateway": { "service": service },
        "plainHttpRegistries": [REGISTRY_HOST, PRIVATE_REGISTRY_HOST],
        "dedicatedTemplate": { "nodeSelector": true, "tolerations": true },
    })
}

/// Lays `changes` over `values`: objects field by field, everything else as a whole.
fn merge(values: &mut Value, changes: &Value) {
    let Value::Object(changes) = changes else {
        *values = changes.clone();
        return;
    };
    if !values.is_object() {
        *values = json!({});
    }
    for (name, change) in changes {
        merge(&mut values[name.as_str()], change);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_laid_over_field_by_field() {
        let mut values = json!({ "gateway": { "replicas": 2, "service": { "port": 80 } } });
        merge(
            &mut values,
            &json!({ "gateway": { "replicas": 3 }, "domain": "test" }),
        );
        let expected =
            json!({ "gateway": { "replicas": 3, "service": { "port": 80 } }, "domain": "test" });
        assert_eq!(values, expected);
    }
}
