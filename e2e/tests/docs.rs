//! What the docs point at is there: links, and paths into the tree.

use std::path::{Path, PathBuf};

use wasmfn_crds::Reason;

/// Pages that speak of the tree.
const PAGES: &[&str] = &[
    "README.md",
    "CONTRIBUTING.md",
    "charts/wasmfn/README.md",
    "docs/architecture.md",
    "docs/contracts.md",
    "docs/decisions/README.md",
    "docs/functions.md",
    "docs/guests.md",
    "docs/limits.md",
    "docs/operating.md",
    "docs/troubleshooting.md",
];
/// Folders of the tree that such a path begins with.
const FOLDERS: &[&str] = &[
    ".ci/",
    "charts/",
    "cli/",
    "crds/",
    "docs/",
    "e2e/",
    "examples/",
    "gateway/",
    "operator/",
    "runtime-pod/",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Pieces of `text` between `open` and the next `close`.
fn between<'a>(text: &'a str, open: &'a str, close: char) -> impl Iterator<Item = &'a str> {
    text.split(open)
        .skip(1)
        .filter_map(move |rest| rest.split(close).next())
}

#[test]
fn every_reason_is_explained() {
    let text = page("docs/troubleshooting.md");
    for reason in Reason::ALL {
        let word = format!("| `{}` |", reason.as_str());
        assert!(text.contains(&word), "no line for {word}");
    }
}

#[test]
fn links_lead_somewhere() {
    let mut seen = 0;
    for name in PAGES {
        let folder = root()
            .join(name)
            .parent()
            .expect("a page lies in a folder")
            .to_owned();
        let text = page(name);
        for link in between(&text, "](", ')').filter(|link| !link.contains("://")) {
            let target = link.split('#').next().unwrap_or(link);
            assert!(folder.join(target).exists(), "{name} links to {link}");
            seen += 1;
        }
    }
    assert!(seen > 10, "only {seen} links found");
}

#[test]
fn paths_into_the_tree_exist() {
    let mut seen = 0;
    for name in PAGES {
        let text = page(name);
        let words = text.split(['`', ' ', '\n', '(', ')', ',']);
        for path in words.filter(|word| FOLDERS.iter().any(|folder| word.starts_with(folder))) {
            // Build outputs come and go.
            if path.contains("/target/") {
                continue;
            }
            assert!(root().join(path).exists(), "{name} speaks of {path}");
            seen += 1;
        }
    }
    assert!(seen > 30, "only {seen} paths found");
}

#[test]
fn every_decision_is_listed() {
    let list = page("docs/decisions/README.md");
    let folder = root().join("docs/decisions");
    for entry in std::fs::read_dir(folder).expect("the folder can be read") {
        let name = entry.expect("the entry can be read").file_name();
        let name = name.to_string_lossy();
        assert!(
            name == "README.md" || list.contains(&format!("]({name})")),
            "{name} is not listed"
        );
    }
}
