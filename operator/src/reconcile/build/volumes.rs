//! Volumes of a runtime pod and where they are mounted.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{
    ConfigMapProjection, EmptyDirVolumeSource, KeyToPath, ProjectedVolumeSource, SecretProjection,
    Volume, VolumeMount, VolumeProjection,
};

use crate::reconcile::references::References;

/// Owner and group may read, others may not.
const FILE_MODE: i32 = 0o440;

pub(super) fn mounts() -> Vec<VolumeMount> {
    let mount = |name: &str, path: &str, read_only: bool| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    };
    vec![
        mount("keys", "/etc/wasmfn/keys", false),
        mount("references", "/etc/wasmfn/references", true),
        mount("state", "/var/lib/wasmfn", false),
        mount("tmp", "/tmp", false),
    ]
}

pub(super) fn volumes(references: &References) -> Vec<Volume> {
    let empty = |name: &str, medium: Option<&str>| Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            medium: medium.map(str::to_owned),
            ..EmptyDirVolumeSource::default()
        }),
        ..Volume::default()
    };
    vec![
        // The pod fills it itself (`runtime-pod/src/pod/keys.rs`).
        empty("keys", Some("Memory")),
        Volume {
            name: "references".to_owned(),
            projected: Some(ProjectedVolumeSource {
                default_mode: Some(FILE_MODE),
                sources: Some(sources(references)),
            }),
            ..Volume::default()
        },
        empty("state", None),
        empty("tmp", None),
    ]
}

/// All optional: what is missing stops its own function only.
fn sources(references: &References) -> Vec<VolumeProjection> {
    let secrets = by_name(&references.secrets)
        .into_iter()
        .map(|(name, keys)| VolumeProjection {
            secret: Some(SecretProjection {
                items: Some(items("secrets", name, &keys)),
                name: name.to_owned(),
                optional: Some(true),
            }),
            ..VolumeProjection::default()
        });
    let config_maps = by_name(&references.config_maps)
        .into_iter()
        .map(|(name, keys)| VolumeProjection {
            config_map: Some(ConfigMapProjection {
                items: Some(items("configmaps", name, &keys)),
                name: name.to_owned(),
                optional: Some(true),
            }),
            ..VolumeProjection::default()
        });
    secrets.chain(config_maps).collect()
}

fn by_name(fields: &BTreeSet<(String, String)>) -> BTreeMap<&str, Vec<&str>> {
    let mut by_name: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, key) in fields {
        by_name.entry(name).or_default().push(key);
    }
    by_name
}

fn items(folder: &str, name: &str, keys: &[&str]) -> Vec<KeyToPath> {
    keys.iter()
        .map(|key| KeyToPath {
            key: (*key).to_owned(),
            path: format!("{folder}/{name}/{key}"),
            mode: None,
        })
        .collect()
}
