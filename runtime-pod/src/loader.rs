//! From an image and a digest to a module that can be called: from memory, from disk, from a
//! sibling, from the registry, whichever has it first.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use bytes::Bytes;
use wasmfn_crds::Reason;
use wasmfn_report::Load;

use crate::{
    engine::{CompileError, EngineSet, Module},
    function::SettingsError,
    references::MissingReference,
    registry::{Credentials, Registry, RegistryError},
    siblings::Siblings,
    store::ModuleStore,
};

/// Why a function cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The registry's part.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The module's part.
    #[error(transparent)]
    Compile(#[from] CompileError),
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
            Self::Settings(error) => error.reason(),
            Self::PullSecret(_) => Reason::MissingSecret,
        }
    }

    /// Whether it may pass by itself. What is missing is waited for: its coming is noticed.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Registry(error) => error.is_transient(),
            Self::Compile(CompileError::Stopped) => true,
            Self::Compile(_) | Self::Settings(_) | Self::PullSecret(_) => false,
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

/// One digest's place in memory. The lock is held while it is loaded, so that functions that share
/// a module load it once.
type Slot = Arc<tokio::sync::Mutex<Weak<Module>>>;

/// Loads modules.
pub struct Loader {
    engines: Arc<EngineSet>,
    registry: Arc<dyn Registry>,
    store: ModuleStore,
    siblings: Option<Siblings>,
    max_bytes: u64,
    slots: Mutex<HashMap<String, Slot>>,
}

impl std::fmt::Debug for Loader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Loader").finish_non_exhaustive()
    }
}

impl Loader {
    /// Modules of at most `max_bytes`, compiled by `engines` and kept in `store`.
    #[must_use]
    pub fn new(
        engines: Arc<EngineSet>,
        registry: Arc<dyn Registry>,
        store: ModuleStore,
        siblings: Option<Siblings>,
        max_bytes: u64,
    ) -> Self {
        Self {
            engines,
            registry,
            store,
            siblings,
            max_bytes,
            slots: Mutex::default(),
        }
    }

    /// Digest of the manifest that `image` names.
    ///
    /// # Errors
    /// [`LoadError::Registry`].
    pub async fn resolve(
        &self,
        image: &str,
        credentials: &[Credentials],
    ) -> Result<String, LoadError> {
        Ok(self.registry.resolve(image, credentials).await?)
    }

    /// The module of `digest`. Credentials are asked for only if the registry has to be.
    ///
    /// # Errors
    /// [`LoadError`] of whichever part failed.
    pub async fn load(
        &self,
        image: &str,
        digest: &str,
        credentials: impl Fn() -> Result<Vec<Credentials>, LoadError>,
        progress: impl Fn(Load),
    ) -> Result<Arc<Module>, LoadError> {
        let slot = self.slot(digest);
        let mut held = slot.lock().await;
        if let Some(module) = held.upgrade() {
            return Ok(module);
        }
        progress(Load::Pulling);
        let (bytes, is_new) = self.fetch(image, digest, credentials).await?;
        progress(Load::Compiling);
        let module = Arc::new(self.engines.compile(digest, bytes.clone()).await?);
        if is_new {
            // Nobody waits for the disk.
            let store = self.store.clone();
            let digest = digest.to_owned();
            tokio::spawn(async move { store.write(&digest, bytes).await });
        }
        *held = Arc::downgrade(&module);
        Ok(module)
    }

    /// The bytes of `digest`, and whether they have yet to be stored.
    async fn fetch(
        &self,
        image: &str,
        digest: &str,
        credentials: impl Fn() -> Result<Vec<Credentials>, LoadError>,
    ) -> Result<(Bytes, bool), LoadError> {
        if let Some(bytes) = self.store.read(digest).await {
            return Ok((bytes, false));
        }
        if let Some(siblings) = &self.siblings
            && let Some(bytes) = siblings.fetch(digest, self.max_bytes).await
        {
            return Ok((bytes, true));
        }
        let bytes = self
            .registry
            .pull(image, digest, &credentials()?, self.max_bytes)
            .await?;
        Ok((bytes, true))
    }

    fn slot(&self, digest: &str) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        // Forget modules that nobody uses any more.
        slots.retain(|_, slot| {
            Arc::strong_count(slot) > 1
                || slot
                    .try_lock()
                    .is_ok_and(|module| module.strong_count() > 0)
        });
        Arc::clone(slots.entry(digest.to_owned()).or_default())
    }
}
