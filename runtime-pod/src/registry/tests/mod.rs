//! The client against a scripted registry on loopback.

use http::Method;

use super::*;
use crate::{name_resolver::NameResolver, roots::Roots, samples::tls::server};

mod authenticating;
mod failing;
mod pulling;
mod pushing;
mod resolving;
mod scripted;

/// A client that asks loopback registries over plain HTTP.
fn client() -> OciRegistry {
    let resolver = NameResolver::from_system().expect("the system has a DNS configuration");
    OciRegistry::new(
        resolver,
        PlainHttpRegistries::default().with_loopback(),
        &Roots::default(),
    )
}

/// A client that asks everything over HTTPS.
fn strict_client() -> OciRegistry {
    let resolver = NameResolver::from_system().expect("the system has a DNS configuration");
    OciRegistry::new(resolver, PlainHttpRegistries::default(), &Roots::default())
}

#[tokio::test]
async fn a_registry_of_a_private_authority_is_asked_where_that_is_believed() {
    let (address, roots) = server(b"http/1.1").await;
    let image = format!("localhost:{}/hello:v1", address.port());
    let resolve = async |roots: &Roots| {
        let resolver = NameResolver::from_system().expect("the system has a DNS configuration");
        let client = OciRegistry::new(resolver, PlainHttpRegistries::default(), roots);
        client.resolve(&image, &[]).await
    };
    let said = format!("HTTP/1.1 localhost:{}", address.port());
    assert_eq!(resolve(&roots).await, Ok(digest::of(said.as_bytes())));
    let error = resolve(&Roots::default()).await.unwrap_err().to_string();
    assert!(
        error.contains("an authority that is not believed"),
        "{error}"
    );
}

const MAX_BYTES: u64 = 1 << 20;

fn is_get(method: &Method) -> bool {
    method == Method::GET
}
