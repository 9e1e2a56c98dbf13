//! The seal under compiled code: HMAC-SHA256 by the namespace's code key over the code's name, its
//! length, and each page that is not all zeros with its place; the trailer is among them, and with it
//! the digest of a text that lies in a file of its own. Code without the seal is never mapped.

use std::{fs::File, io, os::unix::fs::FileExt, sync::Arc};

use hmac::{Hmac, Mac};
use sha2::Sha256;
use wasmfn_crds::token::{KEY_BYTES, Purpose};

use super::{
    CodeKey,
    file::{TRAILER_BYTES, Trailer},
    pages::Chunk,
};
use crate::tokens::Tokens;

/// Bytes of the seal at the end of a file.
const SEAL_BYTES: usize = 32;

/// The key that seals.
pub struct Seal {
    tokens: Option<Arc<Tokens>>,
    own: [u8; KEY_BYTES],
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Seal(..)")
    }
}

impl Seal {
    /// The namespace's, which all its pods have. While it is not there, this process's own.
    #[must_use]
    pub fn of_namespace(tokens: Arc<Tokens>) -> Self {
        Self {
            tokens: Some(tokens),
            own: rand::random(),
        }
    }

    /// This process's own: what it sealed is worth nothing to any other.
    #[must_use]
    pub fn of_process() -> Self {
        Self {
            tokens: None,
            own: rand::random(),
        }
    }

