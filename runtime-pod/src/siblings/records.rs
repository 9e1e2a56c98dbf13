//! How a file passes from pod to pod: records of where some bytes belong (8 bytes, the lowest first),
//! how many they are (4 bytes), and they themselves. What no record holds are zeros. At the end there
//! are none: code ends with its seal, and a text is given its length.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
};

use bytes::{BufMut, Bytes, BytesMut};

use crate::code::pages::{CHUNK_BYTES, Chunk};

/// Bytes before those of a record.
const HEAD_BYTES: usize = 12;

/// The next records of `file` from `from` on, and where those after them begin; none, where all are
/// written.
///
/// # Errors
/// If the file cannot be read.
pub(super) fn read(file: &File, mut from: u64) -> io::Result<Option<(Bytes, u64)>> {
    while let Some(chunk) = Chunk::read(file, from, u64::MAX)? {
        from = chunk.end();
        let runs = chunk.runs();
        if runs.is_empty() {
            continue;
        }
        let bytes: usize = runs.iter().map(|(_, run)| HEAD_BYTES + run.len()).sum();
        let mut records = BytesMut::with_capacity(bytes);
        for (at, run) in runs {
            records.put_u64_le(at);
            records.put_u32_le(u32::try_from(run.len()).map_err(io::Error::other)?);
            records.put_slice(run);
        }
        return Ok(Some((records.freeze(), from)));
    }
    Ok(None)
}

/// Writes what `records` say to `file`, which then holds nothing else, as long as that is no longer
/// than `max_bytes`.
///
/// # Errors
/// If the records cannot be read, break off or go beyond that, or the file cannot be written.
pub(super) fn write(mut records: impl Read, file: &File, max_bytes: u64) -> io::Result<()> {
    // A sibling before this one may have broken off.
    file.set_len(0)?;
    let mut bytes = vec![0; CHUNK_BYTES];
    while let Some((at, length)) = head(&mut records)? {
        let run = bytes.get_mut(..length).ok_or(io::ErrorKind::InvalidData)?;
        if at.saturating_add(length as u64) > max_bytes {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        records.read_exact(run)?;
        file.write_all_at(run, at)?;
    }
    Ok(())
}

/// The head of the next record, if there is one.
fn head(records: &mut impl Read) -> io::Result<Option<(u64, usize)>> {
    let mut head = [0; HEAD_BYTES];
    if records.read(&mut head[..1])? == 0 {
        return Ok(None);
    }
    records.read_exact(&mut head[1..])?;
    let [at @ .., a, b, c, d] = head;
    let length = u32::from_le_bytes([a, b, c, d]);
    let length = usize::try_from(length).map_err(io::Error::other)?;
    Ok(Some((u64::from_le_bytes(at), length)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    const MAX_BYTES: u64 = 1 << 30;

    fn records(file: &File) -> Vec<u8> {
        let (mut all, mut at) = (Vec::new(), 0);
        while let Some((records, next)) = read(file, at).unwrap() {
            all.extend(records);
            at = next;
        }
        all
    }

    #[test]
    fn a_file_arrives_as_it_was_with_its_holes() {
        let file = tempfile::tempfile().unwrap();
        for (at, length) in [(0, 5000), (3 << 20, 1 << 20), ((9 << 20) + 4096, 100)] {
            file.write_all_at(&vec![7; length], at).unwrap();
        }
        let records = records(&file);
        assert!(records.len() < 1_100_000, "{}", records.len());
        let copy = tempfile::tempfile().unwrap();
        copy.write_all_at(b"what broke off", 2 << 20).unwrap();
        write(&records[..], &copy, MAX_BYTES).unwrap();
        let bytes = |file: &File| {
            let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
            file.read_exact_at(&mut bytes, 0).unwrap();
            bytes
        };
        assert!(bytes(&copy) == bytes(&file));
        let taken = copy.metadata().unwrap().blocks() * 512;
        assert!(taken < 2 << 20, "{taken}");
    }

    #[test]
    fn what_breaks_off_or_is_no_record_is_refused() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[7; 5000], 0).unwrap();
        let records = records(&file);
        let copy = tempfile::tempfile().unwrap();
        for length in 1..HEAD_BYTES + 5000 {
            if length % 500 < HEAD_BYTES {
                let error = write(&records[..length], &copy, MAX_BYTES).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{length}");
            }
        }
        write(&records[..], &copy, 5000).unwrap();
        let error = write(&records[..], &copy, 4999).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        let error = write(&[0xff; 100][..], &copy, MAX_BYTES).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
