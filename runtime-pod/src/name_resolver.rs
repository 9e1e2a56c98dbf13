//! Names to addresses over DNS alone: a static binary cannot ask the C library.

use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};
use std::time::Duration;
use std::vec;

use futures::future::BoxFuture;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::net::NetError;
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
    /// All addresses of a name, at least one. A name that ends in a dot is looked up as it stands,
    /// another along the search list.
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
}

impl NameResolver {
    /// By the system's configuration.
    ///
    /// # Errors
    /// [`NameResolverError::Configuration`] where that cannot be read.
    pub fn from_system() -> Result<Self, NameResolverError> {
        let mut builder =
            TokioResolver::builder_tokio().map_err(NameResolverError::Configuration)?;
        let options = builder.options_mut();
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.negative_max_ttl = Some(Duration::from_secs(ABSENCE_SECONDS_MAX));
        let resolver = builder.build().map_err(NameResolverError::Configuration)?;
        Ok(Self { resolver })
    }

    /// All addresses of a name.
    ///
    /// # Errors
    /// [`NameResolverError::Unknown`] and [`NameResolverError::Failed`].
    pub async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, NameResolverError> {
        let unknown = || NameResolverError::Unknown {
            name: name.to_owned(),
        };
        match self.resolver.lookup_ip(name).await {
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
