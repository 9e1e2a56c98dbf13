//! A registry that holds what a test puts on its shelf.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::StatusCode;
use sha2::{Digest, Sha256};
use wasmfn_runtime::registry::{Credentials, Registry, RegistryError, Said};

#[derive(Default)]
pub struct Shelf {
    tags: Mutex<HashMap<String, String>>,
    modules: Mutex<HashMap<String, Bytes>>,
    is_away: AtomicBool,
    pulls: AtomicUsize,
}

impl Shelf {
    /// Pushes a module under a reference, and says its digest.
    pub fn push(&self, image: &str, bytes: Bytes) -> String {
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
        self.modules.lock().unwrap().insert(digest.clone(), bytes);
        self.tags
            .lock()
            .unwrap()
            .insert(image.to_owned(), digest.clone());
        digest
    }

    /// Nobody can reach it from now on, or everybody.
    pub fn away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::SeqCst);
    }

    /// How often a module was pulled.
    pub fn pulls(&self) -> usize {
        self.pulls.load(Ordering::SeqCst)
    }

    fn find<T>(&self, what: &str, get: impl FnOnce() -> Option<T>) -> Result<T, RegistryError> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(RegistryError::Unreachable {
                registry: "registry.test".to_owned(),
                problem: "it is away".to_owned(),
            });
        }
        get().ok_or_else(|| RegistryError::NotFound {
            registry: "registry.test".to_owned(),
            what: what.to_owned(),
            said: Said {
                status: StatusCode::NOT_FOUND,
                code: None,
            },
        })
    }
}

impl Registry for Shelf {
    fn resolve<'a>(
        &'a self,
        image: &'a str,
        _credentials: &'a [Credentials],
    ) -> BoxFuture<'a, Result<String, RegistryError>> {
        let found = self.find(image, || self.tags.lock().unwrap().get(image).cloned());
        Box::pin(std::future::ready(found))
    }

    fn pull<'a>(
        &'a self,
        _image: &'a str,
        digest: &'a str,
        _credentials: &'a [Credentials],
        _max_bytes: u64,
    ) -> BoxFuture<'a, Result<Bytes, RegistryError>> {
        self.pulls.fetch_add(1, Ordering::SeqCst);
        let found = self.find(digest, || self.modules.lock().unwrap().get(digest).cloned());
        Box::pin(std::future::ready(found))
    }
}
