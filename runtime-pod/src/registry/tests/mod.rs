//! The client against a scripted registry on loopback.

use http::Method;

use super::*;
use crate::name_resolver::NameResolver;

mod authenticating;
mod failing;
mod pulling;
mod resolving;
mod scripted;

/// A client that asks loopback registries over plain HTTP.
fn client() -> OciRegistry {
    let resolver = NameResolver::from_system().expect("the system has a DNS configuration");
    OciRegistry::new(resolver, PlainHttpRegistries::default().with_loopback())
}

/// A client that asks everything over HTTPS.
fn strict_client() -> OciRegistry {
    let resolver = NameResolver::from_system().expect("the system has a DNS configuration");
    OciRegistry::new(resolver, PlainHttpRegistries::default())
}

const MAX_BYTES: u64 = 1 << 20;

fn is_get(method: &Method) -> bool {
    method == Method::GET
}
