//! From an image and a digest to code that can be called: from memory, from disk, from a sibling,
//! and only then from the registry by way of the compiler.

mod error;
mod texts;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{task::spawn_blocking, time::sleep};
use wasmfn_report::Load;

pub use error::LoadError;
pub(crate) use texts::Texts;

use crate::{
    code::{Code, CodeCache, Trailer},
    command::contract::Counting,
    compile::Compiler,
    engine::{CompileError, Target},
    metrics::{LoadedFrom, Metrics},
    registry::{Credentials, Registry},
    siblings::{Claim, Claims, Copied, Siblings},
    store::{CodeDraft, ModuleStore},
    turns::{Demand, Turn, Turns},
};

/// Modules that are looked for, copied or pulled at the same time. What is asked for most lately
/// goes first; compilation has turns of its own.
const LOADS: usize = 8;

/// Modules whose bytes are in memory at the same time: those that are compiled, and the next one.
const MODULES: usize = 3;

/// How long a pod waits for a sibling that says it will have the code, at most: what a large
/// module may take to compile.
const SIBLING_PATIENCE: Duration = Duration::from_secs(120);
/// How often it asks again.
const SIBLING_LOOK: Duration = Duration::from_millis(250);

/// One digest's place in memory. The lock is held while it is loaded, so that functions that share
/// a module load it once.
type Place = Arc<tokio::sync::Mutex<Weak<Code>>>;

/// Loads modules.
pub(crate) struct Loader {
    pub(crate) code: Arc<CodeCache>,
    pub(crate) compiler: Compiler,
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) modules: ModuleStore,
    pub(crate) siblings: Option<Siblings>,
    pub(crate) claims: Arc<Claims>,
    /// Largest module, in bytes.
    pub(crate) max_bytes: u64,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) places: Places,
    pub(crate) texts: Texts,
    pub(crate) turns: Arc<Turns>,
    /// Turns at having a module's bytes in memory.
    pub(crate) modules_turns: Arc<Turns>,
}

/// The places of all digests.
#[derive(Debug, Default)]
pub(crate) struct Places(Mutex<HashMap<(String, Counting), Place>>);

/// What is to be loaded, and for whom.
pub(crate) struct Wanted<'a> {
    pub(crate) image: &'a str,
    pub(crate) digest: &'a str,
    /// Whether its instructions are to be counted.
    pub(crate) counting: Counting,
    pub(crate) demand: &'a Arc<Demand>,
}

impl std::fmt::Debug for Loader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Loader").finish_non_exhaustive()
    }
}

impl Loader {
    /// Turns at loading.
    pub(crate) fn turns() -> Arc<Turns> {
        Turns::new(LOADS)
    }

    /// Turns at having a module's bytes in memory.
    pub(crate) fn modules_turns() -> Arc<Turns> {
        Turns::new(MODULES)
    }

    /// Digest of the manifest that `image` names.
    ///
    /// # Errors
    /// [`LoadError::Registry`].
    pub(crate) async fn resolve(
        &self,
        image: &str,
        credentials: &[Credentials],
    ) -> Result<String, LoadError> {
        Ok(self.registry.resolve(image, credentials).await?)
    }

    /// The code of what is wanted. Credentials are asked for only if the registry has to be.
    ///
    /// # Errors
    /// [`LoadError`] of whichever part failed.
    pub(crate) async fn load(
        &self,
        wanted: Wanted<'_>,
        credentials: impl Fn() -> Result<Vec<Credentials>, LoadError>,
        progress: impl Fn(Load),
    ) -> Result<Arc<Code>, LoadError> {
        let place = self.places.of(wanted.digest, wanted.counting);
        let mut held = place.lock().await;
        if let Some(code) = held.upgrade().filter(|code| !code.is_lost()) {
            return Ok(code);
        }
        let code = self.obtain(&wanted, credentials, progress).await?;
        *held = Arc::downgrade(&code);
        Ok(code)
    }

    async fn obtain(
        &self,
        wanted: &Wanted<'_>,
        credentials: impl Fn() -> Result<Vec<Credentials>, LoadError>,
        progress: impl Fn(Load),
    ) -> Result<Arc<Code>, LoadError> {
        if let Some(code) = self.find_on_disk(wanted).await? {
            self.metrics.loaded(LoadedFrom::Disk);
            return Ok(code);
        }
        progress(Load::Pulling);
        let claim = self
            .claims
            .claim(self.code.key(wanted.digest, wanted.counting));
        if let Some(code) = self.ask_siblings(wanted, &claim).await? {
            self.metrics.loaded(LoadedFrom::Sibling);
            return Ok(code);
        }
        claim.making();
        let (bytes, is_new) = self.fetch(wanted, &credentials).await?;
        let (bytes, is_new, _turn) = match self.modules_turns.at_once() {
            Some(turn) => (bytes, is_new, turn),
            None => self.wait_on_disk(wanted, bytes, &credentials).await?,
        };
        let _held = self.compiler.charge(bytes.len() as u64);
        let target = Target::of(&bytes, wanted.counting)?;
        self.code.admit(target)?;
        progress(Load::Compiling);
        let draft = self
            .code
            .draft(wanted.digest, wanted.counting)
            .map_err(CompileError::Storage)?;
        let writer = draft.writer().map_err(CompileError::Storage)?;
        self.compiler
            .compile(bytes.clone(), target, writer, wanted.demand)
            .await?;
        let digest = wanted.digest.to_owned();
        let cache = Arc::clone(&self.code);
        let made = spawn_blocking(move || cache.take_made(&digest, draft, target, claim)).await;
        let code = made.map_err(|_| CompileError::Stopped)??;
        self.metrics.loaded(LoadedFrom::Compiler);
        if is_new {
            // Nobody waits for the disk.
            let modules = self.modules.clone();
            let digest = wanted.digest.to_owned();
            tokio::spawn(async move { modules.write(&digest, bytes).await });
        }
        Ok(code)
    }

