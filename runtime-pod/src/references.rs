//! Fields of Secrets and `ConfigMap`s that functions name: files of a volume that the kubelet
//! projects and keeps up to date.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::watch, time::interval};
use wasmfn_crds::spec::SecretReference;

use crate::{loader::LoadError, registry::Credentials};

/// How often the volume is looked at. The kubelet itself takes up to a minute.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// The link that the kubelet swaps when anything in the volume changed.
const KUBELET_LINK: &str = "..data";

/// Field of a pull secret.
const PULL_SECRET_FIELD: &str = ".dockerconfigjson";

/// A field that a function names is not there, or cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MissingReference {
    /// It does not exist.
    #[error("{kind} `{object}` has no field `{key}`, or does not exist")]
    Absent {
        /// `Secret` or `ConfigMap`.
        kind: &'static str,
        /// Name of the object.
        object: String,
        /// Name of the field.
        key: String,
    },
    /// It is no text.
    #[error("field `{key}` of {kind} `{object}` must be UTF-8 text")]
    NotText {
        /// `Secret` or `ConfigMap`.
        kind: &'static str,
        /// Name of the object.
        object: String,
        /// Name of the field.
        key: String,
    },
}

/// A kind of object, and its folder in the volume.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    folder: &'static str,
}

const SECRET: Kind = Kind {
    name: "Secret",
    folder: "secrets",
};
const CONFIG_MAP: Kind = Kind {
    name: "ConfigMap",
    folder: "configmaps",
};

/// What functions may refer to.
#[derive(Debug)]
pub struct References {
    root: Option<PathBuf>,
    revision: watch::Sender<u64>,
}

impl References {
    /// The volume under `root`; without one nothing can be referred to.
    #[must_use]
    pub fn new(root: Option<PathBuf>) -> Arc<Self> {
        let revision = root.as_deref().map(fingerprint).unwrap_or_default();
        Arc::new(Self {
            root,
            revision: watch::channel(revision).0,
        })
    }

    /// A number that changes whenever the contents do.
    #[must_use]
    pub fn revision(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Looks for changes until dropped.
    pub async fn watch(&self) {
        let Some(root) = &self.root else { return };
        let mut looks = interval(LOOK_INTERVAL);
        loop {
            looks.tick().await;
            self.look(root);
        }
    }

    fn look(&self, root: &Path) {
        let current = fingerprint(root);
        self.revision.send_if_modified(|revision| {
            let changed = *revision != current;
            *revision = current;
            changed
        });
    }

    /// A Secret's field, as text.
    ///
    /// # Errors
    /// [`MissingReference`] with the names of both.
    pub fn secret_text(&self, object: &str, key: &str) -> Result<String, MissingReference> {
        self.text(SECRET, object, key)
    }

    /// A `ConfigMap`'s field, as text.
    ///
    /// # Errors
    /// [`MissingReference`] with the names of both.
    pub fn config_map_text(&self, object: &str, key: &str) -> Result<String, MissingReference> {
        self.text(CONFIG_MAP, object, key)
    }

    /// Credentials of pull secrets, in their order.
    ///
    /// # Errors
    /// [`LoadError`] if one is missing or cannot be read.
    pub fn credentials(&self, secrets: &[SecretReference]) -> Result<Vec<Credentials>, LoadError> {
        let mut credentials = Vec::new();
        for secret in secrets {
            let bytes = self.bytes(SECRET, &secret.name, PULL_SECRET_FIELD)?;
            credentials.push(Credentials::from_docker_config(&bytes)?);
        }
        Ok(credentials)
    }

    fn text(&self, kind: Kind, object: &str, key: &str) -> Result<String, MissingReference> {
        String::from_utf8(self.bytes(kind, object, key)?).map_err(|_| MissingReference::NotText {
            kind: kind.name,
            object: object.to_owned(),
            key: key.to_owned(),
        })
    }

    fn bytes(&self, kind: Kind, object: &str, key: &str) -> Result<Vec<u8>, MissingReference> {
        let absent = || MissingReference::Absent {
            kind: kind.name,
            object: object.to_owned(),
            key: key.to_owned(),
        };
        let is_name =
            |text: &str| !text.is_empty() && text != "." && text != ".." && !text.contains('/');
        let root = self
            .root
            .as_ref()
            .filter(|_| is_name(object) && is_name(key))
            .ok_or_else(absent)?;
        std::fs::read(root.join(kind.folder).join(object).join(key)).map_err(|_| absent())
    }
}

/// A number for the contents of the volume: of the kubelet's link where there is one, else of all
/// files.
fn fingerprint(root: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    match std::fs::read_link(root.join(KUBELET_LINK)) {
        Ok(link) => link.hash(&mut hasher),
        // A volume that is not there, or not fully there yet, has contents like any other.
        Err(_) => drop(hash_folder(root, &mut hasher)),
    }
    hasher.finish()
}

fn hash_folder(folder: &Path, hasher: &mut DefaultHasher) -> io::Result<()> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<_>>()?;
    paths.sort();
    for path in paths {
        path.hash(hasher);
        if path.is_dir() {
            hash_folder(&path, hasher)?;
        } else {
            std::fs::read(&path)?.hash(hasher);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let secret = root.path().join("secrets/token");
        std::fs::create_dir_all(&secret).unwrap();
        std::fs::write(secret.join("value"), "first").unwrap();
        std::fs::write(secret.join("binary"), [0xff, 0xfe]).unwrap();
        root
    }

    #[test]
    fn reads_fields_and_names_those_that_are_missing() {
        let root = volume();
        let references = References::new(Some(root.path().to_owned()));
        assert_eq!(references.secret_text("token", "value").unwrap(), "first");
        let message = |result: Result<String, MissingReference>| result.unwrap_err().to_string();
        assert_eq!(
            message(references.secret_text("token", "other")),
            "Secret `token` has no field `other`, or does not exist"
        );
        assert_eq!(
            message(references.config_map_text("token", "value")),
            "ConfigMap `token` has no field `value`, or does not exist"
        );
        assert_eq!(
            message(references.secret_text("token", "binary")),
            "field `binary` of Secret `token` must be UTF-8 text"
        );
        assert!(references.secret_text("..", "secrets").is_err());
        assert!(references.secret_text("../secrets", "token").is_err());
    }

    #[test]
    fn changed_contents_are_noticed() {
        let root = volume();
        let references = References::new(Some(root.path().to_owned()));
        let mut revision = references.revision();
        references.look(root.path());
        assert!(!revision.has_changed().unwrap());
        std::fs::write(root.path().join("secrets/token/value"), "second").unwrap();
        references.look(root.path());
        assert!(revision.has_changed().unwrap());
        revision.mark_unchanged();
        std::os::unix::fs::symlink("..2026", root.path().join(KUBELET_LINK)).unwrap();
        references.look(root.path());
        assert!(revision.has_changed().unwrap());
    }
}
