//! Tokens and keys, derived per namespace and purpose from one master key, so that a runtime pod
//! holds only what belongs to its namespace.

use hmac::{Hmac, Mac};
use sha2::Sha256;
use thiserror::Error;

/// Length of the master key and of everything derived from it, in bytes.
pub const KEY_BYTES: usize = 32;

/// What a derived token or key is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Gateways show it to the data port of runtime pods.
    Data,
    /// The operator shows it to the admin port of runtime pods and of gateways.
    Admin,
    /// Runtime pods show it to each other's module port.
    Module,
    /// Runtime pods authenticate compiled code with it.
    Code,
}

impl Purpose {
    /// All purposes, in the order of the fields of the namespace's Secret.
    pub const ALL: [Self; 4] = [Self::Data, Self::Admin, Self::Module, Self::Code];

    /// Field of the namespace's Secret, and file in the runtime pod, that holds this token.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            Self::Data => "data-token",
            Self::Admin => "admin-token",
            Self::Module => "module-token",
            Self::Code => "code-key",
        }
    }
}

/// The master key is unusable.
#[derive(Debug, Error)]
#[error("the master key must be {KEY_BYTES} bytes long, not {0}")]
pub struct KeyLengthError(usize);

/// The key that all others are derived from.
#[derive(Clone, Eq, PartialEq)]
pub struct MasterKey([u8; KEY_BYTES]);

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("MasterKey(..)")
    }
}

impl MasterKey {
    /// Takes the raw bytes of the Secret.
    ///
    /// # Errors
    /// [`KeyLengthError`] unless there are [`KEY_BYTES`] of them.
    pub fn new(bytes: &[u8]) -> Result<Self, KeyLengthError> {
        bytes
            .try_into()
            .map(Self)
            .map_err(|_| KeyLengthError(bytes.len()))
    }

    /// The raw bytes, as the Secret holds them.
    #[must_use]
    pub const fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Token or key for `purpose` in `namespace`: lower-case hexadecimal digits of
    /// HMAC-SHA256(master key, `wasmfn/v1/PURPOSE/NAMESPACE`).
    #[must_use]
    pub fn derive(&self, purpose: Purpose, namespace: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes any key length");
        mac.update(b"wasmfn/v1/");
        mac.update(purpose.field().as_bytes());
        mac.update(b"/");
        mac.update(namespace.as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }
}

/// Whether two tokens are the same, in time that does not tell where they differ.
#[must_use]
pub fn equal(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len()
        && left
            .iter()
            .zip(right)
            .fold(0, |difference, (a, b)| difference | (a ^ b))
            == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_namespace_and_purpose_has_its_own_token() {
        let key = MasterKey::new(&[7; KEY_BYTES]).unwrap();
        let mut seen = std::collections::HashSet::new();
        for purpose in Purpose::ALL {
            for namespace in ["a", "b"] {
                let token = key.derive(purpose, namespace);
                assert_eq!(token.len(), 2 * KEY_BYTES);
                assert!(seen.insert(token), "{purpose:?} {namespace}");
            }
        }
    }

    #[test]
    fn derivation_is_fixed_so_that_parts_of_different_versions_agree() {
        let key = MasterKey::new(&[0; KEY_BYTES]).unwrap();
        assert_eq!(
            key.derive(Purpose::Data, "default"),
            "d9dddc7792b2ba2a3e68feb1eef91ca1fcf54fda661795a2e7e802d58e258fe2"
        );
    }

    #[test]
    fn refuses_a_short_key() {
        let error = MasterKey::new(&[1, 2]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the master key must be 32 bytes long, not 2"
        );
    }

    #[test]
    fn compares_tokens() {
        assert!(equal(b"abc", b"abc"));
        assert!(!equal(b"abc", b"abd"));
        assert!(!equal(b"abc", b"ab"));
    }
}
