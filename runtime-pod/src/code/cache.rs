//! All compiled code of this process: maps it, and lets go what is idle or too much.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    Code, CodeFile, CodeKey, Fingerprint, Trailer,
    idle::{Mapped, leaving},
};
use crate::{
    command::contract::Counting,
    engine::{CompileError, EngineError, EngineSet, Module, Target},
    store::{CodeDraft, CodeStore},
};

/// Part of the pod's memory budget that mapped modules may take, in percent; the rest is for
/// instances and compilation.
const MAPPED_PERCENT: u64 = 25;

/// All compiled code.
#[derive(Debug)]
pub(crate) struct CodeCache {
    engines: Arc<EngineSet>,
    store: CodeStore,
    fingerprint: Fingerprint,
    max_mapped_bytes: u64,
    mapped_bytes: AtomicU64,
    codes: Mutex<Vec<Weak<Code>>>,
    started_at: Instant,
}

impl CodeCache {
    /// Code for `engines`, kept in `store`, in a pod that may use `budget_bytes`.
    ///
    /// # Errors
    /// [`EngineError`] if there can be no engine.
    pub(crate) fn new(
        engines: Arc<EngineSet>,
        store: CodeStore,
        budget_bytes: u64,
    ) -> Result<Arc<Self>, EngineError> {
        Ok(Arc::new(Self {
            fingerprint: engines.fingerprint()?,
            engines,
            store,
            max_mapped_bytes: budget_bytes / 100 * MAPPED_PERCENT,
            mapped_bytes: AtomicU64::new(0),
            codes: Mutex::default(),
            started_at: Instant::now(),
        }))
    }

    /// What the code of the module with `digest` is called.
    pub(crate) fn key(&self, digest: &str, counting: Counting) -> CodeKey {
        CodeKey::new(digest, counting, &self.fingerprint)
    }

    /// Where code is kept.
    pub(crate) const fn store(&self) -> &CodeStore {
        &self.store
    }

    /// A file for the code of the module with `digest`.
    ///
    /// # Errors
    /// If there is no room for another file.
    pub(crate) fn draft(&self, digest: &str, counting: Counting) -> io::Result<CodeDraft> {
        self.store.draft(self.key(digest, counting))
    }

    /// Whether code for `target` is served at all.
    ///
    /// # Errors
    /// [`CompileError`] where it is not.
    pub(crate) fn admit(&self, target: Target) -> Result<(), CompileError> {
        self.engines.admit(target)
    }

    /// The code of the module with `digest`, if it is on disk, whole and of use. Blocks.
    pub(crate) fn find(self: &Arc<Self>, digest: &str, counting: Counting) -> Option<Arc<Code>> {
        let key = self.key(digest, counting);
        let module = self.map(digest, &key, None)?;
        let code = self.hold(key, module, None);
        code.stored();
        Some(code)
    }

    /// Takes the code that this process has made for `target` in `draft` of the module with
    /// `digest`; then stores it, while nobody waits, and drops `until_stored`. Blocks.
    ///
    /// # Errors
    /// [`CompileError`] where it is no module that can be served.
    pub(crate) fn take_made(
        self: &Arc<Self>,
        digest: &str,
        draft: CodeDraft,
        target: Target,
        until_stored: impl Send + 'static,
    ) -> Result<Arc<Code>, CompileError> {
        let (draft, file) = self
            .store
            .seal(draft, target)
            .map_err(CompileError::Storage)?;
        self.take(digest, draft, file, until_stored)
    }

    /// Takes the code that a sibling sent into `draft`, and that bears the namespace's seal, if its
    /// text is there; then stores it, while nobody waits. Blocks.
    ///
    /// # Errors
    /// [`CompileError`] where it is no module that can be served.
    pub(crate) fn take_sent(
        self: &Arc<Self>,
        digest: &str,
        draft: CodeDraft,
        trailer: Trailer,
    ) -> Result<Option<Arc<Code>>, CompileError> {
        let file = self.store.join_text(&draft, trailer);
        file.map_err(CompileError::Storage)?
            .map(|file| self.take(digest, draft, file, ()))
            .transpose()
    }

    fn take(
        self: &Arc<Self>,
        digest: &str,
        draft: CodeDraft,
        file: CodeFile,
        until_stored: impl Send + 'static,
    ) -> Result<Arc<Code>, CompileError> {
        let (key, trailer) = (*draft.key(), file.trailer());
        let module = self.engines.link(digest, &file)?;
        let kept = (!self.store.is_kept()).then_some(file);
        let code = self.hold(key, module, kept);
        let (cache, stored) = (Arc::clone(self), Arc::clone(&code));
        tokio::task::spawn_blocking(move || {
            if cache.store.keep(&draft, trailer) {
                stored.stored();
            }
            drop((stored, draft, until_stored));
        });
        Ok(code)
    }

    fn hold(self: &Arc<Self>, key: CodeKey, module: Module, kept: Option<CodeFile>) -> Arc<Code> {
        let code = Code::new(self, key, module, kept);
        let mut codes = self.lock();
        if codes.len() == codes.capacity() {
            codes.retain(|code| code.strong_count() > 0);
        }
        codes.push(Arc::downgrade(&code));
        drop(codes);
        self.make_room();
        code
    }

    /// Maps code: the file that is at hand, or the stored one.
    pub(super) fn map(
        &self,
        digest: &str,
        key: &CodeKey,
        at_hand: Option<&CodeFile>,
    ) -> Option<Module> {
        let stored;
        let file = match at_hand {
            Some(file) => file,
            None => {
                stored = self.store.find(key)?;
                &stored
            }
        };
        match self.engines.link(digest, file) {
            Ok(module) => Some(module),
            Err(error) => {
                tracing::warn!(digest, %key, %error, "compiled code is of no use; it is made again");
                self.store.remove(key);
                None
            }
        }
    }

    /// Lets go what was asked for longest ago, if too much is mapped.
    pub(super) fn make_room(&self) {
        if self.mapped_bytes() > self.max_mapped_bytes {
            self.let_go();
        }
    }

    /// Lets go what is idle, or too much.
    pub(crate) fn let_go(&self) {
        let codes: Vec<Arc<Code>> = self.lock().iter().filter_map(Weak::upgrade).collect();
        let (codes, mapped): (Vec<&Arc<Code>>, Vec<Mapped>) = codes
            .iter()
            .filter_map(|code| Some((code, code.mapped()?)))
            .unzip();
        let now = self.clock();
        for place in leaving(&mapped, self.mapped_bytes(), now, self.max_mapped_bytes) {
            codes[place].unmap();
        }
    }

    /// Lets everything go that can be mapped again.
    pub(crate) fn unmap_all(&self) {
        let codes: Vec<Arc<Code>> = self.lock().iter().filter_map(Weak::upgrade).collect();
        for code in codes.iter().filter(|code| code.mapped().is_some()) {
            code.unmap();
        }
    }

    /// What mapped modules cost, in bytes.
    pub(crate) fn mapped_bytes(&self) -> u64 {
        self.mapped_bytes.load(Ordering::Relaxed)
    }

    /// A module of `after` bytes is mapped in place of one of `before`.
    pub(super) fn count(&self, before: u64, after: u64) {
        self.mapped_bytes.fetch_add(after, Ordering::Relaxed);
        self.mapped_bytes.fetch_sub(before, Ordering::Relaxed);
    }

    /// Time since the cache was made.
    pub(super) fn clock(&self) -> Duration {
        self.started_at.elapsed()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Code>>> {
        self.codes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
