//! What the pages say of tests has to be so: each test that they name exists.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// Pages whose claims name their tests.
const PAGES: [&str; 2] = ["docs/limits.md", "docs/security.md"];
/// Test names are sentences: at least so many words.
const LEAST_WORDS: usize = 4;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Names of all functions in Rust files under `folder`.
fn functions(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                functions(&path, names);
            }
        } else if name.ends_with(".rs") {
            let text = std::fs::read_to_string(&path).expect("text");
            let lines = text.lines().filter_map(|line| line.split_once("fn "));
            names.extend(lines.filter_map(|(_, rest)| {
                let (name, _) = rest.split_once('(')?;
                Some(name.to_owned())
            }));
        }
    }
}

/// What stands between backticks and reads like the name of a test.
fn named(page: &str) -> BTreeSet<&str> {
    let is_name = |text: &&str| {
        text.split('_').count() >= LEAST_WORDS
            && text.chars().all(|character| {
                character.is_ascii_lowercase() || character.is_ascii_digit() || character == '_'
            })
            && !text.starts_with("wasmfn_")
    };
    page.split('`').skip(1).step_by(2).filter(is_name).collect()
}

#[test]
fn each_test_that_a_page_names_exists() {
    let mut known = BTreeSet::new();
    functions(&root(), &mut known);
    for page in PAGES {
        let text = std::fs::read_to_string(root().join(page)).expect("the page");
        let named = named(&text);
        assert!(named.len() > 10, "{page} names {} tests", named.len());
        let missing: Vec<_> = named
            .iter()
            .filter(|name| !known.contains(**name))
            .collect();
        assert!(
            missing.is_empty(),
            "{page} names tests that do not exist: {missing:?}"
        );
    }
}
