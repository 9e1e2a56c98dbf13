//! `operator.yaml`: what the admin decided.

mod certificates;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use k8s_openapi::{
    api::{
        core::v1::{Affinity, ResourceRequirements, Toleration},
        networking::v1::NetworkPolicyPeer,
    },
    apimachinery::pkg::api::resource::Quantity,
};
use serde::Deserialize;
use serde_json::{Map, Value};
use thiserror::Error;
use wasmfn_crds::{hosts::HostRules, stores::StoreOffers};

/// The settings cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// It is not what it should be; the cause names the field.
    #[error("the operator's settings are invalid")]
    Parse(#[source] serde_yaml::Error),
    /// A namespace's overrides are not what they should be.
    #[error("the operator's settings are invalid at `namespaces.{namespace}`")]
    Override {
        /// The namespace.
        namespace: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// A setting is out of its bounds.
    #[error("the operator's settings are invalid: `{field}` {problem}")]
    Field {
        /// The setting.
        field: &'static str,
        /// What is wrong and what to do.
        problem: &'static str,
    },
}

/// What the admin decided.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who may claim which host.
    pub hosts: HostRules,
    /// How the gateway is reached from outside.
    pub external: External,
    /// Service of the gateway in wasmfn's own namespace, to which functions' names lead.
    pub gateway_service: String,
    /// Registries that are asked over plain HTTP, as `host[:port]`.
    pub plain_http_registries: Vec<String>,
    /// What the `template` of a dedicated function may set.
    pub dedicated_template: TemplateRules,
    /// Who may read the metrics of runtime pods.
    pub metrics_from: Vec<NetworkPolicyPeer>,
    runtime: RuntimeSettings,
    namespaces: BTreeMap<String, RuntimeSettings>,
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    hosts: HostRules,
    external: External,
    gateway_service: String,
    runtime: RuntimeSettings,
    #[serde(default)]
    namespaces: BTreeMap<String, Map<String, Value>>,
    #[serde(default)]
    plain_http_registries: Vec<String>,
    #[serde(default)]
    dedicated_template: TemplateRules,
    #[serde(default)]
    metrics_from: Vec<NetworkPolicyPeer>,
}

/// How the gateway is reached from outside.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct External {
    /// `http` or `https`.
    pub scheme: Scheme,
    /// Port that clients use.
    pub port: u16,
}

/// Scheme of a URL.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Plain HTTP, port 80.
    Http,
    /// HTTP over TLS, port 443.
    Https,
}

impl External {
    /// URL of a host; the port is left out where it is the scheme's own.
    #[must_use]
    pub fn url(&self, host: &str) -> String {
        let (scheme, own_port) = match self.scheme {
            Scheme::Http => ("http", 80),
            Scheme::Https => ("https", 443),
        };
        if self.port == own_port {
            format!("{scheme}://{host}")
        } else {
            format!("{scheme}://{host}:{}", self.port)
        }
    }
}

/// Of every runtime pod.
#[derive(Clone, Debug, Deserialize, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RuntimeSettings {
    /// Image of the runtime.
    pub image: String,
    /// When the kubelet pulls it.
    #[serde(default = "image_pull_policy")]
    pub image_pull_policy: String,
    /// Secrets for the image, by name; they must exist in each namespace.
    #[serde(default)]
    pub image_pull_secrets: Vec<String>,
    /// CPU and memory of the container.
    #[serde(default)]
    pub resources: ResourceRequirements,
    /// Shared pods that stay while a namespace has functions.
    #[serde(default = "keep_warm")]
    pub keep_warm: u32,
    /// Labels that a node must have.
    #[serde(default)]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the pods put up with.
    #[serde(default)]
    pub tolerations: Vec<Toleration>,
    /// Which nodes and which company the pods prefer or need.
    #[serde(default)]
    pub affinity: Option<Affinity>,
    /// Priority of the pods.
    #[serde(default)]
    pub priority_class_name: Option<String>,
    /// Largest module, in bytes.
    #[serde(default = "module_max_bytes")]
    pub module_max_bytes: u64,
    /// Whether WASI 0.3 services are served.
    #[serde(default)]
    pub wasi03: bool,
    /// Certificates of authorities that are believed beside those of the web, in PEM.
    #[serde(default)]
    pub ca_certificates: String,
    /// `RUST_LOG` of the pods.
    #[serde(default = "log_filter")]
    pub log_filter: String,
    /// Key-value stores that functions may be granted, by name.
    #[serde(default)]
    pub stores: StoreOffers,
}

fn image_pull_policy() -> String {
    "IfNotPresent".to_owned()
}

const fn keep_warm() -> u32 {
    1
}

const fn module_max_bytes() -> u64 {
    128 << 20
}

fn log_filter() -> String {
    "info".to_owned()
}

