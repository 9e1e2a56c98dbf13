//! The machine code within compiled code, which functions that were built alike share: two
//! `JavaScript` guests differ in the memory that they begin with, but not in a byte of their text,
//! which is two thirds of their code.

use std::{fmt, fs::File, io, ops::Range, os::unix::fs::FileExt};

use object::{Endianness, Object, ObjectSection, ReadCache, read::elf::ElfFile64};
use sha2::{Digest, Sha256};

use super::{
    key::from_hex,
    pages::{CHUNK_BYTES, PAGE_BYTES},
};

/// A smaller text stays in its file: it is seldom another function's too, and to map it by itself
/// would cost more than its pages.
const MIN_BYTES: u64 = 1 << 20;

/// Bytes of a [`Text`] as it is written.
pub(super) const TEXT_BYTES: usize = 48;

/// SHA-256 of a text: its name.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub(crate) struct TextDigest([u8; 32]);

impl fmt::Display for TextDigest {
    /// 64 lower-case hexadecimal digits.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for TextDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TextDigest({self})")
    }
}

impl TextDigest {
    /// Of the part of `file` in `range`. Reads all of it.
    ///
    /// # Errors
    /// If the file cannot be read, or ends before.
    pub(crate) fn of(file: &File, range: &Range<u64>) -> io::Result<Self> {
        let mut hash = Sha256::new();
        let mut piece = vec![0; CHUNK_BYTES];
        let mut at = range.start;
        while at < range.end {
            let left = usize::try_from(range.end - at).unwrap_or(CHUNK_BYTES);
            let piece = &mut piece[..left.min(CHUNK_BYTES)];
            file.read_exact_at(piece, at)?;
            hash.update(&*piece);
            at += piece.len() as u64;
        }
        Ok(Self(hash.finalize().into()))
    }

    /// Reads a digest; none where the text is no 64 lower-case hexadecimal digits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        from_hex(text).map(Self)
    }
}

/// A text that lies in a file of its own, and where its pages belong in the code's image.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Text {
    pub(crate) at: u64,
    pub(crate) bytes: u64,
    pub(crate) digest: TextDigest,
}

impl Text {
    /// As it is written beside the code.
    pub(super) fn to_bytes(this: Option<Self>) -> [u8; TEXT_BYTES] {
        let mut bytes = [0; TEXT_BYTES];
        if let Some(text) = this {
            bytes[..8].copy_from_slice(&text.at.to_le_bytes());
            bytes[8..16].copy_from_slice(&text.bytes.to_le_bytes());
            bytes[16..].copy_from_slice(&text.digest.0);
        }
        bytes
    }

    /// Reads [`to_bytes`](Self::to_bytes): zeros say that the text lies in the code's file.
    pub(super) fn from_bytes(bytes: [u8; TEXT_BYTES]) -> Option<Self> {
        let [at, length] = [0, 8].map(|start| {
            let number = bytes[start..].first_chunk().copied();
            u64::from_le_bytes(number.unwrap_or_default())
        });
        let mut digest = [0; 32];
        digest.copy_from_slice(&bytes[16..]);
        (length > 0).then_some(Self {
            at,
            bytes: length,
            digest: TextDigest(digest),
        })
    }
}

/// Where the text lies in the compiler's output, if it is worth a file of its own.
pub(crate) fn find(code: &File) -> Option<Range<u64>> {
    let cache = ReadCache::new(code);
    let image = ElfFile64::<Endianness, _>::parse(&cache).ok()?;
    let (at, bytes) = image.section_by_name(".text")?.file_range()?;
    let is_whole_pages = at % PAGE_BYTES == 0 && bytes % PAGE_BYTES == 0;
    (bytes >= MIN_BYTES && is_whole_pages).then_some(at..at.checked_add(bytes)?)
}
