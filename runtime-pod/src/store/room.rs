//! A folder that holds at most so many bytes: what was used longest ago goes first.

use std::{
    fs::{self, File, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

/// Part of the limit that is freed besides once something has to go, so that the folder is not
/// looked through again for each file: a tenth.
const FREED_PART: u64 = 10;

/// Bytes of a block, as `st_blocks` counts them (stat(3type)).
const BLOCK_BYTES: u64 = 512;

/// Ending of files that are not complete.
pub(super) const PART: &str = "part";

/// The folder.
#[derive(Debug)]
pub(super) struct Room {
    folder: PathBuf,
    max_total_bytes: u64,
    total_bytes: AtomicU64,
}

/// A file of the folder.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Entry {
    used_at: SystemTime,
    bytes: u64,
    path: PathBuf,
}

impl Room {
    /// The folder, which is made if need be. What was left incomplete is removed.
    pub(super) fn open(folder: &Path, max_total_bytes: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut total = 0;
        for entry in entries(folder)? {
            if entry.path.extension().is_some_and(|ending| ending == PART) {
                remove_if_there(&entry.path)?;
            } else {
                total += entry.bytes;
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
            max_total_bytes,
            total_bytes: AtomicU64::new(total),
        })
    }

    /// The path of a name.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Takes note that `kept` is new, and removes what was used longest ago, but for it, if the rest
    /// does not fit.
    pub(super) fn added(&self, kept: &Path) -> io::Result<()> {
        let Ok(size) = fs::metadata(kept) else {
            return Ok(());
        };
        let bytes = taken(&size);
        let total = self.total_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if total <= self.max_total_bytes {
            return Ok(());
        }
        let entries = entries(&self.folder)?;
        let mut total = entries.iter().map(|entry| entry.bytes).sum();
        for entry in leaving(entries, kept, self.max_total_bytes) {
            remove_if_there(&entry.path)?;
            total -= entry.bytes;
        }
        self.total_bytes.store(total, Ordering::Relaxed);
        Ok(())
    }

    /// Removes a file, if it is there.
    pub(super) fn remove(&self, path: &Path) {
        if let Ok(metadata) = fs::metadata(path)
            && fs::remove_file(path).is_ok()
        {
            self.total_bytes
                .update(Ordering::Relaxed, Ordering::Relaxed, |total| {
                    total.saturating_sub(taken(&metadata))
                });
        }
    }
}

/// Removes a file that may have been renamed or removed meanwhile.
fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Takes note that a file was used now.
pub(super) fn used(file: &File) {
    // Where it cannot be noted, the file goes sooner.
    let _ = file.set_modified(SystemTime::now());
}

/// Bytes that a file takes of the disk: less than its length where it has holes.
fn taken(size: &Metadata) -> u64 {
    size.len().min(size.blocks() * BLOCK_BYTES)
}

fn entries(folder: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // It may have been renamed or removed meanwhile.
        if let Ok(metadata) = entry.metadata() {
            entries.push(Entry {
                used_at: metadata.modified()?,
                bytes: taken(&metadata),
                path: entry.path(),
            });
        }
    }
    Ok(entries)
}

/// What has to go so that the rest fits; nothing, if it does already.
fn leaving(mut entries: Vec<Entry>, kept: &Path, max_total_bytes: u64) -> Vec<Entry> {
    let mut total: u64 = entries.iter().map(|entry| entry.bytes).sum();
    let mut leaving = Vec::new();
    if total <= max_total_bytes {
        return leaving;
    }
    let aim = max_total_bytes - max_total_bytes / FREED_PART;
    entries.sort();
    entries.retain(|entry| {
        entry.path != kept && entry.path.extension().is_none_or(|ending| ending != PART)
    });
    for entry in entries {
        if total <= aim {
            break;
        }
        total -= entry.bytes;
        leaving.push(entry);
    }
    leaving
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn entry(name: &str, seconds: u64) -> Entry {
        Entry {
            used_at: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
            bytes: 100,
            path: name.into(),
        }
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let entries = || {
            vec![
                entry("new.part", 0),
                entry("b", 2),
                entry("a", 1),
                entry("kept", 0),
                entry("c", 3),
            ]
        };
        let names = |max| -> Vec<PathBuf> {
            let leaving = leaving(entries(), Path::new("kept"), max);
            leaving.into_iter().map(|entry| entry.path).collect()
        };
        assert_eq!(names(500), Vec::<PathBuf>::new());
        assert_eq!(names(499), [PathBuf::from("a")]);
        assert_eq!(names(400), [PathBuf::from("a"), PathBuf::from("b")]);
        // The new one stays even where it does not fit alone.
        assert_eq!(names(10).len(), 3);
    }

    #[test]
    fn the_folder_stays_within_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("left.part"), [0; 500]).unwrap();
        let room = Room::open(folder.path(), 250).unwrap();
        assert!(!folder.path().join("left.part").exists());
        for (index, name) in ["a", "b", "c"].into_iter().enumerate() {
            let path = room.path(name);
            fs::write(&path, [0; 100]).unwrap();
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(index as u64);
            let file = File::options().write(true).open(&path).unwrap();
            file.set_modified(time).unwrap();
            room.added(&path).unwrap();
        }
        let names = |name| folder.path().join(name).exists();
        assert_eq!([names("a"), names("b"), names("c")], [false, true, true]);
        room.remove(&room.path("b"));
        room.remove(&room.path("b"));
        assert_eq!(room.total_bytes.load(Ordering::Relaxed), 100);
    }
}
