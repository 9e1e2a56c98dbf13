use std::{
    fs::File,
    io::{self, Read, Seek, Write},
    net::SocketAddr,
    os::unix::fs::FileExt,
    sync::Arc,
};

use bytes::Bytes;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{client::ask, *};
use crate::{
    budget::Budget,
    code::{
        CodeCache, CodeKey, Seal,
        pages::CHUNK_BYTES,
        text::{Text, TextDigest},
    },
    command::contract::Counting,
    engine::{EngineSet, Target},
    samples,
    store::{CodeStore, ModuleStore, check_text},
    tokens::Tokens,
};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

struct Sibling {
    address: SocketAddr,
    code: Arc<CodeCache>,
    claims: Arc<Claims>,
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
    let seal = Arc::new(Seal::of_process());
    let code = CodeStore::open(&folder.path().join("code"), seal).unwrap();
    let engines = EngineSet::new(1, Budget::new(1 << 30), false).unwrap();
    let claims = Arc::new(Claims::default());
    let code = CodeCache::new(engines, code, 1 << 30).unwrap();
    let router = router(Offer {
        modules: store,
        code: Arc::clone(&code),
        claims: Arc::clone(&claims),
        tokens,
        asked: Arc::default(),
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    Sibling {
        address,
        code,
        claims,
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

/// One who asks `siblings`, and shows `token`.
fn asking(siblings: &[&Sibling], token: &str) -> Siblings {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("module-token"), token).unwrap();
    let addresses = siblings.iter().map(|sibling| sibling.address).collect();
    Siblings::at(addresses, Tokens::open(folder.path().to_owned()))
}

/// What asking `siblings` for code comes to, and the bytes that came.
async fn copy(siblings: &[&Sibling], token: &str, key: &CodeKey) -> (Copied<()>, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy");
    let file = File::create(&path).unwrap();
    let copied = asking(siblings, token)
        .copy_code(key, file, |_: &_| Ok(()))
        .await;
    (copied, std::fs::read(path).unwrap())
}

fn store(sibling: &Sibling, bytes: &[u8]) -> CodeKey {
    let draft = sibling.code.draft(DIGEST, Counting::default()).unwrap();
    draft.writer().unwrap().write_all(bytes).unwrap();
    let target = Target::of(&samples::handler(), Counting::default()).unwrap();
    let (draft, code) = sibling.code.store().seal(draft, target).unwrap();
    assert!(sibling.code.store().keep(&draft, code.trailer()));
    *draft.key()
}

#[tokio::test]
async fn code_is_copied_from_whoever_has_it_with_its_seal() {
    let (without, with) = (sibling("secret").await, sibling("secret").await);
    let bytes = vec![7; 2 * CHUNK_BYTES + 1];
    let key = store(&with, &bytes);
    let (copied, sent) = copy(&[&without, &with], "secret", &key).await;
    assert_eq!(copied, Copied::Sent(()));
    assert_eq!(sent.len(), bytes.len() + 96);
    assert_eq!(sent[..bytes.len()], bytes);

    assert_eq!(copy(&[&with], "guess", &key).await.0, Copied::Nobody);
    assert_eq!(copy(&[&without], "secret", &key).await.0, Copied::Nobody);
    assert_eq!(copy(&[], "secret", &key).await.0, Copied::Nobody);
}

#[tokio::test]
async fn what_is_not_right_is_had_from_another_sibling() {
    let (wrong, right) = (sibling("secret").await, sibling("secret").await);
    let key = store(&wrong, b"wrong");
    assert_eq!(store(&right, b"right"), key);
    let check = |file: &File| {
        let mut code = [0; 5];
        file.read_exact_at(&mut code, 0)?;
        let is_right = code == *b"right";
        is_right.then_some(code).ok_or(io::ErrorKind::Other.into())
    };
    // Whoever answers first is asked first: either may be.
    for _ in 0..8 {
        let siblings = asking(&[&wrong, &right], "secret");
        let copied = siblings
            .copy_code(&key, tempfile::tempfile().unwrap(), check)
            .await;
        assert_eq!(copied, Copied::Sent(*b"right"));
    }
    let siblings = asking(&[&wrong], "secret");
    let copied = siblings
        .copy_code(&key, tempfile::tempfile().unwrap(), check)
        .await;
    assert_eq!(copied, Copied::Nobody);
}

#[tokio::test]
async fn a_text_is_copied_by_its_digest() {
    let sibling = sibling("secret").await;
    // A page of zeros at its end is not sent.
    let bytes = [vec![7; 2 * CHUNK_BYTES], vec![0; 4096]].concat();
    let original = tempfile::tempfile().unwrap();
    (&original).write_all(&bytes).unwrap();
    let length = bytes.len() as u64;
    let text = Text {
        at: 0,
        bytes: length,
        digest: TextDigest::of(&original, &(0..length)).unwrap(),
    };
    let copies = |token: &'static str, text: Text| {
        let siblings = asking(&[&sibling], token);
        async move {
            let mut copy = tempfile::tempfile().unwrap();
            let check = move |copy: &_| check_text(&text, copy);
            let file = copy.try_clone().unwrap();
            let is_copied = siblings.copy_text(&text, file, check).await;
            let mut bytes = Vec::new();
            copy.rewind().unwrap();
            copy.read_to_end(&mut bytes).unwrap();
            is_copied.then_some(bytes)
        }
    };
    assert_eq!(copies("secret", text).await, None, "it is not there yet");
    let texts = sibling.code.store().texts().unwrap();
    let draft = texts.draft(&text).unwrap();
    draft.writer().unwrap().write_all(&bytes).unwrap();
    texts.accept(draft).unwrap();
    assert!(copies("secret", text).await == Some(bytes));
    assert_eq!(copies("guess", text).await, None);
    let short = Text {
        bytes: length - 4097,
        ..text
    };
    assert_eq!(copies("secret", short).await, None, "more is not taken");
}

/// A sibling that goes away while it sends code.
async fn breaks_off() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // One record of 400 bytes, and a part of one of 900 behind it.
    let records = [0, 400].map(|at: u64| {
        let length = 400 + 500 * u32::from(at > 0);
        [&at.to_le_bytes()[..], &length.to_le_bytes(), &[1; 400]].concat()
    });
    let records = records.concat();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 4000\r\n\r\n";
        stream.write_all(head).await.unwrap();
        stream.write_all(&records).await.unwrap();
    });
    address
}

