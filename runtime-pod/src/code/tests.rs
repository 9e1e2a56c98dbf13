use std::{fs, io::Write, path::Path, sync::Arc};

use super::{text::Text, *};
use crate::{
    budget::Budget,
    command::contract::Counting,
    engine::{EngineSet, Guest, Target, precompile},
    samples,
    store::CodeStore,
};

/// More than all modules of a test cost.
const MUCH: u64 = 1 << 30;

struct World {
    engines: Arc<EngineSet>,
    seal: Arc<Seal>,
    budget: Arc<Budget>,
}

impl World {
    fn new() -> Self {
        let budget = Budget::new(MUCH);
        Self {
            engines: EngineSet::new(1, Arc::clone(&budget), false).unwrap(),
            seal: Arc::new(Seal::of_process()),
            budget,
        }
    }

    fn cache(&self, folder: &Path, budget_bytes: u64) -> Arc<CodeCache> {
        let store = CodeStore::open(folder, Arc::clone(&self.seal)).unwrap();
        CodeCache::new(Arc::clone(&self.engines), store, budget_bytes).unwrap()
    }
}

/// Makes code of a module, and waits until it is stored.
async fn make(cache: &Arc<CodeCache>, digest: &str, code: &[u8]) -> Arc<Code> {
    let draft = cache.draft(digest, Counting::default()).unwrap();
    draft.writer().unwrap().write_all(code).unwrap();
    let (told, stored) = tokio::sync::oneshot::channel::<()>();
    let code = cache.take_made(digest, draft, target(), told).unwrap();
    assert!(stored.await.is_err());
    code
}

fn target() -> Target {
    Target::of(&samples::handler(), Counting::default()).unwrap()
}

fn compiled() -> Vec<u8> {
    precompile(&samples::handler(), target()).unwrap()
}

fn large() -> Vec<u8> {
    precompile(&samples::large_handler(), target()).unwrap()
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test]
async fn code_that_is_let_go_is_mapped_again_when_it_is_asked_for() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let cache = world.cache(folder.path(), MUCH);
    let code = make(&cache, "sha256:a", &compiled()).await;
    let first = code.module().unwrap();
    assert!(cache.mapped_bytes() > 0);
    code.unmap();
    assert!(!code.is_mapped());
    assert_eq!(cache.mapped_bytes(), 0);
    assert!(world.budget.used_bytes() > 0, "a request still uses it");
    drop(first);
    assert_eq!(world.budget.used_bytes(), 0);

    let again = code.module().unwrap();
    assert_eq!(again.digest(), "sha256:a");
    assert!(Arc::ptr_eq(&again, &code.module().unwrap()));
    drop(again);
    drop(code);
    assert_eq!((cache.mapped_bytes(), world.budget.used_bytes()), (0, 0));
}

#[tokio::test]
async fn a_restarted_process_finds_what_was_made_before() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    make(&world.cache(folder.path(), MUCH), "sha256:a", &compiled()).await;
    let restarted = world.cache(folder.path(), MUCH);
    assert!(restarted.find("sha256:b", Counting::default()).is_none());
    let code = restarted.find("sha256:a", Counting::default()).unwrap();
    assert_eq!(code.digest(), "sha256:a");
    code.module().unwrap();
}

#[tokio::test]
async fn what_is_gone_while_it_is_not_mapped_is_lost() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let cache = world.cache(folder.path(), MUCH);
    let code = make(&cache, "sha256:a", &compiled()).await;
    for file in files(folder.path()) {
        fs::remove_file(file).unwrap();
    }
    code.module().unwrap();
    code.unmap();
    let waiting = tokio::spawn({
        let code = Arc::clone(&code);
        async move { code.lost().await }
    });
    assert_eq!(code.module().unwrap_err(), Lost);
    waiting.await.unwrap();
    // Also for those who come later.
    code.lost().await;
    assert!(code.is_lost());
}

#[tokio::test]
async fn what_wasmtime_refuses_is_removed() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let cache = world.cache(folder.path(), MUCH);
    let mut other = wasmtime::Config::new();
    other.epoch_interruption(false);
    let other = wasmtime::Engine::new(&other).unwrap();
    let foreign = other.precompile_component(&samples::handler()).unwrap();
    for code in [&foreign[..], b"no code at all"] {
        let draft = cache.draft("sha256:a", Counting::default()).unwrap();
        draft.writer().unwrap().write_all(code).unwrap();
        let (draft, code) = cache.store().seal(draft, target()).unwrap();
        assert!(cache.store().keep(&draft, code.trailer()));
        assert_eq!(files(folder.path()).len(), 1);
        assert!(cache.find("sha256:a", Counting::default()).is_none());
        assert_eq!(files(folder.path()).len(), 0);
    }
}

