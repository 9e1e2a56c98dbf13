//! Modules from OCI registries: which digest a reference has, and the bytes behind a digest.
//!
//! The whole client is our own: what it asks, follows and keeps is bounded, what it verifies is
//! verified while it arrives, and what it says is a sentence for the function's status.

use bytes::Bytes;
use futures::future::BoxFuture;

mod authentication;
mod challenge;
mod client;
mod credentials;
mod digest;
mod error;
mod exchange;
mod manifest;
mod plain_http;
mod push;
mod reference;
mod retry;
mod token;
mod transport;

#[cfg(test)]
mod tests;

pub use client::OciRegistry;
pub use credentials::Credentials;
pub use error::{RegistryError, Said};
pub use plain_http::PlainHttpRegistries;
pub use reference::Reference;

/// Where modules come from.
pub trait Registry: Send + Sync + 'static {
    /// Digest (`sha256:` and 64 hexadecimal digits) of the manifest that `image` names. A reference
    /// that names a digest is answered without asking anybody.
    ///
    /// # Errors
    /// See [`RegistryError`].
    fn resolve<'a>(
        &'a self,
        image: &'a str,
        credentials: &'a [Credentials],
    ) -> BoxFuture<'a, Result<String, RegistryError>>;

    /// Bytes of the module whose manifest has this digest, at most `max_bytes` of them and checked
    /// against the digests on the way. `image` says where to ask; its own tag or digest is not used.
    ///
    /// # Errors
    /// See [`RegistryError`].
    fn pull<'a>(
        &'a self,
        image: &'a str,
        digest: &'a str,
        credentials: &'a [Credentials],
        max_bytes: u64,
    ) -> BoxFuture<'a, Result<Bytes, RegistryError>>;
}
