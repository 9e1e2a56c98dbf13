//! Pulling a module by its reference, as the user that docker, podman or crane are logged in as.

use std::env;
use std::path::PathBuf;

use bytes::Bytes;
use wasmfn_runtime::name_resolver::{NameResolver, NameResolverError};
use wasmfn_runtime::registry::{
    Credentials, OciRegistry, PlainHttpRegistries, Registry as _, RegistryError,
};

/// Why an image could not be pulled.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// No names can be looked up on this machine.
    #[error(transparent)]
    Names(#[from] NameResolverError),
    /// The registry's part.
    #[error(transparent)]
    Registry(Box<RegistryError>),
}

impl From<RegistryError> for PullError {
    fn from(error: RegistryError) -> Self {
        Self::Registry(Box::new(error))
    }
}

/// Resolves `image` and pulls its module, at most `max_bytes` of it. Registries on this machine are
/// asked over plain HTTP.
///
/// # Errors
/// [`PullError`].
pub async fn pull(image: &str, max_bytes: u64) -> Result<Bytes, PullError> {
    let plain_http = PlainHttpRegistries::default().with_loopback();
    let registry = OciRegistry::new(NameResolver::from_system()?, plain_http);
    let logins = logins();
    let digest = registry.resolve(image, &logins).await?;
    Ok(registry.pull(image, &digest, &logins, max_bytes).await?)
}

/// What is in docker's `config.json`; programs that keep passwords for docker are not asked.
fn logins() -> Vec<Credentials> {
    let Some(path) = docker_config() else {
        return Vec::new();
    };
    let Ok(bytes) = std::fs::read(&path) else {
        return Vec::new();
    };
    match Credentials::from_docker_config(&bytes) {
        Ok(credentials) => vec![credentials],
        Err(error) => {
            tracing::warn!("logins in {} are not used: {error}", path.display());
            Vec::new()
        }
    }
}

fn docker_config() -> Option<PathBuf> {
    let folder = match env::var_os("DOCKER_CONFIG") {
        Some(folder) => PathBuf::from(folder),
        None => env::home_dir()?.join(".docker"),
    };
    Some(folder.join("config.json"))
}
