//! Bytes of modules on disk, by the digest of their manifest.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::write_atomically;

/// Bytes of the checksum at the beginning of a file.
const CHECKSUM_BYTES: usize = 32;

/// What all modules together may take of the node's disk.
const MAX_TOTAL_BYTES: u64 = 1 << 30;

/// Keeps the bytes of modules. Clones share the folder.
#[derive(Clone, Debug)]
pub struct ModuleStore {
    folder: Option<Arc<PathBuf>>,
    max_total_bytes: u64,
}

impl ModuleStore {
    /// Keeps them in `folder`, which is made if need be.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self {
            folder: Some(Arc::new(folder.to_owned())),
            max_total_bytes: MAX_TOTAL_BYTES,
        })
    }

    /// Keeps nothing.
    #[must_use]
    pub const fn nowhere() -> Self {
        Self {
            folder: None,
            max_total_bytes: 0,
        }
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
        let (Some(path), Some(folder)) = (self.path(digest), self.folder.clone()) else {
            return;
        };
        let most = self.max_total_bytes;
        let written = tokio::task::spawn_blocking(move || {
            let checksum = Sha256::digest(&bytes);
            write_atomically(&path, &[&checksum, &bytes])?;
            make_room(&folder, &path, most)
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
        let folder = self.folder.as_ref().filter(|_| is_digest)?;
        Some(folder.join(format!("sha256-{hexadecimal}")))
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
    // The time of the last use, by which the oldest are found when there is no room.
    let _ = fs::File::options()
        .write(true)
        .open(path)
        .and_then(|file| file.set_modified(SystemTime::now()));
    Some(bytes)
}

/// Removes what was used longest ago, but for `kept`, until the rest fits.
fn make_room(folder: &Path, kept: &Path, max_total_bytes: u64) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        files.push((metadata.modified()?, metadata.len(), entry.path()));
    }
    let mut total: u64 = files.iter().map(|(_, length, _)| length).sum();
    files.sort();
    for (_, length, path) in files {
        if total <= max_total_bytes {
            break;
        }
        if path != kept {
            fs::remove_file(path)?;
            total -= length;
        }
    }
    Ok(())
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

    #[tokio::test]
    async fn what_was_used_longest_ago_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = ModuleStore::open(folder.path()).unwrap();
        store.max_total_bytes = 2 * (CHECKSUM_BYTES as u64 + 10);
        let age = |digit, seconds| {
            let file = fs::File::options()
                .write(true)
                .open(store.path(&digest(digit)).unwrap())
                .unwrap();
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            file.set_modified(time).unwrap();
        };
        for (digit, seconds) in [('a', 2), ('b', 1)] {
            store
                .write(&digest(digit), Bytes::from_static(&[7; 10]))
                .await;
            age(digit, seconds);
        }
        store
            .write(&digest('c'), Bytes::from_static(&[7; 10]))
            .await;
        assert_eq!(store.read(&digest('b')).await, None);
        assert!(store.read(&digest('a')).await.is_some());
        assert!(store.read(&digest('c')).await.is_some());
    }
}
