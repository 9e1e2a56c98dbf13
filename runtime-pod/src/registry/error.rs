//! What can go wrong with a registry, in sentences that end up in a function's status.
//!
//! Sentences hold names, numbers, status codes and the registry's error codes: never a body, a
//! token or a password.

use std::fmt;
use std::time::Duration;

use http::StatusCode;
use wasmfn_crds::Reason;

/// Why a registry gave no digest or no module.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RegistryError {
    /// The reference is none.
    #[error(
        "the image \"{reference}\" is no OCI reference: {problem}; write HOST/PATH:TAG or HOST/PATH@sha256:DIGEST"
    )]
    InvalidReference {
        /// As it was written, cut where it is long.
        reference: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A pull secret cannot be read.
    #[error(
        "the pull secret is no valid .dockerconfigjson: {problem}; make it with `kubectl create secret docker-registry`"
    )]
    InvalidCredentials {
        /// What is wrong with it, without its contents.
        problem: String,
    },
    /// The registry has no such repository, tag or digest.
    #[error("{registry} has no {what} ({said}); push it, or correct the image")]
    NotFound {
        /// The registry's host.
        registry: String,
        /// Repository and tag or digest.
        what: String,
        /// What the registry answered.
        said: Said,
    },
    /// The registry wants credentials, or refuses those it got.
    #[error("{registry} refused {what} ({said}) {}", who(user.as_deref()))]
    Denied {
        /// The registry's host.
        registry: String,
        /// Repository and tag or digest.
        what: String,
        /// What the registry answered.
        said: Said,
        /// The user it was asked as; none for nobody.
        user: Option<String>,
    },
    /// Too many requests.
    #[error("{registry} allows no more requests for now ({said})")]
    RateLimited {
        /// The registry's host.
        registry: String,
        /// What the registry answered.
        said: Said,
        /// When it may be asked again, as it says itself.
        retry_after: Option<Duration>,
    },
    /// The registry has a fault of its own.
    #[error("{registry} has a fault of its own ({said})")]
    Faulty {
        /// The registry's host.
        registry: String,
        /// What the registry answered.
        said: Said,
        /// When it may be asked again, as it says itself.
        retry_after: Option<Duration>,
    },
    /// No answer, or none to its end.
    #[error("{registry} cannot be reached: {problem}")]
    Unreachable {
        /// The registry's host.
        registry: String,
        /// What happened.
        problem: String,
    },
    /// An answer that no registry should give.
    #[error(
        "{registry} gave no valid answer for {what}: {problem}; check that the host is an OCI registry"
    )]
    InvalidAnswer {
        /// The registry's host.
        registry: String,
        /// What was asked for.
        what: String,
        /// What is wrong with the answer.
        problem: String,
    },
    /// The module is larger than allowed.
    #[error("the module in {image} is larger than the allowed {max_bytes} bytes{}; make it smaller, or have the limit for modules raised", size(*bytes))]
    TooLarge {
        /// Registry, repository and digest.
        image: String,
        /// Its size, where the registry said it.
        bytes: Option<u64>,
        /// The most that is allowed.
        max_bytes: u64,
    },
    /// What arrived has another digest than what was asked for.
    #[error("{registry} sent for {what} something else: {problem}; push the image again")]
    DigestMismatch {
        /// The registry's host.
        registry: String,
        /// What was asked for, with its digest.
        what: String,
        /// The difference.
        problem: String,
    },
    /// The image holds no WebAssembly.
    #[error(
        "{image} holds no WebAssembly module: {problem}; push the .wasm file itself, for example with `oras push IMAGE module.wasm:application/wasm`"
    )]
    NotWasm {
        /// Registry, repository and digest.
        image: String,
        /// What it holds instead.
        problem: String,
    },
    /// The image holds WebAssembly in a form that is not served.
    #[error("{image} cannot be served: {problem}")]
    Unsupported {
        /// Registry, repository and digest.
        image: String,
        /// What is not supported, and what to do.
        problem: String,
    },
}

impl RegistryError {
    /// The word for a condition.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::InvalidReference { .. } => Reason::InvalidImage,
            Self::NotFound { .. } => Reason::ImageNotFound,
            Self::InvalidCredentials { .. } | Self::Denied { .. } => Reason::RegistryDenied,
            Self::RateLimited { .. } | Self::Faulty { .. } | Self::Unreachable { .. } => {
                Reason::RegistryUnavailable
            }
            Self::InvalidAnswer { .. } => Reason::RegistryInvalid,
            Self::TooLarge { .. } => Reason::TooLarge,
            Self::DigestMismatch { .. } => Reason::DigestMismatch,
            Self::NotWasm { .. } => Reason::NotWasm,
            Self::Unsupported { .. } => Reason::Unsupported,
        }
    }

    /// Whether asking again, with growing pauses, may help though the function stays as it is: the
    /// registry comes back, the image is pushed later, a right is granted. What follows from the
    /// bytes behind a digest, or from the spec, is not transient.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::NotFound { .. }
            | Self::Denied { .. }
            | Self::RateLimited { .. }
            | Self::Faulty { .. }
            | Self::Unreachable { .. }
            | Self::InvalidAnswer { .. }
            | Self::DigestMismatch { .. } => true,
            Self::InvalidReference { .. }
            | Self::InvalidCredentials { .. }
            | Self::TooLarge { .. }
            | Self::NotWasm { .. }
            | Self::Unsupported { .. } => false,
        }
    }

    /// How long the registry wants to be left alone, where it said so; at most five minutes.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::Faulty { retry_after, .. } => {
                *retry_after
            }
            _ => None,
        }
    }
}

fn who(user: Option<&str>) -> String {
    match user {
        Some(user) => {
            format!("to \"{user}\"; correct the pull secret, or give that user the right to pull")
        }
        None => "without credentials; check the name, or name a pull secret in imagePullSecrets"
            .to_owned(),
    }
}

fn size(bytes: Option<u64>) -> String {
    bytes.map_or_else(String::new, |bytes| format!(" ({bytes} bytes)"))
}

/// What a registry answered, in short: its status and its error code.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Said {
    /// The status of the answer.
    pub status: StatusCode,
    /// The distribution API's error code, such as `MANIFEST_UNKNOWN`.
    pub code: Option<String>,
}

impl fmt::Display for Said {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.status.as_u16())?;
        match &self.code {
            Some(code) => write!(formatter, " {code}"),
            None => Ok(()),
        }
    }
}
