//! Machine code that functions share, in files of its own.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Seek, SeekFrom},
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    draft::Draft,
    identity::Identity,
    room::{Room, used},
};
use crate::code::text::{Text, TextDigest};

/// Texts on disk, beside the code that shares them, by what they hold.
#[derive(Debug)]
pub(crate) struct TextStore {
    room: Arc<Room>,
    /// Files that hold what their names say.
    checked: Mutex<HashMap<TextDigest, Identity>>,
    /// Held by the one who reads a text: after a restart, many functions ask for the same at once.
    checking: Mutex<()>,
    /// Held by the one who gives or takes a name.
    naming: Mutex<()>,
}

/// A text that is being copied.
#[derive(Debug)]
pub(crate) struct TextDraft {
    digest: TextDigest,
    draft: Draft,
}

impl TextDraft {
    /// The file to write to.
    pub(crate) fn writer(&self) -> io::Result<File> {
        self.draft.file.try_clone()
    }
}

/// Whether a copy of `text` is that, all of it. Gives the file its length: zeros at its end are not sent.
///
/// # Errors
/// If it is another text, or the file cannot be read.
pub(crate) fn check(text: &Text, copy: &File) -> io::Result<()> {
    copy.set_len(text.bytes)?;
    if TextDigest::of(copy, &(0..text.bytes))? == text.digest {
        Ok(())
    } else {
        Err(io::Error::other("it is another text"))
    }
}

impl TextStore {
    pub(super) fn new(room: Arc<Room>) -> Self {
        Self {
            room,
            checked: Mutex::default(),
            checking: Mutex::default(),
            naming: Mutex::default(),
        }
    }

