//! Which functions are running, written down so that it survives a crash of the process: a function
//! that was running at two crashes within ten minutes is quarantined until its spec changes.
//!
//! The file has a record for each function, in its own place. It is written where a function begins
//! to run after it did not, and some time after it has stopped, not for each request: a write to
//! the kernel's cache of the file, which outlives the process. `record` says what is written,
//! `verdict` what follows from it.

mod record;
#[cfg(test)]
mod tests;
mod verdict;

use std::{
    collections::HashMap,
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use sha2::{Digest, Sha256};

use record::{Id, RECORD_BYTES, Record};

/// First bytes of the file: its format.
const MAGIC: &[u8; 8] = b"wfnjrnl1";
/// Bytes before the first record: the format, then whether a process has the journal open.
const HEADER_BYTES: usize = 64;
/// Place of the byte that says so.
const OPEN_AT: usize = 8;

/// Functions that are written down: more than one pod holds. The file takes 512 KiB.
const MAX_RECORDS: usize = 8192;

/// The journal of this process.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    places: Mutex<Places>,
}

/// Who has which place in the file.
#[derive(Debug, Default)]
struct Places {
    /// What earlier processes wrote of functions that this one has not asked for yet.
    left: HashMap<Id, (usize, Record)>,
    /// Places that nobody has.
    free: Vec<usize>,
}

/// The place of one function.
#[derive(Debug)]
pub(crate) struct Entry {
    journal: Arc<Journal>,
    /// Where in the file; nowhere, where it is full.
    place: Option<usize>,
    record: Mutex<Record>,
    /// Whether the file says that it runs; written only while the record is held.
    is_marked: AtomicBool,
}

impl Journal {
    /// Opens the journal at `path` and judges what the process before left there, if it crashed.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub(crate) fn open(path: &Path) -> io::Result<Arc<Self>> {
        Self::open_at(path, now().as_secs())
    }

    fn open_at(path: &Path, now_seconds: u64) -> io::Result<Arc<Self>> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let mut bytes = vec![0; HEADER_BYTES + MAX_RECORDS * RECORD_BYTES];
        let is_ours = file.read_exact_at(&mut bytes, 0).is_ok() && bytes.starts_with(MAGIC);
        if !is_ours {
            bytes.fill(0);
        }
        let crashed = bytes[OPEN_AT] != 0;
        let mut places = Places::default();
        let records = bytes[HEADER_BYTES..].as_chunks_mut::<RECORD_BYTES>().0;
        for (place, bytes) in records.iter_mut().enumerate() {
            let before = Record::from_bytes(bytes);
            if before.id == Id::default() {
                places.free.push(place);
                continue;
            }
            let record = if crashed {
                verdict::after_crash(before, now_seconds)
            } else {
                before
            };
            *bytes = record.to_bytes();
            places.left.insert(record.id, (place, record));
        }
        if crashed {
            tracing::warn!("the process before this one crashed");
        }
        bytes[..MAGIC.len()].copy_from_slice(MAGIC);
        bytes[OPEN_AT] = 1;
        file.write_all_at(&bytes, 0)?;
        Ok(Arc::new(Self {
            file,
            places: Mutex::new(places),
        }))
    }

    /// The entry of the function with `uid`.
    pub(crate) fn entry(self: &Arc<Self>, uid: &str) -> Entry {
        let id = id_of(uid);
        let mut places = self.lock();
        let known = places.left.remove(&id);
        let (place, record) = match known {
            Some((place, record)) => (Some(place), record),
            None => (
                places.take(),
                Record {
                    id,
                    ..Record::default()
                },
            ),
        };
        drop(places);
        Entry {
            journal: Arc::clone(self),
            place,
            record: Mutex::new(record),
            is_marked: AtomicBool::new(false),
        }
    }

    /// This process ends as it should: nothing that runs now is to blame for it.
    pub(crate) fn close(&self) {
        if let Err(error) = self.file.write_all_at(&[0], OPEN_AT as u64) {
            tracing::warn!(%error, "the journal cannot be closed");
        }
    }

    fn write(&self, place: usize, record: &Record) {
        let at = (HEADER_BYTES + place * RECORD_BYTES) as u64;
        if let Err(error) = self.file.write_all_at(&record.to_bytes(), at) {
            tracing::warn!(%error, "the journal cannot be written");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    /// A place for a function that has none: a free one, or that of the function that ran longest
    /// ago and is not asked for any more.
    fn take(&mut self) -> Option<usize> {
        if let Some(place) = self.free.pop() {
            return Some(place);
        }
        let oldest = self.left.values().min_by_key(|(_, record)| record.used_at);
        let id = oldest.map(|(_, record)| record.id)?;
        self.left.remove(&id).map(|(place, _)| place)
    }
}

impl Entry {
    /// When the function began to run last: milliseconds since 1970, 0 for never.
    pub(crate) fn used_at(&self) -> u64 {
        self.lock().used_at
    }

    /// The generation that is quarantined.
    pub(crate) fn quarantined(&self) -> Option<i64> {
        self.lock().quarantined
    }

    /// Requests are served with `generation` from now on.
    pub(crate) fn serves(&self, generation: i64) {
        let mut record = self.lock();
        let after = verdict::served(*record, generation);
        self.update(&mut record, after);
    }

    /// A request was counted in: the function runs.
    pub(crate) fn runs(&self) {
        if self.is_marked.load(Ordering::SeqCst) {
            return;
        }
        let mut record = self.lock();
        self.is_marked.store(true, Ordering::SeqCst);
        let after = Record {
            is_running: true,
            used_at: u64::try_from(now().as_millis()).unwrap_or(u64::MAX),
            ..*record
        };
        self.update(&mut record, after);
    }

    /// Takes the mark away if `is_running` says that no request is in flight. Called now and then.
    pub(crate) fn rest(&self, is_running: impl Fn() -> bool) {
        if !self.is_marked.load(Ordering::SeqCst) || is_running() {
            return;
        }
        let mut record = self.lock();
        // In this order: a request that comes in between sees that there is no mark, and waits to
        // set it; one that came before is seen here.
        self.is_marked.store(false, Ordering::SeqCst);
        if is_running() {
            self.is_marked.store(true, Ordering::SeqCst);
            return;
        }
        let after = Record {
            is_running: false,
            ..*record
        };
        self.update(&mut record, after);
    }

    fn update(&self, record: &mut Record, after: Record) {
        if *record != after {
            *record = after;
            if let Some(place) = self.place {
                self.journal.write(place, record);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            // The function may come back, here or in the next process.
            let record = *self.lock();
            self.journal.lock().left.insert(record.id, (place, record));
        }
    }
}

fn id_of(uid: &str) -> Id {
    let digest = Sha256::digest(uid.as_bytes());
    digest.first_chunk().copied().unwrap_or_default()
}

fn now() -> std::time::Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
