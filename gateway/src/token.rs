//! Tokens, derived from the master key, which is read again when its file changes.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
    time::Duration,
};

use arc_swap::ArcSwap;
use http::HeaderValue;
use thiserror::Error;
use wasmfn_crds::token::{KeyLengthError, MasterKey, Purpose, equal};

/// How often the file is looked at. The kubelet itself takes up to a minute to bring a change.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The master key cannot be used.
#[derive(Debug, Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("cannot read the master key from {path}: is the Secret `wasmfn-master-key` mounted?")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is no key.
    #[error("the master key is unusable")]
    Key(#[from] KeyLengthError),
}

/// Tokens by namespace.
#[derive(Debug)]
pub struct Tokens {
    current: ArcSwap<Generation>,
}

#[derive(Debug)]
struct Generation {
    bytes: Vec<u8>,
    key: MasterKey,
    data: RwLock<HashMap<String, HeaderValue>>,
}

impl Generation {
    fn new(bytes: Vec<u8>) -> Result<Self, KeyLengthError> {
        Ok(Self {
            key: MasterKey::new(&bytes)?,
            bytes,
            data: RwLock::default(),
        })
    }
}

impl Tokens {
    /// Takes the key's bytes.
    ///
    /// # Errors
    /// [`KeyLengthError`] unless there are as many as a key has.
    pub fn new(bytes: Vec<u8>) -> Result<Self, KeyLengthError> {
        Ok(Self {
            current: ArcSwap::from_pointee(Generation::new(bytes)?),
        })
    }

    /// Reads the key's file.
    ///
    /// # Errors
    /// [`TokenError`], which names the file.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        Ok(Self::new(read(path)?)?)
    }

    /// The token that a runtime pod of `namespace` asks for with each request.
    #[must_use]
    pub fn data(&self, namespace: &str) -> HeaderValue {
        let generation = self.current.load();
        let known = generation
            .data
            .read()
            .expect("nothing panics while it holds this lock")
            .get(namespace)
            .cloned();
        known.unwrap_or_else(|| {
            let token = generation.key.derive(Purpose::Data, namespace);
            let mut value = HeaderValue::try_from(token).expect("tokens are hexadecimal digits");
            value.set_sensitive(true);
            generation
                .data
                .write()
                .expect("nothing panics while it holds this lock")
                .insert(namespace.to_owned(), value.clone());
            value
        })
    }

    /// Whether `token` opens the admin port of wasmfn's own parts in `namespace`.
    #[must_use]
    pub fn is_admin(&self, namespace: &str, token: &[u8]) -> bool {
        let expected = self.current.load().key.derive(Purpose::Admin, namespace);
        equal(expected.as_bytes(), token)
    }

    /// Takes a new key if it is one. Returns whether it differs from the one before.
    ///
    /// # Errors
    /// [`KeyLengthError`]; the key before stays.
    pub fn replace(&self, bytes: Vec<u8>) -> Result<bool, KeyLengthError> {
        if self.current.load().bytes == bytes {
            return Ok(false);
        }
        self.current.store(Arc::new(Generation::new(bytes)?));
        Ok(true)
    }

    /// Follows the file for ever.
    pub async fn follow(&self, path: &Path) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let replaced = read(path).and_then(|bytes| Ok(self.replace(bytes)?));
            match replaced {
                Ok(true) => tracing::info!("the master key has changed"),
                Ok(false) => {}
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "keeping the master key that was read before"
                ),
            }
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TokenError> {
    std::fs::read(path).map_err(|source| TokenError::Read {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_namespace_has_its_token_of_the_current_key() {
        let tokens = Tokens::new(vec![1; 32]).unwrap();
        let before = tokens.data("a");
        assert_eq!(before, tokens.data("a"));
        assert_ne!(before, tokens.data("b"));
        assert!(!tokens.replace(vec![1; 32]).unwrap());
        assert!(tokens.replace(vec![2; 5]).is_err());
        assert_eq!(before, tokens.data("a"), "a bad key changes nothing");
        assert!(tokens.replace(vec![2; 32]).unwrap());
        assert_ne!(before, tokens.data("a"));
    }

    #[test]
    fn the_admin_token_is_checked() {
        let key = MasterKey::new(&[1; 32]).unwrap();
        let tokens = Tokens::new(vec![1; 32]).unwrap();
        let token = key.derive(Purpose::Admin, "wasmfn");
        assert!(tokens.is_admin("wasmfn", token.as_bytes()));
        assert!(!tokens.is_admin("other", token.as_bytes()));
        assert!(!tokens.is_admin("wasmfn", b""));
    }
}
