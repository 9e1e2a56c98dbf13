//! Digests of content. Only SHA-256 is taken: it is what every registry speaks.

use sha2::{Digest as _, Sha256};

const PREFIX: &str = "sha256:";
const HEX_DIGITS: usize = 64;

/// Whether `text` is `sha256:` and 64 lower-case hexadecimal digits. Nothing else may become part
/// of a path or a file name.
pub(super) fn is_valid(text: &str) -> bool {
    text.strip_prefix(PREFIX).is_some_and(|digits| {
        digits.len() == HEX_DIGITS
            && digits
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    })
}

/// A digest that grows with what arrives.
#[derive(Default)]
pub(super) struct Running(Sha256);

impl Running {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn finish(self) -> String {
        format!("{PREFIX}{}", hex::encode(self.0.finalize()))
    }
}

/// Digest of bytes that are all there.
pub(super) fn of(bytes: &[u8]) -> String {
    let mut running = Running::default();
    running.update(bytes);
    running.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lower_case_sha256_is_valid() {
        let digest = of(b"");
        assert_eq!(
            digest,
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert!(is_valid(&digest));
        assert!(!is_valid(&digest.to_uppercase()));
        assert!(!is_valid(&digest[7..]));
        assert!(!is_valid(&format!("{digest}0")));
        assert!(!is_valid("sha256:../../etc/passwd"));
    }
}
