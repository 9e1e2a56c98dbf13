//! Compiled code on disk, by its key, each file with its seal at the end.

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::fs::{MemfdFlags, memfd_create};

use super::room::{PART, Room, used};
use crate::{
    code::{CodeFile, CodeKey, Seal},
    engine::Target,
};

/// What all code together may take of the node's disk: a hundred `JavaScript` functions.
const MAX_TOTAL_BYTES: u64 = 4 << 30;

/// Keeps compiled code.
#[derive(Debug)]
pub struct CodeStore {
    room: Option<Room>,
    seal: Arc<Seal>,
    /// Files whose seal was checked, or that this process made.
    checked: Mutex<HashMap<CodeKey, Checked>>,
    /// Drafts so far: each has a name of its own, so that none is written to by two.
    drafts: AtomicU64,
}

/// Which file it is. Nobody else writes in the folder, and files are not written to once they have
/// their name: the same number is the same file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Identity {
    device: u64,
    inode: u64,
    bytes: u64,
}

/// A file whose seal was checked.
#[derive(Clone, Copy, Debug)]
struct Checked {
    identity: Identity,
    target: Target,
}

impl Identity {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
        })
    }
}

/// Code that is being made, and is nobody's yet.
#[derive(Debug)]
pub(crate) struct Draft {
    key: CodeKey,
    file: File,
    /// Where it lies until it is complete; nowhere, where nothing is stored.
    path: Option<PathBuf>,
}

impl Draft {
    /// The file to write to.
    pub(crate) fn writer(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Which code it is.
    pub(crate) const fn key(&self) -> &CodeKey {
        &self.key
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // It is not there any more if it was completed.
            let _ = fs::remove_file(path);
        }
    }
}

