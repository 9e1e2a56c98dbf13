//! Who registries are asked as, and which of them are believed: as docker, podman and crane do on this
//! machine.

use std::path::PathBuf;
use std::{env, fs, io};

use wasmfn_runtime::name_resolver::{NameResolver, NameResolverError};
use wasmfn_runtime::registry::{Credentials, OciRegistry, PlainHttpRegistries, RegistryError};
use wasmfn_runtime::roots::{Roots, RootsError};

/// Variable that names a file with certificates of authorities, as OpenSSL and Go have it.
const CERTIFICATES_VARIABLE: &str = "SSL_CERT_FILE";

/// The file with certificates of authorities cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RootsFileError {
    /// It cannot be read.
    #[error("the file {} that SSL_CERT_FILE names cannot be read", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It holds something else.
    #[error("the file {} that SSL_CERT_FILE names holds no certificates", .path.display())]
    Roots {
        /// The file.
        path: PathBuf,
        /// Why.
        source: RootsError,
    },
}

/// Why no registry can be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No names can be looked up on this machine.
    #[error(transparent)]
    Names(#[from] NameResolverError),
    /// Certificates of authorities that the user adds.
    #[error(transparent)]
    Roots(#[from] RootsFileError),
}

/// A registry did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryFault {
    /// It refuses who asks. What to do is another thing here than in a cluster, of whose Secrets the cause speaks.
    #[error(
        "{image} is refused; logins are those of `docker login`, and programs that keep passwords for docker are not asked"
    )]
    Denied {
        /// The image.
        image: String,
        /// What the registry said.
        source: Box<RegistryError>,
    },
    /// Anything else.
    #[error(transparent)]
    Other(Box<RegistryError>),
}

impl RegistryFault {
    /// What became of `image`.
    #[must_use]
    pub fn of(image: &str, error: RegistryError) -> Self {
        match error {
            RegistryError::Denied { .. } => Self::Denied {
                image: image.to_owned(),
                source: Box::new(error),
            },
            error => Self::Other(Box::new(error)),
        }
    }
}

/// Authorities that are believed: those of the web, and those in the file that `SSL_CERT_FILE` names.
///
/// # Errors
/// [`RootsFileError`].
pub fn roots() -> Result<Roots, RootsFileError> {
    let Some(path) = env::var_os(CERTIFICATES_VARIABLE).map(PathBuf::from) else {
        return Ok(Roots::default());
    };
    match fs::read_to_string(&path) {
        Ok(text) => text
            .parse()
            .map_err(|source| RootsFileError::Roots { path, source }),
        Err(source) => Err(RootsFileError::Unreadable { path, source }),
    }
}

/// What asks registries. Those on this machine are asked over plain HTTP.
///
/// # Errors
/// [`ClientError`].
pub fn registry() -> Result<OciRegistry, ClientError> {
    let plain_http = PlainHttpRegistries::default().with_loopback();
    Ok(OciRegistry::new(
        NameResolver::from_system()?,
        plain_http,
        &roots()?,
    ))
}

/// What is in docker's `config.json`; programs that keep passwords for docker are not asked.
#[must_use]
pub fn logins() -> Vec<Credentials> {
    let Some(path) = docker_config() else {
        return Vec::new();
    };
    let Ok(bytes) = fs::read(&path) else {
        return Vec::new();
    };
    match Credentials::from_docker_config(&bytes) {
        Ok(credentials) => vec![credentials],
        Err(error) => {
            let problem = match error {
                RegistryError::InvalidCredentials { problem } => problem,
                error => error.to_string(),
            };
            tracing::warn!("logins in {} are not used: {problem}", path.display());
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
