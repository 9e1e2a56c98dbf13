//! A file of compiled code: wasmtime's output, then a trailer, then the seal.

use std::fs::File;

use super::text::{TEXT_BYTES, Text};
use crate::engine::{TARGET_BYTES, Target};

/// Bytes of a trailer.
pub(super) const TRAILER_BYTES: usize = TARGET_BYTES + TEXT_BYTES;

/// What stands behind the code: what it is made for, and where its text is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Trailer {
    pub(crate) target: Target,
    /// The text, where it lies in a file of its own: in the code's file is a hole there.
    pub(crate) text: Option<Text>,
}

impl Trailer {
    pub(super) fn to_bytes(self) -> [u8; TRAILER_BYTES] {
        let mut bytes = [0; TRAILER_BYTES];
        let (target, text) = bytes.split_at_mut(TARGET_BYTES);
        target.copy_from_slice(&self.target.to_bytes());
        text.copy_from_slice(&Text::to_bytes(self.text));
        bytes
    }

    /// Reads [`to_bytes`](Self::to_bytes); none, where nobody can have written it.
    pub(super) fn from_bytes(bytes: &[u8; TRAILER_BYTES]) -> Option<Self> {
        Some(Self {
            target: Target::from_bytes(*bytes.first_chunk()?)?,
            text: Text::from_bytes(*bytes.last_chunk()?),
        })
    }
}

/// A file of compiled code that this process made, or whose seal it has checked, and that of its
/// text. Nobody writes to them any more: new code gets a new file.
#[derive(Debug)]
pub struct CodeFile {
    file: File,
    bytes: u64,
    target: Target,
    text: Option<(Text, File)>,
}

impl CodeFile {
    /// A file of so many `bytes` that was found whole, and its text if that lies in another.
    pub(crate) const fn new(
        file: File,
        bytes: u64,
        target: Target,
        text: Option<(Text, File)>,
    ) -> Self {
        Self {
            file,
            bytes,
            target,
            text,
        }
    }

    /// The file.
    pub(crate) const fn file(&self) -> &File {
        &self.file
    }

    /// What the code is made for.
    pub(crate) const fn target(&self) -> Target {
        self.target
    }

    /// What stands behind the code.
    pub(crate) fn trailer(&self) -> Trailer {
        Trailer {
            target: self.target,
            text: self.text.as_ref().map(|(text, _)| *text),
        }
    }

    /// Its size with its text and what it does not hold for being zeros, in bytes.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The text, where it lies in a file of its own.
    pub(super) const fn text(&self) -> Option<&(Text, File)> {
        self.text.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        code::text::TextDigest,
        engine::{GuestKind, Wasi},
    };

    #[test]
    fn trailers_are_read_as_they_are_written() {
        let target = Target {
            wasi: Wasi::V0_2,
            counts_instructions: true,
            initial_end_bytes: 7,
            guest: GuestKind::Component,
        };
        let text = Text {
            at: 4096,
            bytes: 8192,
            digest: TextDigest::parse(&"a7".repeat(32)).unwrap(),
        };
        for text in [None, Some(text)] {
            let trailer = Trailer { target, text };
            assert_eq!(Trailer::from_bytes(&trailer.to_bytes()), Some(trailer));
        }
        assert_eq!(Trailer::from_bytes(&[0; TRAILER_BYTES]), None);
    }
}