impl CodeStore {
    /// Keeps code in `folder`, which is made if need be, under `seal`.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn open(folder: &Path, seal: Arc<Seal>) -> io::Result<Self> {
        Ok(Self {
            room: Some(Room::open(folder, MAX_TOTAL_BYTES)?),
            seal,
            checked: Mutex::default(),
            drafts: AtomicU64::new(0),
        })
    }

    /// Keeps nothing on disk: what is made lives in memory.
    #[must_use]
    pub fn nowhere(seal: Arc<Seal>) -> Self {
        Self {
            room: None,
            seal,
            checked: Mutex::default(),
            drafts: AtomicU64::new(0),
        }
    }

    /// Whether code outlives this process.
    pub(crate) const fn is_kept(&self) -> bool {
        self.room.is_some()
    }

    /// The code of `key`, if it is there and whole; what is not whole is removed. Reads the whole
    /// file the first time, and nothing of it later.
    pub(crate) fn find(&self, key: &CodeKey) -> Option<CodeFile> {
        let room = self.room.as_ref()?;
        let path = room.path(&key.to_string());
        let file = File::options().read(true).write(true).open(&path).ok()?;
        match self.check(key, file) {
            Ok(Some(code)) => {
                used(code.file());
                return Some(code);
            }
            Ok(None) => {
                tracing::warn!(%key, "compiled code has not this namespace's seal; it is made again");
            }
            Err(error) => tracing::warn!(%key, %error, "compiled code cannot be read"),
        }
        self.remove(key);
        None
    }

    /// The file of `key` as it is, to be sent to one who checks it.
    pub(crate) fn raw(&self, key: &CodeKey) -> Option<File> {
        let room = self.room.as_ref()?;
        File::open(room.path(&key.to_string())).ok()
    }

    fn check(&self, key: &CodeKey, file: File) -> io::Result<Option<CodeFile>> {
        let identity = Identity::of(&file)?;
        let before = self.lock().get(key).copied();
        if let Some(checked) = before.filter(|checked| checked.identity == identity) {
            return Ok(Some(CodeFile::known(file, checked.target, identity.bytes)));
        }
        let code = self.seal.check(key, file)?;
        if let Some(code) = &code {
            let target = code.target();
            self.lock().insert(*key, Checked { identity, target });
        }
        Ok(code)
    }

    /// Begins code of `key`.
    ///
    /// # Errors
    /// If there is no room for another file.
    pub(crate) fn draft(&self, key: CodeKey) -> io::Result<Draft> {
        let Some(room) = &self.room else {
            let file = memfd_create("wasmfn-code", MemfdFlags::CLOEXEC)?.into();
            let path = None;
            return Ok(Draft { key, file, path });
        };
        let number = self.drafts.fetch_add(1, Ordering::Relaxed);
        let path = room.path(&format!("{key}.{number}.{PART}"));
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)?;
        let path = Some(path);
        Ok(Draft { key, file, path })
    }

    /// Puts the seal under code that this process has made. It can be used at once; it outlives
    /// the process once it is [kept](Self::keep).
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub(crate) fn seal(&self, draft: &Draft, target: Target) -> io::Result<CodeFile> {
        self.seal.put(&draft.key, draft.file.try_clone()?, target)
    }

    /// Looks whether code that somebody else has made bears the seal.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn accept(&self, draft: &Draft) -> io::Result<Option<CodeFile>> {
        self.seal.check(&draft.key, draft.file.try_clone()?)
    }

    /// Gives complete code its name, so that it is there as a whole or not at all, also after a
    /// crash; says whether it can be found from now on. A failure is logged.
    pub(crate) fn keep(&self, draft: &Draft, target: Target) -> bool {
        let (Some(room), Some(path)) = (&self.room, &draft.path) else {
            return false;
        };
        match self.complete(room, draft, path, target) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(key = %draft.key, %error, "compiled code could not be stored");
                false
            }
        }
    }

    fn complete(&self, room: &Room, draft: &Draft, path: &Path, target: Target) -> io::Result<()> {
        let place = room.path(&draft.key.to_string());
        draft.file.sync_all()?;
        let identity = Identity::of(&draft.file)?;
        // Before it has its name: whoever finds it finds it checked.
        self.lock().insert(draft.key, Checked { identity, target });
        fs::rename(path, &place)?;
        File::open(place.parent().unwrap_or(Path::new(".")))?.sync_all()?;
        room.added(&place, identity.bytes)
    }

    /// Removes code, if it is there.
    pub(crate) fn remove(&self, key: &CodeKey) {
        self.lock().remove(key);
        if let Some(room) = &self.room {
            room.remove(&room.path(&key.to_string()));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<CodeKey, Checked>> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{GuestKind, Wasi};
    use std::{io::Write, os::unix::fs::FileExt};

    const TARGET: Target = Target {
        wasi: Wasi::V0_2,
        counts_instructions: false,
        initial_end_bytes: 0,
        guest: GuestKind::Component,
    };

    fn key() -> CodeKey {
        CodeKey::parse(&"a".repeat(64)).unwrap()
    }

    fn kept(store: &CodeStore, bytes: &[u8]) {
        let draft = store.draft(key()).unwrap();
        draft.writer().unwrap().write_all(bytes).unwrap();
        store.seal(&draft, TARGET).unwrap();
        assert!(store.find(&key()).is_none(), "it has its name already");
        assert!(store.keep(&draft, TARGET));
    }

    fn text(code: &CodeFile) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(code.bytes()).unwrap() - 48];
        code.file().read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    fn files(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn code_outlives_the_process_under_the_same_seal() {
        let folder = tempfile::tempdir().unwrap();
        let seal = Arc::new(Seal::of_process());
        let store = CodeStore::open(folder.path(), Arc::clone(&seal)).unwrap();
        kept(&store, b"code");
        assert_eq!(text(&store.find(&key()).unwrap()), b"code");
        let restarted = CodeStore::open(folder.path(), seal).unwrap();
        assert_eq!(text(&restarted.find(&key()).unwrap()), b"code");

        let foreign = CodeStore::open(folder.path(), Arc::new(Seal::of_process())).unwrap();
        assert!(foreign.find(&key()).is_none());
        assert_eq!(files(folder.path()), 0, "foreign code is removed");
    }

    #[test]
    fn damaged_and_swapped_files_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let seal = Arc::new(Seal::of_process());
        let path = folder.path().join(key().to_string());
        let store = CodeStore::open(folder.path(), Arc::clone(&seal)).unwrap();
        kept(&store, b"code");
        let bytes = fs::read(&path).unwrap();
        let swapped = folder.path().join("other");
        fs::write(&swapped, [&b"evil"[..], &bytes[4..]].concat()).unwrap();
        fs::rename(&swapped, &path).unwrap();
        assert!(
            store.find(&key()).is_none(),
            "a file that was put in its place"
        );
        assert_eq!(files(folder.path()), 0);

        kept(&store, b"code");
        let file = File::options().write(true).open(&path).unwrap();
        file.write_all_at(b"x", 0).unwrap();
        let restarted = CodeStore::open(folder.path(), seal).unwrap();
        assert!(restarted.find(&key()).is_none());
    }

    #[test]
    fn what_is_not_completed_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let store = CodeStore::open(folder.path(), Arc::new(Seal::of_process())).unwrap();
        let draft = store.draft(key()).unwrap();
        assert_eq!(files(folder.path()), 1);
        drop(draft);
        assert_eq!(files(folder.path()), 0);
    }

    #[test]
    fn without_a_folder_code_lives_in_memory() {
        let store = CodeStore::nowhere(Arc::new(Seal::of_process()));
        assert!(!store.is_kept());
        let draft = store.draft(key()).unwrap();
        draft.writer().unwrap().write_all(b"code").unwrap();
        let code = store.seal(&draft, TARGET).unwrap();
        assert!(!store.keep(&draft, TARGET));
        assert_eq!(text(&code), b"code");
        assert!(store.find(&key()).is_none());
    }
}
