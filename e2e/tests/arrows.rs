//! Who may depend on whom: the table of `docs/architecture.md`, held against `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde::Deserialize;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `dev` or `build`; none for an ordinary one.
    kind: Option<String>,
    optional: bool,
    uses_default_features: bool,
    features: Vec<String>,
}

impl Package {
    fn ordinary(&self) -> impl Iterator<Item = &Dependency> {
        self.dependencies
            .iter()
            .filter(|dependency| dependency.kind.is_none())
    }
}

fn packages() -> BTreeMap<String, Package> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Metadata = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    metadata
        .packages
        .into_iter()
        .map(|package| (package.name.clone(), package))
        .collect()
}

/// Each crate, and the crates of ours that it may know, in whatever way.
const ARROWS: &[(&str, &[&str])] = &[
    ("wasmfn-crds", &[]),
    ("wasmfn-report", &[]),
    ("wasmfn-connection", &[]),
    ("wasmfn-api-server", &[]),
    ("wasmfn-autoscale", &[]),
    (
        "wasmfn-operator",
        &[
            "wasmfn-api-server",
            "wasmfn-crds",
            "wasmfn-report",
            "wasmfn-autoscale",
        ],
    ),
    (
        "wasmfn-gateway",
        &[
            "wasmfn-api-server",
            "wasmfn-connection",
            "wasmfn-crds",
            "wasmfn-report",
        ],
    ),
    (
        "wasmfn-runtime",
        &[
            "wasmfn-api-server",
            "wasmfn-connection",
            "wasmfn-crds",
            "wasmfn-report",
        ],
    ),
    (
        "wasmfn",
        &["wasmfn-crds", "wasmfn-report", "wasmfn-runtime"],
    ),
    ("wasmfn-e2e", &["wasmfn-crds", "wasmfn-report"]),
];

/// What a crate must not link, by the beginning of the dependency's name.
const WALLS: &[(&str, &[&str])] = &[
    (
        "wasmfn-crds",
        &["tokio", "hyper", "axum", "reqwest", "wasmtime"],
    ),
    ("wasmfn-operator", &["wasmtime", "wasmparser", "oci"]),
    ("wasmfn-gateway", &["wasmtime", "wasmparser", "oci"]),
    ("wasmfn-e2e", &["wasmtime"]),
];

#[test]
fn each_crate_knows_only_the_crates_that_it_may() {
    let packages = packages();
    let listed: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    let present: BTreeSet<&str> = packages.keys().map(String::as_str).collect();
    assert_eq!(present, listed, "the workspace's crates and this table");
    for (name, allowed) in ARROWS {
        let known: BTreeSet<&str> = packages[*name]
            .dependencies
            .iter()
            .map(|dependency| dependency.name.as_str())
            .filter(|dependency| present.contains(dependency))
            .collect();
        let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
        let forbidden: Vec<_> = known.difference(&allowed).collect();
        assert!(forbidden.is_empty(), "{name} must not know {forbidden:?}");
    }
}

#[test]
fn no_crate_links_what_another_is_there_for() {
    let packages = packages();
    for (name, walls) in WALLS {
        for dependency in packages[*name].ordinary() {
            assert!(
                !walls.iter().any(|wall| dependency.name.starts_with(wall)),
                "{name} must not link {}",
                dependency.name
            );
        }
    }
}

#[test]
fn the_decision_is_pure_and_the_report_is_only_data() {
    let packages = packages();
    let names = |package: &str| -> Vec<String> {
        packages[package]
            .ordinary()
            .map(|dependency| dependency.name.clone())
            .collect()
    };
    assert_eq!(names("wasmfn-autoscale"), Vec::<String>::new());
    assert_eq!(names("wasmfn-report"), ["serde"]);
}

#[test]
fn the_api_has_no_client() {
    let packages = packages();
    let kube = packages["wasmfn-crds"]
        .ordinary()
        .find(|dependency| dependency.name == "kube")
        .expect("the API derives its resource with kube");
    assert!(!kube.uses_default_features);
    for feature in ["client", "runtime", "rustls-tls"] {
        assert!(
            !kube.features.iter().any(|enabled| enabled == feature),
            "wasmfn-crds must not turn on kube's `{feature}`"
        );
    }
}

#[test]
fn the_runtime_library_does_without_kubernetes() {
    let packages = packages();
    let kube = packages["wasmfn-runtime"]
        .ordinary()
        .find(|dependency| dependency.name == "kube")
        .expect("the pod's binary watches its functions with kube");
    assert!(kube.optional, "only the binary's feature may bring kube in");
    let runtime = packages["wasmfn"]
        .ordinary()
        .find(|dependency| dependency.name == "wasmfn-runtime")
        .expect("the CLI serves with the runtime library");
    assert!(!runtime.uses_default_features);
    assert!(!runtime.features.iter().any(|feature| feature == "pod"));
}
