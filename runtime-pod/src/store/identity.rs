//! Whether a file is the one that was checked.

use std::{fs::File, io, os::unix::fs::MetadataExt};

/// Which file it is. Nobody else writes in the folders of a store, and files are not written to once
/// they have their name: the same number is the same file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    bytes: u64,
}

impl Identity {
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
        })
    }

    /// The file's length, in bytes.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }
}