#[tokio::test]
async fn nothing_is_left_of_code_that_broke_off() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("module-token"), "secret").unwrap();
    let tokens = Tokens::open(folder.path().to_owned());
    let sibling = sibling("secret").await;
    let key = store(&sibling, b"code");
    let path = folder.path().join("copy");
    let file = File::create(&path).unwrap();
    let both = [
        (breaks_off().await, Copied::Nobody, 400),
        (sibling.address, Copied::Sent(()), 4 + 96),
    ];
    for (address, expected, length) in both {
        let siblings = Siblings::at(vec![address], Arc::clone(&tokens));
        let file = file.try_clone().unwrap();
        let copied = siblings.copy_code(&key, file, |_: &_| Ok(())).await;
        assert_eq!(copied, expected);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), length);
    }
}

#[tokio::test]
async fn code_that_a_sibling_makes_is_waited_for() {
    let sibling = sibling("secret").await;
    let key = sibling.code.key(DIGEST, Counting::default());
    let claim = sibling.claims.claim(key);
    // Both have the same address here: neither waits for the other that has not begun.
    assert_eq!(copy(&[&sibling], "secret", &key).await.0, Copied::Nobody);
    claim.making();
    assert_eq!(copy(&[&sibling], "secret", &key).await.0, Copied::Soon);
    store(&sibling, b"code");
    assert_eq!(copy(&[&sibling], "secret", &key).await.0, Copied::Sent(()));
}
