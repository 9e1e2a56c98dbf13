//! The configuration file `gateway.yaml`; its fields are described in `docs/contracts.md`.

use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, de::Error as _};
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
    /// How long clients may take.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// TLS towards clients; without it there is no listener for it.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// Proxies in front, by their networks: what others say of for whom they ask is dropped.
    #[serde(default, deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// How long it goes on accepting after it was told to go, in seconds, so that load balancers
    /// and kube-proxy have let go by then.
    #[serde(default = "drain_seconds")]
    pub drain_seconds: u64,
}

/// What the gateway holds at most.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// Connections of clients, over all listeners; more wait in the kernel.
    pub max_connections: usize,
    /// Connections of one address (IPv6: of one network of 64 bits); more are closed. 0: as many as
    /// there may be, for where a proxy or an address translation in front is the only client.
    pub max_connections_per_client: usize,
    /// Bytes of request bodies that are kept so that another pod can be tried.
    pub max_queued_bytes: usize,
    /// Requests at the same time, waiting ones too; more are refused. Together with the others it
    /// bounds memory: each may fill the buffers of its connection or stream.
    pub max_requests: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_connections_per_client: 0,
            max_queued_bytes: 64 << 20,
            max_requests: 20_000,
        }
    }
}

/// How long clients may take, in seconds.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Timeouts {
    /// For the handshake of TLS.
    pub handshake_seconds: u64,
    /// For the head of a request, from its first byte.
    pub head_seconds: u64,
    /// Between two pieces of a body that is being read.
    pub body_seconds: u64,
    /// Between two pieces that they take of an answer.
    pub answer_seconds: u64,
    /// Between two requests. Load balancers in front must keep connections for less.
    pub idle_seconds: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake_seconds: 10,
            head_seconds: 10,
            body_seconds: 60,
            answer_seconds: 60,
            idle_seconds: 75,
        }
    }
}

/// TLS towards clients.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tls {
    /// Where `tls.crt` and `tls.key` are.
    pub directory: PathBuf,
}

fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let blocks = Vec::<String>::deserialize(deserializer)?;
    let network = |block: String| {
        block.parse().map_err(|_| {
            D::Error::custom(format!("trustedProxies: `{block}` must be a CIDR block"))
        })
    };
    blocks.into_iter().map(network).collect()
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
        let (limits, timeouts) = (&config.limits, &config.timeouts);
        let at_least_1 = |field, value| (field, value == 0, "be at least 1");
        for (field, broken, rule) in [
            (
                "hosts.domain",
                config.hosts.domain.is_empty(),
                "be the domain under which functions answer, such as `localhost`",
            ),
            at_least_1("limits.maxConnections", limits.max_connections as u64),
            at_least_1("limits.maxRequests", limits.max_requests as u64),
            at_least_1("timeouts.handshakeSeconds", timeouts.handshake_seconds),
            at_least_1("timeouts.headSeconds", timeouts.head_seconds),
            at_least_1("timeouts.bodySeconds", timeouts.body_seconds),
            at_least_1("timeouts.answerSeconds", timeouts.answer_seconds),
            at_least_1("timeouts.idleSeconds", timeouts.idle_seconds),
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
             limits: {maxConnections: 5, maxConnectionsPerClient: 4, maxQueuedBytes: 7, maxRequests: 6}\n\
             timeouts: {handshakeSeconds: 1, headSeconds: 2, bodySeconds: 3, answerSeconds: 4, idleSeconds: 5}\n\
             tls: {directory: /etc/wasmfn/tls}\n\
             trustedProxies: [10.0.0.0/8, \"2001:db8::/32\"]\n\
             drainSeconds: 3\n",
        )
        .unwrap();
        assert_eq!(config.limits.max_connections_per_client, 4);
        assert_eq!(config.limits.max_requests, 6);
        assert_eq!(config.timeouts.head_seconds, 2);
        assert_eq!(config.tls.unwrap().directory, Path::new("/etc/wasmfn/tls"));
        assert_eq!(config.trusted_proxies.len(), 2);
        assert_eq!(config.limits.max_connections, 5);
        assert_eq!(config.limits.max_queued_bytes, 7);
        assert_eq!(config.drain_seconds, 3);
        assert_eq!(config.hosts.granted_suffixes["a"], ["b.com"]);
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let config = Config::parse("hosts: {domain: localhost}").unwrap();
        assert_eq!(config.limits, Limits::default());
        assert_eq!(config.timeouts, Timeouts::default());
        assert_eq!((config.tls, config.trusted_proxies.len()), (None, 0));
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
            (
                "hosts: {domain: x}\ntimeouts: {idleSeconds: 0}",
                "timeouts.idleSeconds",
            ),
            (
                "hosts: {domain: x}\nlimits: {maxRequests: 0}",
                "limits.maxRequests",
            ),
            (
                "hosts: {domain: x}\ntrustedProxies: [10.0.0.1/33]",
                "trustedProxies",
            ),
        ];
        for (text, field) in cases {
            let error = anyhow::Error::from(Config::parse(text).unwrap_err());
            assert!(format!("{error:#}").contains(field), "{error:#}");
        }
    }
}
