//! Names to addresses over DNS alone: a static binary cannot ask the C library.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};
use std::time::Duration;
use std::vec;

use futures::future::BoxFuture;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::system_conf::read_system_conf;
use hyper_util::client::legacy::connect::dns::Name;

/// How long the absence of a name is believed: it may be a Service that is just being made.
const ABSENCE_SECONDS_MAX: u64 = 2;

/// Why a name has no address.
#[derive(Debug, thiserror::Error)]
pub enum NameResolverError {
    /// The system's configuration names no usable DNS server.
    #[error("the DNS configuration of this system cannot be used")]
    Configuration(#[source] NetError),
    /// The name servers know no address of it.
    #[error("the name \"{name}\" has no address")]
    Unknown {
        /// The name.
        name: String,
    },
    /// The name servers did not say.
    #[error("the name \"{name}\" cannot be looked up")]
    Failed {
        /// The name.
        name: String,
        /// What happened.
        source: NetError,
    },
}

/// Turns names into addresses.
pub trait Lookup: Send + Sync {
    /// All addresses of a name, at least one. A name that ends in a dot is looked up as it stands, one of
    /// a Service in the cluster's zone, another along the search list.
    fn lookup<'a>(&'a self, name: &'a str)
    -> BoxFuture<'a, Result<Vec<IpAddr>, NameResolverError>>;
}

impl Lookup for NameResolver {
    fn lookup<'a>(
        &'a self,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Vec<IpAddr>, NameResolverError>> {
        Box::pin(self.lookup(name))
    }
}

/// Asks the DNS servers of `/etc/resolv.conf`, by its search list, after `/etc/hosts`.
#[derive(Clone)]
pub struct NameResolver {
    resolver: TokioResolver,
    /// The cluster's zone, where there is one.
    zone: Option<String>,
}

impl NameResolver {
    /// By the system's configuration.
    ///
    /// # Errors
    /// [`NameResolverError::Configuration`] where that cannot be read.
    pub fn from_system() -> Result<Self, NameResolverError> {
        let (config, mut options) = read_system_conf().map_err(NameResolverError::Configuration)?;
        let zone = zone(config.search().iter().map(ToString::to_string));
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.negative_max_ttl = Some(Duration::from_secs(ABSENCE_SECONDS_MAX));
        let mut builder =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        let resolver = builder.build().map_err(NameResolverError::Configuration)?;
        Ok(Self { resolver, zone })
    }

    /// All addresses of a name.
    ///
    /// # Errors
    /// [`NameResolverError::Unknown`] and [`NameResolverError::Failed`].
    pub async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, NameResolverError> {
        let unknown = || NameResolverError::Unknown {
            name: name.to_owned(),
        };
        match self
            .resolver
            .lookup_ip(&*question(name, self.zone.as_deref()))
            .await
        {
            Ok(found) => {
                let addresses: Vec<IpAddr> = found.iter().collect();
                if addresses.is_empty() {
                    return Err(unknown());
                }
                Ok(addresses)
            }
            Err(error) if error.is_no_records_found() || error.is_nx_domain() => Err(unknown()),
            Err(source) => Err(NameResolverError::Failed {
                name: name.to_owned(),
                source,
            }),
        }
    }
}

/// The cluster's zone by a pod's search list, which has `svc.ZONE` in it.
fn zone(search: impl Iterator<Item = String>) -> Option<String> {
    let mut zones = search.filter_map(|entry| {
        let zone = entry.strip_prefix("svc.")?.trim_end_matches('.');
        (!zone.is_empty()).then(|| zone.to_owned())
    });
    zones.next()
}

/// The name as it is asked for. `NAME.NAMESPACE.svc` is a Service's in the cluster's zone: along the
/// search list of a pod, `NAME.NAMESPACE.svc.svc.ZONE` comes before it, for which whoever owns a namespace
/// `svc` may answer.
fn question<'name>(name: &'name str, zone: Option<&str>) -> Cow<'name, str> {
    let mut labels = name.rsplit('.');
    let is_service = labels.next() == Some("svc") && labels.count() >= 2;
    match zone {
        Some(zone) if is_service => format!("{name}.{zone}.").into(),
        _ => name.into(),
    }
}

/// What hyper's connector takes; it fills in the port.
impl tower::Service<Name> for NameResolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = NameResolverError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolver = self.clone();
        Box::pin(async move {
            let addresses = resolver.lookup(name.as_str()).await?;
            let sockets: Vec<SocketAddr> = addresses
                .into_iter()
                .map(|address| SocketAddr::new(address, 0))
                .collect();
            Ok(sockets.into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn localhost_is_known_without_a_server() {
        let resolver = NameResolver::from_system().unwrap();
        let addresses = resolver.lookup("localhost").await.unwrap();
        assert!(addresses.iter().all(IpAddr::is_loopback), "{addresses:?}");
    }

    #[test]
    fn the_zone_stands_behind_svc_in_the_search_list() {
        let zone_of = |search: &[&str]| zone(search.iter().map(|entry| (*entry).to_owned()));
        let of_pod = [
            "team.svc.cluster.local",
            "svc.cluster.local",
            "cluster.local",
        ];
        assert_eq!(zone_of(&of_pod).as_deref(), Some("cluster.local"));
        assert_eq!(zone_of(&["svc.k8s.test."]).as_deref(), Some("k8s.test"));
        for none in [&[][..], &["example.com"], &["svc"], &["svc."], &["a.svc.b"]] {
            assert_eq!(zone_of(none), None, "{none:?}");
        }
    }

    #[test]
    fn services_are_not_looked_up_along_the_search_list() {
        let zone = Some("cluster.local");
        for (name, expected) in [
            ("cache.team.svc", "cache.team.svc.cluster.local."),
            ("pod.cache.team.svc", "pod.cache.team.svc.cluster.local."),
            ("cache.svc", "cache.svc"),
            ("cache", "cache"),
            ("cache.team.svc.", "cache.team.svc."),
            ("api.example.com", "api.example.com"),
        ] {
            assert_eq!(question(name, zone), expected);
            assert_eq!(question(name, None), name);
        }
    }

    #[test]
    fn the_error_names_the_name() {
        let error = NameResolverError::Unknown {
            name: "nowhere.example".to_owned(),
        };
        assert_eq!(
            error.to_string(),
            "the name \"nowhere.example\" has no address"
        );
    }
}
