use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::{client::ask, *};
use crate::{store::ModuleStore, tokens::Tokens};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

struct Sibling {
    address: SocketAddr,
    _folder: TempDir,
}

/// A sibling that has one module.
async fn sibling(token: &str) -> Sibling {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("module-token"), token).unwrap();
    let store = ModuleStore::open(&folder.path().join("modules")).unwrap();
    store.write(DIGEST, Bytes::from_static(b"module")).await;
    let tokens = Tokens::open(folder.path().to_owned());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = router(store, Arc::clone(&tokens));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Sibling {
        address,
        _folder: folder,
    }
}

#[tokio::test]
async fn a_sibling_passes_on_what_it_has() {
    let sibling = sibling("secret").await;
    let bytes = ask(sibling.address, "secret", DIGEST, 1024).await;
    assert_eq!(bytes.unwrap(), "module");
    let other = DIGEST.replace('e', "f");
    assert_eq!(ask(sibling.address, "secret", &other, 1024).await, None);
}

#[tokio::test]
async fn who_has_no_token_gets_nothing() {
    let sibling = sibling("secret").await;
    assert_eq!(ask(sibling.address, "guess", DIGEST, 1024).await, None);
    assert_eq!(ask(sibling.address, "", DIGEST, 1024).await, None);
}

#[tokio::test]
async fn what_is_too_large_is_not_taken() {
    let sibling = sibling("secret").await;
    assert_eq!(ask(sibling.address, "secret", DIGEST, 5).await, None);
}

#[test]
fn the_signature_binds_token_digest_and_bytes() {
    let signed = signature("token", DIGEST, b"module");
    assert_ne!(signed, signature("other", DIGEST, b"module"));
    assert_ne!(signed, signature("token", "sha256:0", b"module"));
    assert_ne!(signed, signature("token", DIGEST, b"modul"));
}
