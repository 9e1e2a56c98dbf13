//! Machine code that functions share.
#![allow(clippy::unwrap_used, reason = "what panics here fails a test")]

mod support;

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf, sync::Arc};

use serde_json::json;
use support::{Plan, World, guests, large::with_large_text, no_compiler};
use wasmfn_runtime::metrics::LoadedFrom;

const NAMES: [&str; 3] = ["one", "two", "three"];
const MIB: u64 = 1 << 20;

/// A pod that serves functions whose modules differ in nothing but data.
async fn alike() -> World {
    let mut world = World::new().await;
    for name in NAMES {
        let image = format!("r/{name}:1");
        let module = with_large_text(&guests::bytes("v1"), name.as_bytes());
        world.registry.push(&image, module.into());
        world.serve(name, json!({ "image": image })).await;
    }
    world.stored_code(NAMES.len()).await;
    world
}

/// A pod that has the disk of one before, or can ask it.
async fn after(world: &World, plan: Plan) -> World {
    let mut restarted = World::with(plan, Arc::clone(&world.registry)).await;
    restarted.restore(world);
    restarted
}

async fn all_answer(world: &World) {
    for name in NAMES {
        world.loaded(name).await;
        assert_eq!(world.get(name, "/version").await.text, "v1\n");
    }
}

/// What files take of the disk, in bytes.
fn taken(files: &[PathBuf]) -> u64 {
    let taken = |path| fs::metadata(path).unwrap().blocks() * 512;
    files.iter().map(taken).sum()
}

fn loads(world: &World, from: LoadedFrom) -> u64 {
    world.runtime.metrics().loads(from)
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_that_were_built_alike_share_their_text() {
    let world = alike().await;
    all_answer(&world).await;
    assert_eq!(world.text_files().len(), 1);
    assert!(taken(&world.text_files()) > MIB);
    assert!(
        taken(&world.code_files()) < MIB,
        "{}",
        taken(&world.code_files())
    );
    for file in world.code_files() {
        assert!(
            file.metadata().unwrap().len() > MIB,
            "a hole is in its place"
        );
    }
    // As after a minute of quiet.
    world.runtime.unmap_all();
    all_answer(&world).await;

    let plan = Plan {
        folder: Some(Arc::clone(&world.folder)),
        compiler: no_compiler(),
        ..Plan::default()
    };
    let restarted = after(&world, plan).await;
    all_answer(&restarted).await;
    assert_eq!(loads(&restarted, LoadedFrom::Disk), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_pod_copies_code_and_the_text_that_it_shares() {
    let mut old = alike().await;
    old.registry.away(true);
    let plan = Plan {
        siblings: Some(vec![old.module_port().await]),
        compiler: no_compiler(),
        ..Plan::default()
    };
    let new = after(&old, plan).await;
    all_answer(&new).await;
    assert_eq!(loads(&new, LoadedFrom::Sibling), 3);
    new.stored_code(NAMES.len()).await;
    assert_eq!(new.text_files().len(), 1);
    assert!(taken(&new.code_files()) < MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_text_code_is_made_again() {
    for is_damaged in [false, true] {
        let mut old = alike().await;
        let [text] = &old.text_files()[..] else {
            panic!("{:?}", old.text_files())
        };
        let mut bytes = fs::read(text).unwrap();
        fs::remove_file(text).unwrap();
        if is_damaged {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(text, bytes).unwrap();
        }
        // From its sibling, it would not take what is not whole either.
        let plan = Plan {
            siblings: Some(vec![old.module_port().await]),
            ..Plan::default()
        };
        let new = after(&old, plan).await;
        all_answer(&new).await;
        // The first that is made brings the text of the others.
        assert!(loads(&new, LoadedFrom::Compiler) > 0);
        assert_eq!(new.text_files().len(), 1);

        let plan = Plan {
            folder: Some(Arc::clone(&old.folder)),
            ..Plan::default()
        };
        let restarted = after(&old, plan).await;
        all_answer(&restarted).await;
        assert!(loads(&restarted, LoadedFrom::Compiler) > 0);
        assert_eq!(restarted.text_files().len(), 1);
    }
}