#[tokio::test]
async fn a_sibling_without_the_seal_is_not_believed() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let cache = world.cache(folder.path(), MUCH);
    let draft = cache.draft("sha256:a", Counting::default()).unwrap();
    draft.writer().unwrap().write_all(&compiled()).unwrap();
    let code = draft.writer().unwrap();
    assert!(cache.store().check_seal(draft.key(), &code).is_err());
    drop(draft);
    assert_eq!(files(folder.path()).len(), 0);
}

#[tokio::test]
async fn no_more_is_mapped_than_may_be() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let code = compiled();
    let one = make(&world.cache(folder.path(), MUCH), "sha256:0", &code).await;
    let bytes = one.module().unwrap().memory_bytes();
    // A quarter of the budget is for mapped modules: here, two and a half of them.
    let cache = world.cache(folder.path(), 10 * bytes);
    let mut codes = Vec::new();
    for digit in 1..=3 {
        codes.push(make(&cache, &format!("sha256:{digit}"), &code).await);
    }
    let mapped =
        |codes: &[Arc<Code>]| -> Vec<bool> { codes.iter().map(|code| code.is_mapped()).collect() };
    assert_eq!(mapped(&codes), [false, true, true]);
    codes[1].module().unwrap();
    codes[0].module().unwrap();
    assert_eq!(mapped(&codes), [true, true, false]);
    assert!(cache.mapped_bytes() <= 10 * bytes / 4);
}

#[tokio::test]
async fn without_a_folder_code_is_mapped_again_from_memory() {
    let world = World::new();
    let store = CodeStore::nowhere(Arc::clone(&world.seal));
    let cache = CodeCache::new(Arc::clone(&world.engines), store, MUCH).unwrap();
    let code = make(&cache, "sha256:a", &compiled()).await;
    code.unmap();
    code.module().unwrap();
}

/// The text of a file that holds code as the compiler made it.
fn text_of(code: &[u8]) -> (std::ops::Range<usize>, &[u8]) {
    let file = tempfile::tempfile().unwrap();
    (&file).write_all(code).unwrap();
    let range = text::find(&file).unwrap();
    let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
    (range.clone(), &code[range])
}

#[tokio::test]
async fn a_text_that_was_split_off_is_where_it_was_once_it_is_mapped() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let cache = world.cache(folder.path(), MUCH);
    let original = large();
    let (range, text) = text_of(&original);
    let made = make(&cache, "sha256:a", &original).await;
    let found = world
        .cache(folder.path(), MUCH)
        .find("sha256:a", Counting::default());
    for code in [made, found.unwrap()] {
        let module = code.module().unwrap();
        let Guest::Proxy(proxy) = module.guest() else {
            panic!("it is a proxy")
        };
        assert!(proxy.instance_pre().component().text() == text);
    }
    let key = cache.key("sha256:a", Counting::default());
    let rest = fs::read(folder.path().join(key.to_string())).unwrap();
    assert!(rest[..range.start] == original[..range.start]);
    assert!(rest[range.clone()].iter().all(|byte| *byte == 0));
    assert!(rest[range.end..original.len()] == original[range.end..]);
}

#[tokio::test]
async fn a_text_goes_nowhere_but_where_the_code_has_its_own() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let cache = world.cache(folder.path(), MUCH);
    let original = large();
    make(&cache, "sha256:a", &original).await;
    let key = cache.key("sha256:a", Counting::default());
    let code = cache.store().find(&key).unwrap();
    let (text, file) = code.text().unwrap();
    let right = (text.at, text.bytes);
    let page = pages::PAGE_BYTES;
    let others = [
        (right.0 + page, right.1 - page),
        (right.0 - page, right.1 + page),
        (right.0, right.1 - page),
        (1 << 62, right.1),
    ];
    for (at, bytes) in others.into_iter().chain([right]) {
        let text = Text { at, bytes, ..*text };
        let moved = CodeFile::new(
            code.file().try_clone().unwrap(),
            code.bytes(),
            code.target(),
            Some((text, file.try_clone().unwrap())),
        );
        let linked = world.engines.link("sha256:a", &moved);
        assert_eq!(linked.is_ok(), (at, bytes) == right, "{at} {bytes}");
    }
    let short = tempfile::tempfile().unwrap();
    short.set_len(right.1 - 1).unwrap();
    let file = code.file().try_clone().unwrap();
    let moved = CodeFile::new(file, code.bytes(), code.target(), Some((*text, short)));
    assert!(world.engines.link("sha256:a", &moved).is_err());
}

#[tokio::test]
async fn code_whose_text_is_gone_waits_for_it() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let cache = world.cache(folder.path(), MUCH);
    let original = large();
    make(&cache, "sha256:a", &original).await;
    let is_text = |path: &std::path::PathBuf| path.to_str().unwrap().contains("/text-");
    let text = files(folder.path()).into_iter().find(is_text).unwrap();
    fs::remove_file(&text).unwrap();
    assert!(cache.find("sha256:a", Counting::default()).is_none());
    make(&cache, "sha256:b", &original).await;
    assert!(text.exists());
    assert!(cache.find("sha256:a", Counting::default()).is_some());
}
