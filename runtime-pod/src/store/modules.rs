//! Bytes of modules on disk, by the digest of their manifest.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{
    room::{Room, used},
    write_atomically,
};

/// Bytes of the checksum at the beginning of a file.
const CHECKSUM_BYTES: usize = 32;

/// What all modules together may take of the node's disk.
const MAX_TOTAL_BYTES: u64 = 1 << 30;

/// Keeps the bytes of modules. Clones share the folder.
#[derive(Clone, Debug)]
pub struct ModuleStore {
    room: Option<Arc<Room>>,
}

impl ModuleStore {
    /// Keeps them in `folder`, which is made if need be.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let room = Room::open(folder, MAX_TOTAL_BYTES)?;
        Ok(Self {
            room: Some(Arc::new(room)),
        })
    }

    /// Keeps nothing.
    #[must_use]
    pub const fn nowhere() -> Self {
        Self { room: None }
    }

    /// The module's bytes, if they are there and whole.
    pub async fn read(&self, digest: &str) -> Option<Bytes> {
        let path = self.path(digest)?;
        tokio::task::spawn_blocking(move || read(&path))
            .await
            .ok()?
    }

    /// Stores the module's bytes. A failure is logged: they can be pulled again.
    pub async fn write(&self, digest: &str, bytes: Bytes) {
        let (Some(path), Some(room)) = (self.path(digest), self.room.clone()) else {
            return;
        };
        let written = tokio::task::spawn_blocking(move || {
            let checksum = Sha256::digest(&bytes);
            write_atomically(&path, &[&checksum, &bytes])?;
            room.added(&path)
        });
        if let Ok(Err(error)) = written.await {
            tracing::warn!(digest, %error, "the module could not be stored");
        }
    }

    /// The file of a digest; none for what is no digest.
    fn path(&self, digest: &str) -> Option<PathBuf> {
        let hexadecimal = digest.strip_prefix("sha256:")?;
        let is_digest = hexadecimal.len() == 64
            && hexadecimal
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let room = self.room.as_ref().filter(|_| is_digest)?;
        Some(room.path(&format!("sha256-{hexadecimal}")))
    }
}

fn read(path: &Path) -> Option<Bytes> {
    let mut bytes = Bytes::from(fs::read(path).ok()?);
    if bytes.len() < CHECKSUM_BYTES {
        return None;
    }
    let checksum = bytes.split_to(CHECKSUM_BYTES);
    if Sha256::digest(&bytes)[..] != checksum[..] {
        tracing::warn!(path = %path.display(), "a stored module is damaged; it is fetched again");
        return None;
    }
    if let Ok(file) = fs::File::options().write(true).open(path) {
        used(&file);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(digit: char) -> String {
        format!("sha256:{}", digit.to_string().repeat(64))
    }

    #[tokio::test]
    async fn bytes_come_back_and_damaged_ones_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let store = ModuleStore::open(folder.path()).unwrap();
        let digest = digest('a');
        assert_eq!(store.read(&digest).await, None);
        store.write(&digest, Bytes::from_static(b"module")).await;
        assert_eq!(store.read(&digest).await.unwrap(), "module");

        let path = store.path(&digest).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
        assert_eq!(store.read(&digest).await, None);
    }

    #[tokio::test]
    async fn only_digests_name_files() {
        let folder = tempfile::tempdir().unwrap();
        let store = ModuleStore::open(folder.path()).unwrap();
        for name in ["", "sha256:", "sha256:../../x", &digest('G'), "md5:aa"] {
            assert_eq!(store.path(name), None, "{name}");
        }
    }
}
