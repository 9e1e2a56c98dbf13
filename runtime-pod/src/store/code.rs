//! Compiled code on disk, by its key, each file with its seal at the end.

use std::{
    collections::HashMap,
    fs::File,
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    draft::Draft,
    identity::Identity,
    room::{Room, used},
    split::{Split, split},
    texts::TextStore,
};
use crate::{
    code::{CodeFile, CodeKey, Seal, Trailer},
    engine::Target,
};

/// What all code together may take of the node's disk: some seven hundred `JavaScript` functions.
const MAX_TOTAL_BYTES: u64 = 4 << 30;

/// Keeps compiled code.
#[derive(Debug)]
pub struct CodeStore {
    disk: Option<Disk>,
    seal: Arc<Seal>,
    /// Files whose seal was checked, or that this process made.
    checked: Mutex<HashMap<CodeKey, Checked>>,
}

/// Where code is kept.
#[derive(Debug)]
struct Disk {
    room: Arc<Room>,
    folder: File,
    texts: TextStore,
}

/// A file whose seal was checked.
#[derive(Clone, Copy, Debug)]
struct Checked {
    identity: Identity,
    trailer: Trailer,
}

/// Code that is being made, and is nobody's yet.
#[derive(Debug)]
pub(crate) struct CodeDraft {
    key: CodeKey,
    draft: Draft,
}

impl CodeDraft {
    /// The file to write to.
    pub(crate) fn writer(&self) -> io::Result<File> {
        self.draft.file.try_clone()
    }

    /// Which code it is.
    pub(crate) const fn key(&self) -> &CodeKey {
        &self.key
    }
}