    async fn find_on_disk(&self, wanted: &Wanted<'_>) -> Result<Option<Arc<Code>>, LoadError> {
        let _turn = self.turns.turn(wanted.demand).await;
        let (code, digest) = (Arc::clone(&self.code), wanted.digest.to_owned());
        let counting = wanted.counting;
        let found = spawn_blocking(move || code.find(&digest, counting)).await;
        Ok(found.map_err(|_| CompileError::Stopped)?)
    }

    /// The code as a sibling has it or will have it soon. Siblings that are making it are waited
    /// for.
    async fn ask_siblings(
        &self,
        wanted: &Wanted<'_>,
        claim: &Claim,
    ) -> Result<Option<Arc<Code>>, LoadError> {
        let Some(siblings) = &self.siblings else {
            return Ok(None);
        };
        let deadline = Instant::now() + SIBLING_PATIENCE;
        loop {
            let draft = self
                .code
                .draft(wanted.digest, wanted.counting)
                .map_err(CompileError::Storage)?;
            let writer = draft.writer().map_err(CompileError::Storage)?;
            let copied = {
                let _turn = self.turns.turn(wanted.demand).await;
                let (code, key) = (Arc::clone(&self.code), *claim.key());
                let check = move |copy: &_| code.store().check_seal(&key, copy);
                siblings.copy_code(claim.key(), writer, check).await
            };
            match copied {
                Copied::Sent(trailer) => return self.sent(wanted, draft, trailer).await,
                Copied::Soon if Instant::now() < deadline => sleep(SIBLING_LOOK).await,
                Copied::Soon | Copied::Nobody => return Ok(None),
            }
        }
    }

    /// What a sibling has sent under the seal, if its text can be had.
    async fn sent(
        &self,
        wanted: &Wanted<'_>,
        draft: CodeDraft,
        trailer: Trailer,
    ) -> Result<Option<Arc<Code>>, LoadError> {
        if let Some(text) = trailer.text {
            self.obtain_text(text).await;
        }
        let (code, digest) = (Arc::clone(&self.code), wanted.digest.to_owned());
        let taken = spawn_blocking(move || code.take_sent(&digest, draft, trailer)).await;
        Ok(taken.map_err(|_| CompileError::Stopped)??)
    }

    /// Keeps a module's bytes on the disk alone, until it is their turn to be in memory to be compiled.
    async fn wait_on_disk(
        &self,
        wanted: &Wanted<'_>,
        bytes: Bytes,
        credentials: &impl Fn() -> Result<Vec<Credentials>, LoadError>,
    ) -> Result<(Bytes, bool, Turn), LoadError> {
        self.modules.write(wanted.digest, bytes).await;
        let turn = self.modules_turns.turn(wanted.demand).await;
        let (bytes, is_new) = self.fetch(wanted, credentials).await?;
        Ok((bytes, is_new, turn))
    }

    /// The module's bytes, and whether they have yet to be stored.
    async fn fetch(
        &self,
        wanted: &Wanted<'_>,
        credentials: &impl Fn() -> Result<Vec<Credentials>, LoadError>,
    ) -> Result<(Bytes, bool), LoadError> {
        let _turn = self.turns.turn(wanted.demand).await;
        let digest = wanted.digest;
        if let Some(bytes) = self.modules.read(digest).await {
            return Ok((bytes, false));
        }
        if let Some(siblings) = &self.siblings
            && let Some(bytes) = siblings.fetch(digest, self.max_bytes).await
        {
            return Ok((bytes, true));
        }
        let bytes = self
            .registry
            .pull(wanted.image, digest, &credentials()?, self.max_bytes)
            .await?;
        Ok((bytes, true))
    }
}

impl Places {
    fn of(&self, digest: &str, counting: Counting) -> Place {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() == places.capacity() {
            // Forget modules that nobody uses any more.
            places.retain(|_, place| {
                Arc::strong_count(place) > 1
                    || place.try_lock().is_ok_and(|code| code.strong_count() > 0)
            });
        }
        Arc::clone(places.entry((digest.to_owned(), counting)).or_default())
    }
}