    /// The text of this digest, if it is there and whole; what is not whole is removed. Reads the
    /// whole file until it was once found to be whole, and nothing of it later.
    pub(crate) fn find(&self, digest: &TextDigest) -> Option<File> {
        let path = self.room.path(&name(digest));
        let found = File::options().read(true).write(true).open(path);
        match found.and_then(|file| Ok((self.is_whole(digest, &file)?, file))) {
            Ok((true, file)) => {
                used(&file);
                return Some(file);
            }
            Ok((false, file)) => {
                tracing::warn!(%digest, "a text is not whole; its code is made again");
                self.remove(digest, &file);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(%digest, %error, "a text cannot be read"),
        }
        None
    }

    /// Removes a text, if `file` still has its name.
    fn remove(&self, digest: &TextDigest, file: &File) {
        let _naming = self.naming.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.room.path(&name(digest));
        let named = File::open(&path).and_then(|named| Identity::of(&named));
        let removed = Identity::of(file);
        if named.is_ok_and(|named| removed.is_ok_and(|removed| removed == named)) {
            self.lock().remove(digest);
            self.room.remove(&path);
        }
    }

    /// The file of a text as it is, to be sent to one who checks it.
    pub(crate) fn raw(&self, digest: &TextDigest) -> Option<File> {
        File::open(self.room.path(&name(digest))).ok()
    }

    fn is_whole(&self, digest: &TextDigest, file: &File) -> io::Result<bool> {
        let identity = Identity::of(file)?;
        let is_checked = || self.lock().get(digest) == Some(&identity);
        if is_checked() {
            return Ok(true);
        }
        let _checking = self.checking.lock().unwrap_or_else(PoisonError::into_inner);
        if is_checked() {
            return Ok(true);
        }
        let is_whole = TextDigest::of(file, &(0..identity.bytes()))? == *digest;
        if is_whole {
            self.lock().insert(*digest, identity);
        }
        Ok(is_whole)
    }

    /// Sees to it that the text that `code` holds in `range` is there.
    ///
    /// # Errors
    /// If files cannot be read or written.
    pub(super) fn put(&self, code: &File, range: &Range<u64>) -> io::Result<(Text, File)> {
        let text = Text {
            at: range.start,
            bytes: range.end - range.start,
            digest: TextDigest::of(code, range)?,
        };
        if let Some(file) = self.find(&text.digest) {
            return Ok((text, file));
        }
        let draft = self.draft(&text)?;
        let mut code = code;
        code.seek(SeekFrom::Start(range.start))?;
        let mut bytes = io::Read::take(code, text.bytes);
        io::copy(&mut bytes, &mut &draft.draft.file)?;
        check(&text, &draft.draft.file)?;
        Ok((text, self.accept(draft)?))
    }

    /// Begins a copy of `text`.
    ///
    /// # Errors
    /// If there is no room for another file.
    pub(crate) fn draft(&self, text: &Text) -> io::Result<TextDraft> {
        Ok(TextDraft {
            digest: text.digest,
            draft: Draft::begin(&self.room, &name(&text.digest))?,
        })
    }

    /// Stores a copy that was [checked](check). Not synced: that is done before code that names it is
    /// stored.
    ///
    /// # Errors
    /// If the file cannot be read or named.
    pub(crate) fn accept(&self, copy: TextDraft) -> io::Result<File> {
        let TextDraft { digest, draft } = copy;
        let identity = Identity::of(&draft.file)?;
        let naming = self.naming.lock().unwrap_or_else(PoisonError::into_inner);
        // Another function may have brought it meanwhile: all map the same pages.
        if let Some(there) = self.raw(&digest)
            && self.lock().get(&digest) == Some(&Identity::of(&there)?)
        {
            return Ok(there);
        }
        self.lock().insert(digest, identity);
        draft.rename(&self.room, &name(&digest))?;
        drop(naming);
        draft.file.try_clone()
    }

    /// Sees to it that a text, if it is there, outlives a crash of the node.
    pub(super) fn sync(&self, digest: &TextDigest) -> io::Result<()> {
        match self.raw(digest) {
            Some(file) => file.sync_all(),
            None => Ok(()),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<TextDigest, Identity>> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name(digest: &TextDigest) -> String {
    format!("text-{digest}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs,
        io::Write,
        path::{Path, PathBuf},
    };

    fn store(folder: &Path) -> TextStore {
        TextStore::new(Arc::new(Room::open(folder, 1 << 30).unwrap()))
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        let files = fs::read_dir(folder).unwrap();
        files.map(|file| file.unwrap().path()).collect()
    }

    /// Code whose second page, and third, are its text.
    fn put(store: &TextStore) -> Text {
        let code = tempfile::tempfile().unwrap();
        for byte in 1..=4 {
            (&code).write_all(&[byte; 4096]).unwrap();
        }
        store.put(&code, &(4096..3 * 4096)).unwrap().0
    }

    #[test]
    fn a_text_is_stored_once_by_what_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let text = put(&store);
        assert_eq!(put(&store), text);
        let [file] = &files(folder.path())[..] else {
            panic!("{:?}", files(folder.path()))
        };
        assert_eq!(fs::read(file).unwrap(), [[2; 4096], [3; 4096]].concat());
        assert!(store.find(&text.digest).is_some());
    }

    #[test]
    fn a_copy_is_what_it_should_be_or_nothing() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = store(folder.path());
        let text = put(&self::store(other.path()));
        let right = [[2; 4096], [3; 4096]].concat();
        let copies = [
            (&right[..4096], false),
            (&[&right[..], &[1]].concat(), true),
            (&[7; 8192], false),
            (&right, true),
        ];
        for (bytes, is_taken) in copies {
            let copy = store.draft(&text).unwrap();
            copy.writer().unwrap().write_all(bytes).unwrap();
            let is_right = check(&text, &copy.draft.file).is_ok();
            assert_eq!(is_right, is_taken);
            if is_right {
                store.accept(copy).unwrap();
            } else {
                drop(copy);
            }
            assert_eq!(files(folder.path()).len(), usize::from(is_taken));
            assert_eq!(store.find(&text.digest).is_some(), is_taken);
            for file in files(folder.path()) {
                fs::remove_file(file).unwrap();
            }
        }
    }

    #[test]
    fn what_is_damaged_is_removed_and_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let text = put(&store(folder.path()));
        fs::write(&files(folder.path())[0], [2; 8192]).unwrap();
        let restarted = store(folder.path());
        assert!(restarted.find(&text.digest).is_none());
        assert_eq!(files(folder.path()).len(), 0);
        put(&restarted);
        assert!(restarted.find(&text.digest).is_some());
    }

    #[test]
    fn one_that_has_taken_its_place_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let text = put(&store);
        let path = files(folder.path()).remove(0);
        let damaged = File::open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        put(&store);
        store.remove(&text.digest, &damaged);
        assert!(store.find(&text.digest).is_some());
    }
}
