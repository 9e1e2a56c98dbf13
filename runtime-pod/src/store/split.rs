//! What becomes of code that was just made: its text gets a file of its own.

use std::{fs::File, io, os::unix::fs::FileExt};

use super::{draft::Draft, room::Room, texts::TextStore};
use crate::code::{
    pages::Chunk,
    text::{self, Text},
};

/// Code without its text, and the text in a file of its own.
#[derive(Debug)]
pub(super) struct Split {
    pub(super) rest: Draft,
    pub(super) text: Text,
    pub(super) text_file: File,
}

/// Splits code that was just made and may be called `name`, if its text is worth that.
///
/// # Errors
/// If files cannot be read or written: the code is as it was.
pub(super) fn split(
    code: &File,
    name: &str,
    room: &Room,
    texts: &TextStore,
) -> io::Result<Option<Split>> {
    let Some(range) = text::find(code) else {
        return Ok(None);
    };
    let (text, text_file) = texts.put(code, &range)?;
    // In a new file, since what has gone to the disk would have to be freed there.
    let rest = Draft::begin(room, name)?;
    let bytes = code.metadata()?.len();
    for part in [0..text.at, range.end..bytes] {
        let mut at = part.start;
        while let Some(chunk) = Chunk::read_with_holes(code, at, part.end)? {
            at = chunk.end();
            for (place, run) in chunk.runs() {
                rest.file.write_all_at(run, place)?;
            }
        }
    }
    rest.file.set_len(bytes)?;
    Ok(Some(Split {
        rest,
        text,
        text_file,
    }))
}
