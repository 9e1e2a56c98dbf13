//! The seal under compiled code: HMAC-SHA256 by the namespace's code key over the code's name, the
//! code and what it is made for. A file holds the code, then its target, then the seal. Code
//! without the seal is never mapped.

use std::{fs::File, io, os::unix::fs::FileExt, sync::Arc};

use hmac::{Hmac, Mac};
use sha2::Sha256;
use wasmfn_crds::token::{KEY_BYTES, Purpose};

use super::CodeKey;
use crate::{
    engine::{TARGET_BYTES, Target},
    tokens::Tokens,
};

/// Bytes of the seal at the end of a file.
const SEAL_BYTES: usize = 32;

/// What is read of a file at once, in bytes.
const CHUNK_BYTES: usize = 256 << 10;

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

/// A file of compiled code that this process made, or whose seal it has checked. Nobody writes to
/// it any more: new code gets a new file.
#[derive(Debug)]
pub struct CodeFile {
    file: File,
    target: Target,
    bytes: u64,
}

impl CodeFile {
    /// The file.
    pub(crate) const fn file(&self) -> &File {
        &self.file
    }

    /// What the code is made for.
    pub(crate) const fn target(&self) -> Target {
        self.target
    }

    /// Its size, in bytes.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A file that was found whole before and is the very same.
    pub(crate) const fn known(file: File, target: Target, bytes: u64) -> Self {
        Self {
            file,
            target,
            bytes,
        }
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

    /// Puts the seal under the code in `file`, which is made for `target`.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub(crate) fn put(&self, key: &CodeKey, file: File, target: Target) -> io::Result<CodeFile> {
        let code_bytes = file.metadata()?.len();
        file.write_all_at(&target.to_bytes(), code_bytes)?;
        let sealed_bytes = code_bytes + TARGET_BYTES as u64;
        let seal = self.over(key, &file, sealed_bytes)?.finalize().into_bytes();
        file.write_all_at(&seal, sealed_bytes)?;
        let bytes = sealed_bytes + SEAL_BYTES as u64;
        Ok(CodeFile::known(file, target, bytes))
    }

    /// The file, if its seal is that of `key`.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn check(&self, key: &CodeKey, file: File) -> io::Result<Option<CodeFile>> {
        let bytes = file.metadata()?.len();
        let Some(code_bytes) = bytes.checked_sub((TARGET_BYTES + SEAL_BYTES) as u64) else {
            return Ok(None);
        };
        let sealed_bytes = code_bytes + TARGET_BYTES as u64;
        let mut target = [0; TARGET_BYTES];
        file.read_exact_at(&mut target, code_bytes)?;
        let mut seal = [0; SEAL_BYTES];
        file.read_exact_at(&mut seal, sealed_bytes)?;
        let mac = self.over(key, &file, sealed_bytes)?;
        let is_whole = mac.verify_slice(&seal).is_ok();
        let target = Target::from_bytes(target).filter(|_| is_whole);
        Ok(target.map(|target| CodeFile::known(file, target, bytes)))
    }

    fn over(&self, key: &CodeKey, file: &File, sealed_bytes: u64) -> io::Result<Hmac<Sha256>> {
        let namespace = self
            .tokens
            .as_ref()
            .and_then(|tokens| tokens.get(Purpose::Code));
        let secret = namespace
            .as_ref()
            .map_or(self.own.as_slice(), |key| key.as_bytes());
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).map_err(io::Error::other)?;
        mac.update(b"wasmfn/code/v1/");
        mac.update(key.to_string().as_bytes());
        mac.update(b"/");
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut at = 0;
        while at < sealed_bytes {
            let left = usize::try_from(sealed_bytes - at).unwrap_or(CHUNK_BYTES);
            let part = &mut chunk[..left.min(CHUNK_BYTES)];
            file.read_exact_at(part, at)?;
            mac.update(part);
            at += part.len() as u64;
        }
        Ok(mac)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{GuestKind, Wasi};
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
        let target = Target {
            wasi: Wasi::V0_2,
            counts_instructions: false,
            initial_end_bytes: 7,
            guest: GuestKind::Component,
        };
        let sealed = seal
            .put(&key('a'), file(folder.path(), &code), target)
            .unwrap();
        assert_eq!(sealed.bytes(), code.len() as u64 + 48);

        let path = folder.path().join("code");
        let is_whole = |seal: &Seal, digit| seal.check(&key(digit), open(&path)).unwrap().is_some();
        assert!(is_whole(&seal, 'a'));
        let another_pod = Seal::of_namespace(Tokens::open(folder.path().to_owned()));
        assert!(is_whole(&another_pod, 'a'));
        assert!(!is_whole(&seal, 'b'), "another name");
        assert!(!is_whole(&Seal::of_process(), 'a'), "another key");

        let bytes = std::fs::read(&path).unwrap();
        let whole = seal.check(&key('a'), open(&path)).unwrap().unwrap();
        assert_eq!(whole.target(), target);
        for at in [0, code.len() / 2, code.len(), bytes.len() - 1] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, damaged).unwrap();
            assert!(!is_whole(&seal, 'a'), "{at}");
        }
        for length in [0, 47, 48, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert!(!is_whole(&seal, 'a'), "{length}");
        }
    }
}
