//! Why a function cannot be loaded.

use std::time::Duration;

use wasmfn_crds::Reason;

use crate::{
    compile::CompilationError, engine::CompileError, function::SettingsError,
    references::MissingReference, registry::RegistryError,
};

/// Why a function cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The registry's part.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The module's part, as it is looked at and linked.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The module's part, as it is compiled.
    #[error(transparent)]
    Compilation(#[from] CompilationError),
    /// The spec's part.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A pull secret is missing.
    #[error("`spec.imagePullSecrets` names what is not there: {0}")]
    PullSecret(#[from] MissingReference),
}

impl LoadError {
    /// The reason of the API that it stands for.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Registry(error) => error.reason(),
            Self::Compile(error) => error.reason(),
            Self::Compilation(error) => error.reason(),
            Self::Settings(error) => error.reason(),
            Self::PullSecret(_) => Reason::MissingSecret,
        }
    }

    /// Whether it may pass by itself. What is missing is waited for: its coming is noticed.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Registry(error) => error.is_transient(),
            Self::Compile(error) => error.is_transient(),
            Self::Compilation(error) => error.is_transient(),
            Self::Settings(_) | Self::PullSecret(_) => false,
        }
    }

    /// How long the registry wants to be left alone.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Registry(error) => error.retry_after(),
            _ => None,
        }
    }
}