/// What the `template` of a dedicated function may set.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TemplateRules {
    /// `nodeSelector` is allowed.
    pub node_selector: bool,
    /// `tolerations` are allowed.
    pub tolerations: bool,
    /// `affinity` is allowed.
    pub affinity: bool,
    /// Upper bounds of `resources`, by resource.
    pub max_resources: Option<BTreeMap<String, Quantity>>,
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// [`ConfigError`] names the file or the field and what is wrong with it.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text)
    }

    /// Reads the settings from text.
    ///
    /// # Errors
    /// [`ConfigError`] names the field and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let file: File = serde_yaml::from_str(text).map_err(ConfigError::Parse)?;
        require("hosts.domain", !file.hosts.domain.is_empty())?;
        require("hosts.clusterDomain", !file.hosts.cluster_domain.is_empty())?;
        require("gatewayService", !file.gateway_service.is_empty())?;
        require("runtime.image", !file.runtime.image.is_empty())?;
        let namespaces = file
            .namespaces
            .into_iter()
            .map(|(namespace, fields)| match overlay(&file.runtime, fields) {
                Ok(settings) => Ok((namespace, settings)),
                Err(source) => Err(ConfigError::Override { namespace, source }),
            })
            .collect::<Result<BTreeMap<_, _>, _>>()?;
        for settings in namespaces.values().chain([&file.runtime]) {
            certificates::check(&settings.ca_certificates)?;
        }
        Ok(Self {
            hosts: file.hosts,
            external: file.external,
            gateway_service: file.gateway_service,
            plain_http_registries: file.plain_http_registries,
            dedicated_template: file.dedicated_template,
            metrics_from: file.metrics_from,
            runtime: file.runtime,
            namespaces,
        })
    }

    /// Settings of the runtime pods of a namespace.
    #[must_use]
    pub fn runtime(&self, namespace: &str) -> &RuntimeSettings {
        self.namespaces.get(namespace).unwrap_or(&self.runtime)
    }

    /// All runtime images that may run.
    #[must_use]
    pub fn images(&self) -> BTreeSet<&str> {
        self.namespaces
            .values()
            .chain([&self.runtime])
            .map(|settings| settings.image.as_str())
            .collect()
    }
}

fn require(field: &'static str, holds: bool) -> Result<(), ConfigError> {
    if holds {
        return Ok(());
    }
    Err(ConfigError::Field {
        field,
        problem: "must not be empty",
    })
}

/// `base` with the given fields in place of its own.
fn overlay(
    base: &RuntimeSettings,
    fields: Map<String, Value>,
) -> Result<RuntimeSettings, serde_json::Error> {
    let mut merged = serde_json::to_value(base)?;
    if let Value::Object(object) = &mut merged {
        object.extend(fields);
    }
    serde_json::from_value(merged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::chain;
    use wasmfn_crds::stores::StoreOffer;

    const LEAST: &str = "
hosts: { domain: localhost, clusterDomain: cluster.local }
external: { scheme: http, port: 8080 }
gatewayService: wasmfn-gateway-cluster
runtime: { image: 'wasmfn-runtime:0.1.0' }
";

    #[test]
    fn reads_the_contract_and_its_overrides() {
        let config = Config::parse(&format!(
            "{}namespaces: {{ team-a: {{ keepWarm: 0, resources: {{ limits: {{ memory: 1Gi }} }}, \
             stores: {{ sessions: {{ kind: Redis, url: 'redis://valkey', secret: sessions }} }} }} }}\n",
            LEAST.replace("0.1.0' }", "0.1.0', stores: { scratch: { kind: Memory } } }")
        ))
        .unwrap();
        assert_eq!(config.runtime("other").keep_warm, 1);
        assert_eq!(
            config.runtime("other").stores["scratch"],
            StoreOffer::Memory
        );
        let team = config.runtime("team-a");
        assert_eq!(team.stores["sessions"].secret(), Some("sessions"));
        assert_eq!(team.keep_warm, 0);
        assert_eq!(team.image, "wasmfn-runtime:0.1.0");
        assert_eq!(
            team.resources.limits.as_ref().unwrap()["memory"],
            Quantity("1Gi".into())
        );
    }

    #[test]
    fn refuses_what_it_does_not_know_by_name() {
        for (extra, part) in [
            ("colour: red\n", "colour"),
            ("namespaces: { a: { keepwarm: 1 } }\n", "keepwarm"),
            ("namespaces: { a: { keepWarm: -1 } }\n", "namespaces.a"),
            ("dedicatedTemplate: { all: true }\n", "all"),
            (
                "namespaces: { a: { caCertificates: Let us in } }\n",
                "caCertificates",
            ),
            (
                "namespaces: { a: { stores: { s: { kind: Redis, url: u, password: p } } } }\n",
                "password",
            ),
        ] {
            let error = Config::parse(&format!("{LEAST}{extra}")).unwrap_err();
            assert!(chain(&error).contains(part), "{}", chain(&error));
        }
        let error = Config::parse(&LEAST.replace("localhost", "''")).unwrap_err();
        assert!(error.to_string().contains("hosts.domain"), "{error}");
    }

    #[test]
    fn a_url_leaves_out_the_schemes_own_port() {
        for (scheme, port, url) in [
            (Scheme::Http, 80, "http://a"),
            (Scheme::Https, 443, "https://a"),
            (Scheme::Http, 443, "http://a:443"),
            (Scheme::Https, 8443, "https://a:8443"),
        ] {
            assert_eq!(External { scheme, port }.url("a"), url);
        }
    }
}
