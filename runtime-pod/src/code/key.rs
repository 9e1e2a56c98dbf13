//! Names of compiled code: which module, and everything that decides what is made of it.

use std::{fmt, hash::Hasher};

use sha2::{Digest, Sha256};

use crate::command::contract::Counting;

/// Name of compiled code.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct CodeKey([u8; 32]);

impl fmt::Debug for CodeKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "CodeKey({self})")
    }
}

impl fmt::Display for CodeKey {
    /// 64 lower-case hexadecimal digits.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

impl CodeKey {
    /// The key of what a compiler of this `fingerprint` makes of the module whose manifest has
    /// `digest`, with instructions counted as `counting` says.
    #[must_use]
    pub fn new(digest: &str, counting: Counting, fingerprint: &Fingerprint) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"wasmfn/code/v2/");
        hash.update(fingerprint.0);
        hash.update(counting.as_str());
        hash.update(b"/");
        hash.update(digest.as_bytes());
        Self(hash.finalize().into())
    }

    /// Reads a key; none where the text is no 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        from_hex(text).map(Self)
    }
}

/// Bytes of 64 lower-case hexadecimal digits; none, where the text is anything else.
pub(super) fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    hex::decode_to_slice(text, &mut bytes).ok()?;
    is_lower.then_some(bytes)
}

/// Tells compilers apart whose code differs, or may: by version, processor and settings.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of an engine of `version` of wasmtime. The version counts in full: a fix of the compiler
    /// must not be undone by code that was made before it, and wasmtime itself compares only the
    /// first number. Features of the processor are among the settings that it hashes.
    #[must_use]
    pub fn of(engine: &wasmtime::Engine, version: &str) -> Self {
        use std::hash::Hash;
        let mut hasher = Sha256Hasher(Sha256::new());
        version.hash(&mut hasher);
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Self(hasher.0.finalize().into())
    }
}

/// Lets what can be hashed be hashed in full.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest = self.0.clone().finalize();
        let first = digest.first_chunk().copied().unwrap_or_default();
        u64::from_le_bytes(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:aa";

    fn key(digest: &str, change: impl Fn(&mut wasmtime::Config), version: &str) -> CodeKey {
        let mut config = wasmtime::Config::new();
        change(&mut config);
        let engine = wasmtime::Engine::new(&config).unwrap();
        CodeKey::new(
            digest,
            Counting::default(),
            &Fingerprint::of(&engine, version),
        )
    }

    #[test]
    fn whatever_makes_other_code_makes_another_key() {
        let plain = key(DIGEST, |_| {}, "50.0.1");
        assert_eq!(plain, key(DIGEST, |_| {}, "50.0.1"));
        let others = [
            key("sha256:ab", |_| {}, "50.0.1"),
            key(DIGEST, |_| {}, "50.0.2"),
            key(
                DIGEST,
                |config| {
                    config.epoch_interruption(true);
                },
                "50.0.1",
            ),
            key(
                DIGEST,
                |config| {
                    config.cranelift_opt_level(wasmtime::OptLevel::None);
                },
                "50.0.1",
            ),
        ];
        for (index, other) in others.iter().enumerate() {
            assert_ne!(*other, plain, "{index}");
        }
    }

    #[test]
    fn keys_are_read_as_they_are_written() {
        let plain = key(DIGEST, |_| {}, "50.0.1");
        assert_eq!(CodeKey::parse(&plain.to_string()), Some(plain));
        let upper = plain.to_string().to_uppercase();
        for text in ["", "ab", "../../etc/passwd", &upper] {
            assert_eq!(CodeKey::parse(text), None, "{text}");
        }
    }
}
