//! Files that are being written.

use std::{
    fs::{self, File},
    io,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::fs::{MemfdFlags, memfd_create};

use super::room::{PART, Room};

/// A file that is being written, and is nobody's yet.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) file: File,
    /// Where it lies until it is complete; nowhere, where nothing is stored.
    path: Option<PathBuf>,
}

/// Drafts of this process so far: each has a name of its own, so that none is written to by two.
static DRAFTS: AtomicU64 = AtomicU64::new(0);

impl Draft {
    /// Begins a file that may be called `name`.
    pub(super) fn begin(room: &Room, name: &str) -> io::Result<Self> {
        let number = DRAFTS.fetch_add(1, Ordering::Relaxed);
        let path = room.path(&format!("{name}.{number}.{PART}"));
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)?;
        Ok(Self {
            file,
            path: Some(path),
        })
    }

    /// Begins a file that is never stored.
    pub(super) fn in_memory() -> io::Result<Self> {
        Ok(Self {
            file: memfd_create("wasmfn-code", MemfdFlags::CLOEXEC)?.into(),
            path: None,
        })
    }

    /// Gives the file its name in `room`, if it can be stored.
    pub(super) fn rename(&self, room: &Room, name: &str) -> io::Result<()> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let place = room.path(name);
        fs::rename(path, &place)?;
        if let Err(error) = room.added(&place) {
            tracing::warn!(%error, "no room could be made on the disk");
        }
        Ok(())
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
