//! What a file holds, page by page, without its pages of zeros: where these are missing the file has
//! holes. Half of the memory image of a `JavaScript` guest is zeros.

use std::{fs::File, io, os::unix::fs::FileExt};

use rustix::{
    fs::{SeekFrom, seek},
    io::Errno,
};

/// Bytes of a page: the pieces in which files have holes and are mapped.
pub(crate) const PAGE_BYTES: u64 = 4096;
/// What is read of a file at once, in bytes.
pub(crate) const CHUNK_BYTES: usize = 96 * ZEROS.len();

const ZEROS: [u8; 4096] = [0; 4096];

/// A piece of a file, from the beginning of a page on.
#[derive(Debug)]
pub(crate) struct Chunk {
    at: u64,
    bytes: Vec<u8>,
}

impl Chunk {
    /// The next piece that is no hole, from `from` on, which is where a page begins, but not beyond
    /// `end`; none, where nothing but holes is left. Moves the file's cursor.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn read(file: &File, from: u64, end: u64) -> io::Result<Option<Self>> {
        match seek(file, SeekFrom::Data(from)) {
            Ok(at) if at < end => Self::read_with_holes(file, at - at % PAGE_BYTES, end),
            Ok(_) | Err(Errno::NXIO) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The next piece, hole or not: for what this process vouches for, whatever its file system takes
    /// for a hole.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn read_with_holes(file: &File, at: u64, end: u64) -> io::Result<Option<Self>> {
        let left = usize::try_from(end.saturating_sub(at)).unwrap_or(CHUNK_BYTES);
        let mut bytes = vec![0; left.min(CHUNK_BYTES)];
        let mut filled = 0;
        while filled < bytes.len() {
            match file.read_at(&mut bytes[filled..], at + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok((filled > 0).then_some(Self { at, bytes }))
    }

    /// Where the next piece begins.
    pub(crate) fn end(&self) -> u64 {
        self.at + self.bytes.len() as u64
    }

    /// Pages that are not all zeros, each with its place in the file. The last of a file may be short.
    pub(crate) fn pages(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let places = (self.at..).step_by(ZEROS.len());
        let pages = places.zip(self.bytes.chunks(ZEROS.len()));
        pages.filter(|(_, page)| *page != &ZEROS[..page.len()])
    }

    /// Such pages, those together that follow one another.
    pub(crate) fn runs(&self) -> Vec<(u64, &[u8])> {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for (at, page) in self.pages() {
            let end = at + page.len() as u64;
            match runs.last_mut() {
                Some(last) if last.1 == at => last.1 = end,
                _ => runs.push((at, end)),
            }
        }
        let within = |at: u64| usize::try_from(at - self.at).unwrap_or(usize::MAX);
        runs.into_iter()
            .map(|(at, end)| (at, &self.bytes[within(at)..within(end)]))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(byte: u8) -> Vec<u8> {
        vec![byte; ZEROS.len()]
    }

    /// The runs of a file, and how many bytes of it were looked at.
    fn runs(file: &File) -> (Vec<(u64, Vec<u8>)>, usize) {
        let (mut runs, mut read, mut at) = (Vec::new(), 0, 0);
        while let Some(chunk) = Chunk::read(file, at, u64::MAX).unwrap() {
            let own = chunk.runs().into_iter();
            runs.extend(own.map(|(at, bytes)| (at, bytes.to_vec())));
            read += chunk.bytes.len();
            at = chunk.end();
        }
        (runs, read)
    }

    #[test]
    fn zeros_are_left_out_whether_they_are_written_or_not() {
        let far = 4 * CHUNK_BYTES as u64;
        let expected = [
            (0, page(1)),
            (2 * PAGE_BYTES, [page(2), page(3)].concat()),
            (far, b"end".to_vec()),
        ];
        let sparse = tempfile::tempfile().unwrap();
        for (at, bytes) in &expected {
            sparse.write_all_at(bytes, *at).unwrap();
        }
        let (found, read) = runs(&sparse);
        assert_eq!(found, expected);
        assert!(read <= CHUNK_BYTES + 3, "{read}: holes are not read");

        let dense = tempfile::tempfile().unwrap();
        let mut bytes = vec![0; usize::try_from(far).unwrap() + 3];
        for (at, run) in &expected {
            let at = usize::try_from(*at).unwrap();
            bytes[at..at + run.len()].copy_from_slice(run);
        }
        dense.write_all_at(&bytes, 0).unwrap();
        let (found, read) = runs(&dense);
        assert_eq!(found, expected);
        assert_eq!(read, bytes.len());
    }

    #[test]
    fn of_nothing_there_is_nothing() {
        let file = tempfile::tempfile().unwrap();
        assert!(Chunk::read(&file, 0, u64::MAX).unwrap().is_none());
        file.set_len(3 * PAGE_BYTES).unwrap();
        assert_eq!(runs(&file).0, []);
    }

    #[test]
    fn what_stands_behind_the_end_is_not_there() {
        let file = tempfile::tempfile().unwrap();
        let bytes = [vec![0; ZEROS.len() + 5], vec![1; 5]].concat();
        file.write_all_at(&bytes, 0).unwrap();
        let pages = |end| {
            let chunk = Chunk::read(&file, 0, end).unwrap();
            chunk.map(|chunk| chunk.pages().map(|(at, page)| (at, page.len())).collect())
        };
        assert_eq!(pages(0), None);
        assert_eq!(pages(PAGE_BYTES + 5), Some(vec![]));
        assert_eq!(pages(PAGE_BYTES + 6), Some(vec![(PAGE_BYTES, 6)]));
        assert_eq!(pages(u64::MAX), Some(vec![(PAGE_BYTES, 10)]));
    }
}