impl CodeStore {
    /// Keeps code in `folder`, which is made if need be, under `seal`.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn open(folder: &Path, seal: Arc<Seal>) -> io::Result<Self> {
        let room = Arc::new(Room::open(folder, MAX_TOTAL_BYTES)?);
        Ok(Self {
            disk: Some(Disk {
                folder: File::open(folder)?,
                texts: TextStore::new(Arc::clone(&room)),
                room,
            }),
            seal,
            checked: Mutex::default(),
        })
    }

    /// Keeps nothing on disk: what is made lives in memory.
    #[must_use]
    pub fn nowhere(seal: Arc<Seal>) -> Self {
        Self {
            disk: None,
            seal,
            checked: Mutex::default(),
        }
    }

    /// Whether code outlives this process.
    pub(crate) const fn is_kept(&self) -> bool {
        self.disk.is_some()
    }

    /// Texts that code shares; none, where nothing is stored.
    pub(crate) fn texts(&self) -> Option<&TextStore> {
        self.disk.as_ref().map(|disk| &disk.texts)
    }

    /// The code of `key`, if it is there with its text and whole; what is not whole is removed. Reads
    /// the whole file the first time, and nothing of it later.
    pub(crate) fn find(&self, key: &CodeKey) -> Option<CodeFile> {
        let path = self.disk.as_ref()?.room.path(&key.to_string());
        let file = File::options().read(true).write(true).open(&path).ok()?;
        match self.check(key, &file) {
            Ok(Some(checked)) => {
                used(&file);
                // Where its text is not there, another function may bring that back.
                return self.with_text(file, checked);
            }
            Ok(None) => {
                tracing::warn!(%key, "compiled code has not this namespace's seal; it is made again");
            }
            Err(error) => {
                tracing::warn!(%key, %error, "compiled code cannot be read");
                return None;
            }
        }
        self.remove(key);
        None
    }

    /// The file of `key` as it is, to be sent to one who checks it; none, where its text is known to be
    /// gone.
    pub(crate) fn raw(&self, key: &CodeKey) -> Option<File> {
        let disk = self.disk.as_ref()?;
        let checked = self.lock().get(key).copied();
        if let Some(text) = checked.and_then(|checked| checked.trailer.text) {
            disk.texts.raw(&text.digest)?;
        }
        File::open(disk.room.path(&key.to_string())).ok()
    }

    fn check(&self, key: &CodeKey, file: &File) -> io::Result<Option<Checked>> {
        let identity = Identity::of(file)?;
        let before = self.lock().get(key).copied();
        if let Some(checked) = before.filter(|checked| checked.identity == identity) {
            return Ok(Some(checked));
        }
        let checked = self
            .seal
            .check(key, file)?
            .map(|trailer| Checked { identity, trailer });
        if let Some(checked) = checked {
            self.lock().insert(*key, checked);
        }
        Ok(checked)
    }

    /// A whole file, with that of its text; none, where that is not there.
    fn with_text(&self, file: File, checked: Checked) -> Option<CodeFile> {
        let Trailer { target, text } = checked.trailer;
        let text = match text {
            Some(text) => Some((text, self.texts()?.find(&text.digest)?)),
            None => None,
        };
        Some(CodeFile::new(file, checked.identity.bytes(), target, text))
    }

    /// Begins code of `key`.
    ///
    /// # Errors
    /// If there is no room for another file.
    pub(crate) fn draft(&self, key: CodeKey) -> io::Result<CodeDraft> {
        let draft = match &self.disk {
            Some(disk) => Draft::begin(&disk.room, &key.to_string())?,
            None => Draft::in_memory()?,
        };
        Ok(CodeDraft { key, draft })
    }

    /// Puts the seal under code that this process has made, and its text, if it is worth that, into
    /// a file of its own. It can be used at once; it outlives the process once it is
    /// [kept](Self::keep).
    ///
    /// # Errors
    /// If files cannot be read or written.
    pub(crate) fn seal(
        &self,
        made: CodeDraft,
        target: Target,
    ) -> io::Result<(CodeDraft, CodeFile)> {
        let CodeDraft { key, draft } = made;
        let (draft, text) = match self.split(&key, &draft.file) {
            Some(split) => (split.rest, Some((split.text, split.text_file))),
            None => (draft, None),
        };
        let trailer = Trailer {
            target,
            text: text.as_ref().map(|(text, _)| *text),
        };
        let bytes = self.seal.put(&key, &draft.file, trailer)?;
        let code = CodeFile::new(draft.file.try_clone()?, bytes, target, text);
        Ok((CodeDraft { key, draft }, code))
    }

    fn split(&self, key: &CodeKey, code: &File) -> Option<Split> {
        let disk = self.disk.as_ref()?;
        match split(code, &key.to_string(), &disk.room, &disk.texts) {
            Ok(split) => split,
            Err(error) => {
                tracing::warn!(%key, %error, "the text of compiled code stays in its file");
                None
            }
        }
    }

    /// What stands behind `code` that somebody else has made.
    ///
    /// # Errors
    /// If it does not bear the seal, or the file cannot be read.
    pub(crate) fn check_seal(&self, key: &CodeKey, code: &File) -> io::Result<Trailer> {
        let trailer = self.seal.check(key, code)?;
        trailer.ok_or_else(|| io::Error::other("it does not bear the namespace's seal"))
    }

    /// Code whose [seal is right](Self::check_seal); none, where its text is not there.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn join_text(
        &self,
        draft: &CodeDraft,
        trailer: Trailer,
    ) -> io::Result<Option<CodeFile>> {
        let identity = Identity::of(&draft.draft.file)?;
        Ok(self.with_text(draft.writer()?, Checked { identity, trailer }))
    }

    /// Gives complete code its name, so that it is there as a whole or not at all, also after a
    /// crash; says whether it can be found from now on. A failure is logged.
    pub(crate) fn keep(&self, draft: &CodeDraft, trailer: Trailer) -> bool {
        let Some(disk) = &self.disk else {
            return false;
        };
        match self.complete(disk, draft, trailer) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(key = %draft.key, %error, "compiled code could not be stored");
                false
            }
        }
    }

    fn complete(&self, disk: &Disk, draft: &CodeDraft, trailer: Trailer) -> io::Result<()> {
        draft.draft.file.sync_all()?;
        if let Some(text) = &trailer.text {
            disk.texts.sync(&text.digest)?;
        }
        let identity = Identity::of(&draft.draft.file)?;
        // Before it has its name: whoever finds it finds it checked.
        self.lock().insert(draft.key, Checked { identity, trailer });
        draft.draft.rename(&disk.room, &draft.key.to_string())?;
        disk.folder.sync_all()
    }

    /// Removes code, if it is there.
    pub(crate) fn remove(&self, key: &CodeKey) {
        self.lock().remove(key);
        if let Some(disk) = &self.disk {
            disk.room.remove(&disk.room.path(&key.to_string()));
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
    use std::{fs, io::Write, os::unix::fs::FileExt};

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
        let (draft, code) = store.seal(draft, TARGET).unwrap();
        assert!(store.find(&key()).is_none(), "it has its name already");
        assert!(store.keep(&draft, code.trailer()));
    }

    fn text(code: &CodeFile) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(code.bytes()).unwrap() - 96];
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
        let (draft, code) = store.seal(draft, TARGET).unwrap();
        assert!(!store.keep(&draft, code.trailer()));
        assert_eq!(text(&code), b"code");
        assert!(store.find(&key()).is_none());
    }
}