    /// Puts `trailer` and the seal behind the code in `file`; says how long it is then, in bytes.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub(crate) fn put(&self, key: &CodeKey, file: &File, trailer: Trailer) -> io::Result<u64> {
        let code_bytes = file.metadata()?.len();
        let sealed_bytes = code_bytes + TRAILER_BYTES as u64;
        file.write_all_at(&trailer.to_bytes(), code_bytes)?;
        let mac = self.over(key, file, sealed_bytes, Chunk::read_with_holes)?;
        let seal = mac.finalize().into_bytes();
        file.write_all_at(&seal, sealed_bytes)?;
        Ok(sealed_bytes + SEAL_BYTES as u64)
    }

    /// What stands behind the code in `file`, if its seal is that of `key`.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn check(&self, key: &CodeKey, file: &File) -> io::Result<Option<Trailer>> {
        let bytes = file.metadata()?.len();
        let Some(code_bytes) = bytes.checked_sub((TRAILER_BYTES + SEAL_BYTES) as u64) else {
            return Ok(None);
        };
        let sealed_bytes = code_bytes + TRAILER_BYTES as u64;
        let mut trailer = [0; TRAILER_BYTES];
        file.read_exact_at(&mut trailer, code_bytes)?;
        let mut seal = [0; SEAL_BYTES];
        file.read_exact_at(&mut seal, sealed_bytes)?;
        let is_whole = self
            .over(key, file, sealed_bytes, Chunk::read)?
            .verify_slice(&seal)
            .is_ok();
        Ok(Trailer::from_bytes(&trailer).filter(|_| is_whole))
    }

    fn over(
        &self,
        key: &CodeKey,
        file: &File,
        sealed_bytes: u64,
        read: fn(&File, u64, u64) -> io::Result<Option<Chunk>>,
    ) -> io::Result<Hmac<Sha256>> {
        let namespace = self
            .tokens
            .as_ref()
            .and_then(|tokens| tokens.get(Purpose::Code));
        let secret = namespace
            .as_ref()
            .map_or(self.own.as_slice(), |key| key.as_bytes());
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).map_err(io::Error::other)?;
        mac.update(b"wasmfn/code/v2/");
        mac.update(key.to_string().as_bytes());
        mac.update(&sealed_bytes.to_le_bytes());
        let mut at = 0;
        while let Some(chunk) = read(file, at, sealed_bytes)? {
            at = chunk.end();
            for (place, page) in chunk.pages() {
                mac.update(&place.to_le_bytes());
                mac.update(page);
            }
        }
        Ok(mac)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        code::pages::CHUNK_BYTES,
        engine::{GuestKind, Target, Wasi},
    };
    use std::path::Path;

    fn file(folder: &Path, bytes: &[u8]) -> File {
        let path = folder.join("code");
        std::fs::write(&path, bytes).unwrap();
        open(&path)
    }

    fn open(path: &Path) -> File {
        File::options().read(true).write(true).open(path).unwrap()
    }

    fn key(digit: char) -> CodeKey {
        CodeKey::parse(&digit.to_string().repeat(64)).unwrap()
    }

    #[test]
    fn only_what_was_sealed_under_this_name_and_key_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("code-key"), "secret").unwrap();
        let seal = Seal::of_namespace(Tokens::open(folder.path().to_owned()));
        let code = vec![7; 3 * CHUNK_BYTES / 2];
        let trailer = trailer();
        let bytes = seal.put(&key('a'), &file(folder.path(), &code), trailer);
        assert_eq!(bytes.unwrap(), code.len() as u64 + 96);

        let path = folder.path().join("code");
        let is_whole =
            |seal: &Seal, digit| seal.check(&key(digit), &open(&path)).unwrap().is_some();
        assert!(is_whole(&seal, 'a'));
        let another_pod = Seal::of_namespace(Tokens::open(folder.path().to_owned()));
        assert!(is_whole(&another_pod, 'a'));
        assert!(!is_whole(&seal, 'b'), "another name");
        assert!(!is_whole(&Seal::of_process(), 'a'), "another key");

        let bytes = std::fs::read(&path).unwrap();
        let whole = seal.check(&key('a'), &open(&path)).unwrap();
        assert_eq!(whole, Some(trailer));
        let length = bytes.len();
        for at in [0, code.len() / 2, code.len(), length - 40, length - 1] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, damaged).unwrap();
            assert!(!is_whole(&seal, 'a'), "{at}");
        }
        for length in [0, 95, 96, length - 1] {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert!(!is_whole(&seal, 'a'), "{length}");
        }
    }

    #[test]
    fn zeros_are_sealed_whether_they_are_written_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let seal = Seal::of_process();
        // The trailer, whose end is zeros, ends anywhere: before the end of a page, at it, behind it.
        for length in 2 * 4096 - 150..=2 * 4096 {
            let mut code = vec![0; length];
            code[5000] = 1;
            let file = file(folder.path(), &code);
            seal.put(&key('a'), &file, trailer()).unwrap();
            assert!(seal.check(&key('a'), &file).unwrap().is_some(), "{length}");

            let bytes = std::fs::read(folder.path().join("code")).unwrap();
            let sparse = tempfile::tempfile().unwrap();
            sparse.write_all_at(&bytes[4096..], 4096).unwrap();
            assert!(
                seal.check(&key('a'), &sparse).unwrap().is_some(),
                "{length}"
            );
            sparse.write_all_at(&[1], 100).unwrap();
            assert!(
                seal.check(&key('a'), &sparse).unwrap().is_none(),
                "{length}"
            );
        }
    }

    #[test]
    fn where_bytes_are_and_how_many_there_are_is_sealed() {
        let folder = tempfile::tempdir().unwrap();
        let seal = Seal::of_process();
        let (ones, zeros) = (vec![1; 4096], vec![0; 4096]);
        let sealed = file(folder.path(), &[&ones[..], &zeros, &zeros].concat());
        seal.put(&key('a'), &sealed, trailer()).unwrap();
        let bytes = std::fs::read(folder.path().join("code")).unwrap();
        let end = &bytes[3 * 4096..];
        let is_whole = |pages: &[&[u8]]| {
            let file = file(folder.path(), &[&pages.concat(), end].concat());
            seal.check(&key('a'), &file).unwrap().is_some()
        };
        assert!(is_whole(&[&ones, &zeros, &zeros]));
        assert!(!is_whole(&[&zeros, &ones, &zeros]));
        assert!(!is_whole(&[&ones, &zeros]));
        assert!(!is_whole(&[&ones, &zeros, &zeros, &zeros]));
    }

    #[test]
    fn the_length_is_sealed() {
        // Of files of zeros no page counts, so that they differ in their length alone.
        let folder = tempfile::tempdir().unwrap();
        let seal = Seal::of_process();
        let macs = [4096_u64, 8192].map(|bytes| {
            let file = file(folder.path(), &vec![0; usize::try_from(bytes).unwrap()]);
            let mac = seal.over(&key('a'), &file, bytes, Chunk::read).unwrap();
            mac.finalize().into_bytes()
        });
        assert_ne!(macs[0], macs[1]);
    }

    fn trailer() -> Trailer {
        Trailer {
            target: Target {
                wasi: Wasi::V0_2,
                counts_instructions: false,
                initial_end_bytes: 7,
                guest: GuestKind::Component,
            },
            text: None,
        }
    }
}
