//! Code that a function answers with: mapped, or to be mapped when it is asked for.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;
use wasmfn_crds::ModuleKind;

use super::{CodeCache, CodeFile, CodeKey, idle::Mapped};
use crate::engine::{GuestKind, Module, Wasi};

/// The code cannot be mapped any more: it has to be loaded again.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the compiled code is not there any more")]
pub struct Lost;

/// Compiled code of a module. Costs little more than its file while it is not mapped.
pub struct Code {
    digest: String,
    kind: ModuleKind,
    guest: GuestKind,
    wasi: Wasi,
    key: CodeKey,
    cache: Arc<CodeCache>,
    /// The file, where it is stored nowhere.
    kept: Option<CodeFile>,
    mapped: ArcSwapOption<Module>,
    /// Whether it can be mapped again.
    is_stored: AtomicBool,
    /// Held by the one who maps it.
    mapping: Mutex<()>,
    /// When it was asked for last: nanoseconds on the cache's clock.
    used_at: AtomicU64,
    is_lost: AtomicBool,
    lost: Notify,
}

impl fmt::Debug for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Code")
            .field("digest", &self.digest)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl Code {
    /// Code that is mapped as `module`.
    pub(super) fn new(
        cache: &Arc<CodeCache>,
        key: CodeKey,
        module: Module,
        kept: Option<CodeFile>,
    ) -> Arc<Self> {
        let code = Self {
            digest: module.digest().to_owned(),
            kind: module.kind(),
            guest: module.target().guest,
            wasi: module.target().wasi,
            key,
            cache: Arc::clone(cache),
            is_stored: AtomicBool::new(kept.is_some()),
            kept,
            used_at: AtomicU64::new(nanoseconds(cache.clock())),
            mapped: ArcSwapOption::empty(),
            mapping: Mutex::default(),
            is_lost: AtomicBool::new(false),
            lost: Notify::new(),
        };
        code.swap(Some(Arc::new(module)));
        Arc::new(code)
    }

    /// It can be mapped again from now on.
    pub(super) fn stored(&self) {
        self.is_stored.store(true, Ordering::Release);
    }

    fn swap(&self, module: Option<Arc<Module>>) {
        let bytes = |module: &Option<Arc<Module>>| {
            module.as_ref().map_or(0, |module| module.memory_bytes())
        };
        let after = bytes(&module);
        let before = bytes(&self.mapped.swap(module));
        self.cache.count(before, after);
    }

    /// Digest of the module's manifest.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What the module turned out to be.
    #[must_use]
    pub const fn kind(&self) -> ModuleKind {
        self.kind
    }

    /// How the module is called.
    #[must_use]
    pub const fn guest(&self) -> GuestKind {
        self.guest
    }

    /// Generation of WASI that it speaks.
    #[must_use]
    pub const fn wasi(&self) -> Wasi {
        self.wasi
    }

    /// The module. Where it is not mapped, it is mapped now, by one for all who ask: that takes
    /// a tenth of a millisecond for a small module and a few for a large one.
    ///
    /// # Errors
    /// [`Lost`] where its file is gone; who waits for that is told, and loads it again.
    pub fn module(&self) -> Result<Arc<Module>, Lost> {
        self.note_use();
        match self.mapped.load_full() {
            Some(module) => Ok(module),
            None => self.map(),
        }
    }

    /// It is asked for by somebody who holds the module already.
    pub fn note_use(&self) {
        let now = nanoseconds(self.cache.clock());
        self.used_at.store(now, Ordering::Relaxed);
    }

    fn map(&self) -> Result<Arc<Module>, Lost> {
        let _turn = self.mapping.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = self.mapped.load_full() {
            return Ok(module);
        }
        if self.is_lost() {
            return Err(Lost);
        }
        let mapped = self.cache.map(&self.digest, &self.key, self.kept.as_ref());
        let Some(module) = mapped else {
            self.is_lost.store(true, Ordering::Release);
            self.lost.notify_waiters();
            return Err(Lost);
        };
        let module = Arc::new(module);
        self.swap(Some(Arc::clone(&module)));
        self.cache.make_room();
        Ok(module)
    }

    /// Whether it has to be loaded again.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Acquire)
    }

    /// Waits until it has to be loaded again.
    pub async fn lost(&self) {
        // Before the look: what happens after it wakes this.
        let told = self.lost.notified();
        if !self.is_lost() {
            told.await;
        }
    }

    /// Whether it is mapped.
    #[must_use]
    pub fn is_mapped(&self) -> bool {
        self.mapped.load().is_some()
    }

    /// What it is to those who decide what is let go, if it is mapped and can be mapped again.
    pub(super) fn mapped(&self) -> Option<Mapped> {
        let module = self.mapped.load();
        let module = module
            .as_ref()
            .filter(|_| self.is_stored.load(Ordering::Acquire));
        module.map(|module| Mapped {
            used_at: Duration::from_nanos(self.used_at.load(Ordering::Relaxed)),
            bytes: module.memory_bytes(),
        })
    }

    /// Lets the module go, once the requests that use it have ended.
    pub(super) fn unmap(&self) {
        self.swap(None);
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        self.unmap();
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
