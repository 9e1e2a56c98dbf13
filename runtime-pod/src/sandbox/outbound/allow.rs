//! The function's list of what it may call, read from `spec.outbound`.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use http::uri::Scheme;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmfn_crds::spec;

use super::address::{self, Network};

/// An entry of `spec.outbound` cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum AllowListError {
    /// An entry of `hosts`.
    #[error("`spec.outbound.hosts`: `{0}` must be `scheme://host[:port]` or a CIDR block")]
    Host(String),
    /// An entry of `services`.
    #[error("`spec.outbound.services`: `{0}` must be `name` or `name:port`")]
    Service(String),
}

/// Calls of one function at the same time: half of the connections that all functions share.
const CALLS_OF_FUNCTION: usize = 256;

/// What a function may call.
#[derive(Debug)]
pub struct AllowList {
    number: u64,
    calls: Arc<Semaphore>,
    hosts: Vec<HostRule>,
    networks: Vec<Network>,
    services: Vec<ServiceRule>,
    namespace: String,
}

#[derive(Clone, Debug)]
struct HostRule {
    scheme: Scheme,
    host: HostPattern,
    port: u16,
}

#[derive(Clone, Debug)]
enum HostPattern {
    Exactly(String),
    Below(String),
}

#[derive(Clone, Debug)]
struct ServiceRule {
    name: String,
    port: Option<u16>,
}

/// Where a request wants to go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Target {
    pub(super) is_https: bool,
    pub(super) host: String,
    pub(super) port: u16,
}

/// What the list says about a target.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Decision {
    /// It is not on the list.
    Denied,
    /// It may be called, at public addresses and those that the list grants.
    Host,
    /// It is a service of the namespace, to be looked up under this name.
    Service(String),
}

impl AllowList {
    /// Reads `spec.outbound` of a function in `namespace`.
    ///
    /// # Errors
    /// [`AllowListError`] with the entry that is none.
    pub fn read(outbound: &spec::Outbound, namespace: &str) -> Result<Self, AllowListError> {
        let mut list = Self::empty(namespace);
        for entry in &outbound.hosts {
            if let Some(rule) = host_rule(entry) {
                list.hosts.push(rule);
            } else if let Some(network) = Network::parse(entry) {
                list.networks.push(network);
            } else {
                return Err(AllowListError::Host(entry.clone()));
            }
        }
        for entry in &outbound.services {
            let rule = service_rule(entry).ok_or_else(|| AllowListError::Service(entry.clone()))?;
            list.services.push(rule);
        }
        Ok(list)
    }

    fn empty(namespace: &str) -> Self {
        static NEXT_NUMBER: AtomicU64 = AtomicU64::new(0);
        Self {
            number: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed),
            calls: Arc::new(Semaphore::new(CALLS_OF_FUNCTION)),
            hosts: Vec::new(),
            networks: Vec::new(),
            services: Vec::new(),
            namespace: namespace.to_owned(),
        }
    }

    /// A number that no other list of this process has: what keeps their connections apart.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// Counts a call in, unless too many are under way.
    pub(super) fn begin(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.calls).try_acquire_owned().ok()
    }

    pub(super) fn decide(&self, target: &Target) -> Decision {
        if let Ok(address) = target.host.parse::<IpAddr>()
            && self.grants(address)
        {
            return Decision::Host;
        }
        if self.hosts.iter().any(|rule| rule.admits(target)) {
            return Decision::Host;
        }
        self.service(target)
            .map_or(Decision::Denied, |name| Decision::Service(name.to_owned()))
            .qualified(&self.namespace)
    }

    /// Whether a request that was allowed by `decision` may be sent to `address`.
    pub(super) fn admits_address(&self, decision: &Decision, address: IpAddr) -> bool {
        match decision {
            Decision::Denied => false,
            Decision::Host => address::is_public(address) || self.grants(address),
            Decision::Service(_) => address::may_be_service(address),
        }
    }

    /// Whether a block opens `address`. One that carries an IPv4 address would be a way around the
    /// checks: of those, NAT64's alone are opened, where what they lead to may be called as well.
    fn grants(&self, address: IpAddr) -> bool {
        let is_within_open = match address::behind_nat64(address) {
            Some(inner) => address::is_public(inner) || self.holds(inner),
            None => !address::is_carrier(address),
        };
        is_within_open && self.holds(address)
    }

    /// A metadata service is granted by its own address alone: a block that happens to hold it
    /// was not written for it.
    fn holds(&self, address: IpAddr) -> bool {
        let alone = address::is_metadata(address);
        self.networks
            .iter()
            .any(|network| network.contains(address) && (!alone || network.is_one_address()))
    }

    fn service(&self, target: &Target) -> Option<&str> {
        let name = self.service_name(&target.host)?;
        self.services
            .iter()
            .find(|rule| rule.name == name && rule.port.is_none_or(|port| port == target.port))
            .map(|rule| rule.name.as_str())
    }

    /// NAME of `NAME`, `NAME.NAMESPACE`, `NAME.NAMESPACE.svc` and `NAME.NAMESPACE.svc.ANYTHING`.
    fn service_name<'host>(&self, host: &'host str) -> Option<&'host str> {
        let mut labels = host.splitn(4, '.');
        let name = labels.next()?;
        let own = labels.next().is_none_or(|label| label == self.namespace);
        let is_service = labels.next().is_none_or(|label| label == "svc");
        (own && is_service).then_some(name)
    }
}

impl Decision {
    fn qualified(self, namespace: &str) -> Self {
        match self {
            Self::Service(name) => Self::Service(format!("{name}.{namespace}.svc")),
            other => other,
        }
    }
}

impl HostRule {
    fn admits(&self, target: &Target) -> bool {
        let scheme = if target.is_https {
            Scheme::HTTPS
        } else {
            Scheme::HTTP
        };
        let host = match &self.host {
            HostPattern::Exactly(host) => *host == target.host,
            HostPattern::Below(domain) => target
                .host
                .strip_suffix(domain)
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
        };
        self.scheme == scheme && host && self.port == target.port
    }
}

/// The port that goes without saying.
pub(super) const fn default_port(is_https: bool) -> u16 {
    if is_https { 443 } else { 80 }
}

fn host_rule(entry: &str) -> Option<HostRule> {
    let (scheme, rest) = entry.split_once("://")?;
    let (scheme, is_https) = match scheme {
        "http" => (Scheme::HTTP, false),
        "https" => (Scheme::HTTPS, true),
        _ => return None,
    };
    let (host, port) = split_port(rest)?;
    let host = match host.strip_prefix("*.") {
        Some(domain) => HostPattern::Below(normal(domain)),
        None => HostPattern::Exactly(normal(host)),
    };
    Some(HostRule {
        scheme,
        host,
        port: port.unwrap_or(default_port(is_https)),
    })
}

fn service_rule(entry: &str) -> Option<ServiceRule> {
    let (name, port) = split_port(entry)?;
    Some(ServiceRule {
        name: normal(name),
        port,
    })
}

/// Host and port of `HOST[:PORT]`, where HOST may be an IPv6 address in brackets.
fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    let end_of_host = text.rfind(']').map_or(0, |index| index + 1);
    let (host, port) = match text[end_of_host..].find(':') {
        Some(colon) => {
            let (host, port) = text.split_at(end_of_host + colon);
            (host, Some(port[1..].parse().ok()?))
        }
        None => (text, None),
    };
    (!host.is_empty()).then_some((host, port))
}

/// A host as hosts are compared: lower case, no trailing dot, no brackets.
pub(super) fn normal(host: &str) -> String {
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .trim_end_matches('.')
        .to_ascii_lowercase()
}
