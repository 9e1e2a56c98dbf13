//! The shape of the tree: small files, tiny mains, and module names that say something.

use std::path::{Path, PathBuf};

/// The longest that a file written by hand may be.
const FILE_LINES_MAX: usize = 500;
/// A `main.rs` parses, sets up telemetry, runs and gives an exit code.
const MAIN_LINES_MAX: usize = 39;
/// Written by a program: the first is checked against it by `.ci/check-chart`, the second is npm's.
const GENERATED: &[&str] = &[
    "charts/wasmfn/files/crds.yaml",
    ".ci/componentize-js/package-lock.json",
];
/// Kinds of files that people write.
const EXTENSIONS: &[&str] = &[
    "rs", "toml", "yaml", "yml", "md", "tpl", "json", "sh", "wat",
];
/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["util", "utils", "common", "helper", "helpers", "misc"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the workspace")
        .to_owned()
}

/// Files below `folder`, as paths from the workspace's root; build outputs and git's own left out.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the folder can be read") {
        let entry = entry.expect("the entry can be read");
        let name = entry.file_name();
        let kind = entry.file_type().expect("the entry has a type");
        if kind.is_dir() {
            if name != "target" && name != "node_modules" && name != ".git" {
                files(&entry.path(), found);
            }
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
}

fn written_by_hand() -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(&root(), &mut found);
    found.retain(|path| {
        let name = path.strip_prefix(root()).expect("it lies below the root");
        let script = name.starts_with(".ci");
        let known = path
            .extension()
            .and_then(|extension| extension.to_str())
            .is_some_and(|extension| EXTENSIONS.contains(&extension));
        (script || known)
            && !GENERATED
                .iter()
                .any(|generated| name == Path::new(generated))
    });
    assert!(found.len() > 50, "only {} files found", found.len());
    found
}

fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .lines()
        .count()
}

fn longer_than(limit: usize, paths: impl Iterator<Item = PathBuf>) -> Vec<(PathBuf, usize)> {
    paths
        .map(|path| {
            let lines = lines(&path);
            (path, lines)
        })
        .filter(|(_, lines)| *lines > limit)
        .collect()
}

#[test]
fn no_file_is_long() {
    let long = longer_than(FILE_LINES_MAX, written_by_hand().into_iter());
    assert!(
        long.is_empty(),
        "over {FILE_LINES_MAX} lines: {long:?}; split them by idea"
    );
}

#[test]
fn mains_are_tiny() {
    let mains: Vec<PathBuf> = written_by_hand()
        .into_iter()
        .filter(|path| path.ends_with("src/main.rs"))
        .collect();
    assert!(!mains.is_empty());
    let long = longer_than(MAIN_LINES_MAX, mains.into_iter());
    assert!(
        long.is_empty(),
        "over {MAIN_LINES_MAX} lines: {long:?}; move the work into the library"
    );
}

#[test]
fn modules_are_named_after_what_they_hold() {
    let empty: Vec<PathBuf> = written_by_hand()
        .into_iter()
        .filter(|path| {
            path.with_extension("")
                .components()
                .any(|part| EMPTY_NAMES.iter().any(|name| part.as_os_str() == *name))
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect();
    assert!(empty.is_empty(), "named after nothing: {empty:?}");
}
