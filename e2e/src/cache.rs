//! What takes long to build is kept outside the work tree, under a name that says what it was built
//! from. Safe to delete at any time.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// Suffix of entries that are being built; what a crash leaves of them is removed at the next start.
const PARTIAL: &str = ".partial";

/// Letters of a [`Key`] in an entry's name.
const KEY_LENGTH: usize = 16;

/// The cache folder, held by this process alone.
pub struct Cache {
    root: PathBuf,
    /// Holds the lock for as long as the cache is open.
    _lock: File,
}

impl Cache {
    /// Opens `$WASMFN_E2E_CACHE`, by default `wasmfn-e2e` in the user's cache folder, and waits
    /// until no other process uses it.
    ///
    /// # Errors
    /// The folder cannot be made or locked.
    pub fn open() -> Result<Self> {
        Self::open_at(default_root()?)
    }

    fn open_at(root: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&root)
            .with_context(|| format!("cannot make {}", root.display()))?;
        let lock = File::create(root.join("lock"))?;
        if lock.try_lock().is_err() {
            eprintln!("waiting for another run that uses {}", root.display());
            lock.lock().context("cannot lock the cache")?;
        }
        let cache = Self { root, _lock: lock };
        cache.remove_partial()?;
        Ok(cache)
    }

    /// The folder of the entry `name`, built by `build` in an empty folder if it is not there yet.
    /// Of the entries of the same name with other keys the latest is kept, so that switching to and
    /// fro between two branches builds nothing; older ones go.
    ///
    /// # Errors
    /// What `build` says; nothing is kept then.
    pub async fn entry(
        &self,
        name: &str,
        key: Key,
        build: impl AsyncFnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let directory = self.root.join(format!("{name}-{}", key.finish()));
        if directory.exists() {
            return Ok(directory);
        }
        eprintln!("building {name}");
        let started = std::time::Instant::now();
        let partial = self.root.join(format!("{name}{PARTIAL}"));
        std::fs::create_dir_all(&partial)?;
        build(&partial)
            .await
            .with_context(|| format!("cannot build {name}"))?;
        self.remove_all_but_the_latest(name)?;
        std::fs::rename(&partial, &directory)?;
        eprintln!("built {name} in {:.1} s", started.elapsed().as_secs_f64());
        Ok(directory)
    }

    fn remove_all_but_the_latest(&self, name: &str) -> Result<()> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(&self.root)? {
            let entry = entry?;
            let file_name = entry.file_name();
            let file_name = file_name.to_string_lossy();
            let rest = file_name.strip_prefix(name);
            let rest = rest.and_then(|rest| rest.strip_prefix('-'));
            if rest.is_some_and(|rest| rest.len() == KEY_LENGTH && !rest.contains('-')) {
                entries.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        entries.sort();
        entries.pop();
        for (_, path) in entries {
            std::fs::remove_dir_all(path)?;
        }
        Ok(())
    }

    fn remove_partial(&self) -> Result<()> {
        for entry in std::fs::read_dir(&self.root)? {
            let path = entry?.path();
            if path.to_string_lossy().ends_with(PARTIAL) {
                std::fs::remove_dir_all(&path)
                    .with_context(|| format!("cannot remove {}", path.display()))?;
            }
        }
        Ok(())
    }
}

fn default_root() -> Result<PathBuf> {
    if let Some(root) = std::env::var_os("WASMFN_E2E_CACHE") {
        return Ok(root.into());
    }
    Ok(user_directory("XDG_CACHE_HOME", ".cache")?.join("wasmfn-e2e"))
}

/// A folder of the XDG base directory specification.
///
/// # Errors
/// Neither `variable` nor `HOME` is set.
pub fn user_directory(variable: &str, below_home: &str) -> Result<PathBuf> {
    if let Some(directory) = std::env::var_os(variable).filter(|value| !value.is_empty()) {
        return Ok(directory.into());
    }
    let home = std::env::var_os("HOME").with_context(|| format!("set {variable} or HOME"))?;
    Ok(PathBuf::from(home).join(below_home))
}

/// Hash of everything that an entry is built from.
#[derive(Default)]
pub struct Key(Sha256);

impl Key {
    /// Adds one part. Its length goes in too, so that parts cannot run into each other.
    #[must_use]
    pub fn part(mut self, part: impl AsRef<[u8]>) -> Self {
        let part = part.as_ref();
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
        self
    }

    /// Short text form, fit for a file name.
    #[must_use]
    pub fn finish(self) -> String {
        let mut text = hex::encode(self.0.finalize());
        text.truncate(KEY_LENGTH);
        text
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[tokio::test]
    async fn an_entry_is_built_once_for_each_key() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::open_at(folder.path().into()).expect("opens");
        let build = async |path: &Path| Ok(std::fs::write(path.join("file"), "1")?);
        let first = cache.entry("thing", Key::default().part("a"), build).await;
        let first = first.expect("builds");
        assert!(first.join("file").exists());
        let never = async |_: &Path| anyhow::bail!("built twice");
        let again = cache.entry("thing", Key::default().part("a"), never).await;
        assert_eq!(again.expect("is there"), first);
        let never = async |_: &Path| anyhow::bail!("another key builds anew");
        let other = cache.entry("thing", Key::default().part("b"), never).await;
        other.expect_err("the build fails");
    }

    #[tokio::test]
    async fn one_older_entry_of_a_name_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::open_at(folder.path().into()).expect("opens");
        let mut entries = Vec::new();
        for (second, key) in [(1, "a"), (2, "b"), (3, "c")] {
            let build = async |path: &Path| Ok(std::fs::write(path.join(key), key)?);
            let entry = cache.entry("thing", Key::default().part(key), build).await;
            let entry = entry.expect("builds");
            // A file system's clock may be too coarse to tell them apart.
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
            let handle = File::open(&entry).expect("opens");
            handle.set_modified(time).expect("sets the time");
            entries.push(entry);
        }
        let other = async |_: &Path| Ok(());
        let other = cache.entry("thing-else", Key::default(), other).await;
        let there: Vec<bool> = entries.iter().map(|entry| entry.exists()).collect();
        assert_eq!(there, [false, true, true]);
        assert!(other.expect("builds").exists());
    }

    #[tokio::test]
    async fn what_a_failed_build_left_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::open_at(folder.path().into()).expect("opens");
        let fails = async |path: &Path| {
            std::fs::write(path.join("half"), "")?;
            anyhow::bail!("fails")
        };
        let failed = cache.entry("thing", Key::default(), fails).await;
        failed.expect_err("the build fails");
        drop(cache);
        let cache = Cache::open_at(folder.path().into()).expect("opens again");
        assert!(!cache.root.join(format!("thing{PARTIAL}")).exists());
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let one = Key::default().part("ab").part("c").finish();
        let other = Key::default().part("a").part("bc").finish();
        assert_ne!(one, other);
    }
}
