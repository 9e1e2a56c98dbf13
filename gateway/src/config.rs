//! The configuration file `gateway.yaml`; its fields are described in `docs/contracts.md`.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;
use wasmfn_crds::hosts::HostRules;

/// What the admin decided.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// Which hosts functions may have.
    pub hosts: HostRules,
    /// What the gateway holds at most.
    #[serde(default)]
    pub limits: Limits,
    /// How long it goes on accepting after it was told to go, in seconds, so that load balancers
    /// and kube-proxy have let go by then.
    #[serde(default = "drain_seconds")]
    pub drain_seconds: u64,
}

/// What the gateway holds at most.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// Connections of clients, over both listeners; more wait in the kernel.
    pub max_connections: usize,
    /// Bytes of request bodies that are kept so that another pod can be tried.
    pub max_queued_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_queued_bytes: 64 << 20,
        }
    }
}

const fn drain_seconds() -> u64 {
    10
}

/// The configuration cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The text is not what it should be.
    #[error("the configuration is not valid")]
    Parse(#[source] serde_yaml::Error),
    /// A field has a value that cannot work.
    #[error("`{field}` must {rule}")]
    Field {
        /// Path of the field.
        field: &'static str,
        /// What it must be.
        rule: &'static str,
    },
}

impl Config {
    /// Reads the file.
    ///
    /// # Errors
    /// [`ConfigError`], which names the file or the field.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text)
    }

    /// Takes the text of the file.
    ///
    /// # Errors
    /// [`ConfigError`], which names the field.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let config: Self = serde_yaml::from_str(text).map_err(ConfigError::Parse)?;
        for (field, broken, rule) in [
            (
                "hosts.domain",
                config.hosts.domain.is_empty(),
                "be the domain under which functions answer, such as `localhost`",
            ),
            (
                "limits.maxConnections",
                config.limits.max_connections == 0,
                "be at least 1",
            ),
        ] {
            if broken {
                return Err(ConfigError::Field { field, rule });
            }
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contracts_example_is_understood() {
        let config = Config::parse(
            "hosts: {domain: localhost, clusterDomain: cluster.local, grantedSuffixes: {a: [b.com]}}\n\
             limits: {maxConnections: 5, maxQueuedBytes: 7}\n\
             drainSeconds: 3\n",
        )
        .unwrap();
        assert_eq!(config.limits.max_connections, 5);
        assert_eq!(config.limits.max_queued_bytes, 7);
        assert_eq!(config.drain_seconds, 3);
        assert_eq!(config.hosts.granted_suffixes["a"], ["b.com"]);
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let config = Config::parse("hosts: {domain: localhost}").unwrap();
        assert_eq!(config.limits, Limits::default());
        assert_eq!(config.drain_seconds, 10);
    }

    #[test]
    fn a_wrong_field_is_named() {
        let cases = [
            ("hosts: {domain: x}\ndrainSecond: 3", "drainSecond"),
            ("hosts: {domain: ''}", "hosts.domain"),
            (
                "hosts: {domain: x}\nlimits: {maxConnections: 0}",
                "limits.maxConnections",
            ),
            ("hosts: {domain: x, other: 1}", "other"),
        ];
        for (text, field) in cases {
            let error = anyhow::Error::from(Config::parse(text).unwrap_err());
            assert!(format!("{error:#}").contains(field), "{error:#}");
        }
    }
}
