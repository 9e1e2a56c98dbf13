//! Pulling a module by its reference.

use bytes::Bytes;
use wasmfn_runtime::registry::Registry as _;

use crate::logins::{self, ClientError, RegistryFault};

/// Why an image could not be pulled.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// No registry can be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The registry's part.
    #[error(transparent)]
    Registry(#[from] RegistryFault),
}

/// Resolves `image` and pulls its module, at most `max_bytes` of it.
///
/// # Errors
/// [`PullError`].
pub async fn pull(image: &str, max_bytes: u64) -> Result<Bytes, PullError> {
    let (registry, logins) = (logins::registry()?, logins::logins());
    let pulling = async {
        let digest = registry.resolve(image, &logins).await?;
        registry.pull(image, &digest, &logins, max_bytes).await
    };
    let pulled = pulling.await;
    Ok(pulled.map_err(|error| RegistryFault::of(image, error))?)
}
