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
}

/// A text that is being copied.
#[derive(Debug)]
pub(crate) struct TextDraft {
    digest: TextDigest,
    bytes: u64,
    draft: Draft,
}

impl TextDraft {
    /// The file to write to.
    pub(crate) fn writer(&self) -> io::Result<File> {
        self.draft.file.try_clone()
    }
}

impl TextStore {
    pub(super) fn new(room: Arc<Room>) -> Self {
        Self {
            room,
            checked: Mutex::default(),
        }
    }

    /// The text of this digest, if it is there and whole; what is not whole is removed. Reads the
    /// whole file the first time, and nothing of it later.
    pub(crate) fn find(&self, digest: &TextDigest) -> Option<File> {
        let path = self.room.path(&name(digest));
        let file = File::options().read(true).write(true).open(&path).ok()?;
        match self.is_whole(digest, &file) {
            Ok(true) => {
                used(&file);
                return Some(file);
            }
            Ok(false) => tracing::warn!(%digest, "a text is not whole; its code is made again"),
            Err(error) => tracing::warn!(%digest, %error, "a text cannot be read"),
        }
        self.lock().remove(digest);
        self.room.remove(&path);
        None
    }

    /// The file of a text as it is, to be sent to one who checks it.
    pub(crate) fn raw(&self, digest: &TextDigest) -> Option<File> {
        File::open(self.room.path(&name(digest))).ok()
    }

    fn is_whole(&self, digest: &TextDigest, file: &File) -> io::Result<bool> {
        let identity = Identity::of(file)?;
        if self.lock().get(digest) == Some(&identity) {
            return Ok(true);
        }
        let is_whole = TextDigest::of(file, &(0..identity.bytes()))? == *digest;
        if is_whole {
            self.lock().insert(*digest, identity);
        }
        Ok(is_whole)
    }

    /// Sees to it that the text that `code` holds in `range` is there; gives its digest and its file.
    ///
    /// # Errors
    /// If files cannot be read or written.
    pub(super) fn put(&self, code: &File, range: &Range<u64>) -> io::Result<(TextDigest, File)> {
        let digest = TextDigest::of(code, range)?;
        if let Some(file) = self.find(&digest) {
            return Ok((digest, file));
        }
        let bytes = range.end - range.start;
        let draft = self.begin(digest, bytes)?;
        let mut code = code;
        code.seek(SeekFrom::Start(range.start))?;
        let mut text = io::Read::take(code, bytes);
        io::copy(&mut text, &mut &draft.draft.file)?;
        Ok((digest, self.complete(draft)?))
    }

    /// Begins a copy of `text`.
    ///
    /// # Errors
    /// If there is no room for another file.
    pub(crate) fn draft(&self, text: &Text) -> io::Result<TextDraft> {
        self.begin(text.digest, text.bytes)
    }

    fn begin(&self, digest: TextDigest, bytes: u64) -> io::Result<TextDraft> {
        Ok(TextDraft {
            digest,
            bytes,
            draft: Draft::begin(&self.room, &name(&digest))?,
        })
    }

    /// Stores a text that somebody else has sent; says whether it is the one that it should be.
    ///
    /// # Errors
    /// If the file cannot be read or named.
    pub(crate) fn accept(&self, draft: TextDraft) -> io::Result<bool> {
        // Zeros at its end are not sent.
        draft.draft.file.set_len(draft.bytes)?;
        let is_whole = TextDigest::of(&draft.draft.file, &(0..draft.bytes))? == draft.digest;
        if is_whole {
            self.complete(draft)?;
        }
        Ok(is_whole)
    }

    /// Not synced: after a crash it may hold anything, which the first who looks for it sees.
    fn complete(&self, draft: TextDraft) -> io::Result<File> {
        let TextDraft { digest, draft, .. } = draft;
        let identity = Identity::of(&draft.file)?;
        self.lock().insert(digest, identity);
        draft.rename(&self.room, &name(&digest))?;
        draft.file.try_clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<TextDigest, Identity>> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name(digest: &TextDigest) -> String {
    format!("text-{digest}")
}
