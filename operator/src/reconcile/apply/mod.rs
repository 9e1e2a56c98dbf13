//! Writes what was built: server-side apply, only where something differs, and never over an
//! object that somebody else made.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams, PostParams},
    core::PartialObjectMeta,
};
use serde_json::{Value, json};
use thiserror::Error;
use wasmfn_crds::names::{FIELD_MANAGER, MANAGED_BY, MANAGED_BY_LABEL};

use super::object::{APPLIED_ANNOTATION, Desired, Kind, ObjectKey, covers};
use crate::caches::Caches;

/// How long a write is trusted to show up in the caches.
const CACHE_LAG: Duration = Duration::from_secs(2);

/// How long a Secret that was written, and cannot be read, is trusted to be there.
const SECRET_TRUST: Duration = Duration::from_secs(300);

/// Why an object could not be brought into its shape.
#[derive(Debug, Error)]
pub enum ApplyError {
    /// Somebody else made an object of that name.
    #[error("{0} was made by somebody else; remove or rename it")]
    NameTaken(ObjectKey),
    /// The API server refused it.
    #[error("the API server refuses {key}: {message}")]
    Refused {
        /// The object.
        key: ObjectKey,
        /// The API server's sentence.
        message: String,
    },
    /// The API server could not be asked, or was too busy.
    #[error("cannot write {key}")]
    Failed {
        /// The object.
        key: ObjectKey,
        /// What went wrong.
        #[source]
        source: kube::Error,
    },
}

/// What an apply did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// Nothing: it was so already.
    Unchanged,
    /// It was written.
    Written,
}

/// Writes objects.
pub struct Applier {
    client: Client,
    caches: Arc<Caches>,
    written: Mutex<HashMap<ObjectKey, Written>>,
    locks: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// What was last written.
#[derive(Clone, Debug)]
struct Written {
    digest: String,
    generation: Option<i64>,
    at: Instant,
}

/// What to do about an object.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    /// It is as it shall be.
    Nothing,
    /// It is ours and differs.
    Write,
    /// It is not known: it may be missing, or somebody else's.
    Look,
}

fn step(live: Option<&Value>, desired: &Desired, written: Option<&Written>, now: Instant) -> Step {
    let same = written.filter(|written| written.digest == desired.digest);
    let trust = if desired.key.kind == Kind::Secret {
        SECRET_TRUST
    } else {
        CACHE_LAG
    };
    if same.is_some_and(|written| now.saturating_duration_since(written.at) < trust) {
        return Step::Nothing;
    }
    let Some(live) = live else {
        return Step::Look;
    };
    let fingerprint = &live["metadata"]["annotations"][APPLIED_ANNOTATION];
    if fingerprint.as_str() != Some(desired.digest.as_str()) {
        return Step::Write;
    }
    // The API server writes some values in another form; then the generation tells whether
    // anybody has changed the object since.
    let generation = live["metadata"]["generation"].as_i64();
    let untouched = same
        .is_some_and(|written| written.generation.is_some() && written.generation == generation);
    if untouched || covers(live, &desired.body) {
        Step::Nothing
    } else {
        Step::Write
    }
}

impl Applier {
    /// Writes through `client` what differs from `caches`.
    #[must_use]
    pub fn new(client: Client, caches: Arc<Caches>) -> Self {
        Self {
            client,
            caches,
            written: Mutex::default(),
            locks: Mutex::default(),
        }
    }

    /// Brings the objects that functions of a namespace share into their shape, one caller at a
    /// time, stage by stage: what a stage needs is there before it.
    ///
    /// # Errors
    /// The first [`ApplyError`] of a stage; later stages are not begun.
    pub async fn apply_shared(
        &self,
        namespace: &str,
        stages: &[Vec<Desired>],
    ) -> Result<Outcome, ApplyError> {
        if stages
            .iter()
            .flatten()
            .all(|desired| self.step(desired) == Step::Nothing)
        {
            return Ok(Outcome::Unchanged);
        }
        let lock = self.namespace_lock(namespace);
        let _guard = lock.lock().await;
        let mut outcome = Outcome::Unchanged;
        for stage in stages {
            let writes = stage.iter().map(|desired| self.apply(desired));
            for written in futures::future::join_all(writes).await {
                if written? == Outcome::Written {
                    outcome = Outcome::Written;
                }
            }
        }
        Ok(outcome)
    }

    /// Brings an object into its shape.
    ///
    /// # Errors
    /// [`ApplyError`]; nothing was changed then.
    pub async fn apply(&self, desired: &Desired) -> Result<Outcome, ApplyError> {
        let written = match self.step(desired) {
            Step::Nothing => return Ok(Outcome::Unchanged),
            Step::Write => self.write(desired, true).await?,
            Step::Look if desired.key.kind == Kind::Secret => self.write_secret(desired).await?,
            Step::Look => self.look_and_write(desired).await?,
        };
        tracing::info!(object = %desired.key, namespace = desired.key.namespace, "applied");
        let written = Written {
            digest: desired.digest.clone(),
            generation: written.generation,
            at: Instant::now(),
        };
        self.written().insert(desired.key.clone(), written);
        Ok(Outcome::Written)
    }

    /// An object of ours is there no more. With an account go all tokens of its namespace that may
    /// have been removed unseen.
    pub fn gone(&self, key: &ObjectKey) {
        let mut written = self.written();
        written.remove(key);
        if key.kind == Kind::ServiceAccount {
            written.retain(|other, _| other.namespace != key.namespace);
        }
    }

    fn step(&self, desired: &Desired) -> Step {
        let live = self.caches.object(&desired.key);
        let written = self.written().get(&desired.key).cloned();
        step(live.as_ref(), desired, written.as_ref(), Instant::now())
    }

    async fn look_and_write(&self, desired: &Desired) -> Result<ObjectMeta, ApplyError> {
        if self.is_ours(&desired.key).await? {
            return self.write(desired, true).await;
        }
        // Without force, so that an object that somebody made in this moment is a conflict.
        self.write(desired, false).await
    }

    /// Whether the object is there and ours; it is an error if it is somebody else's.
    async fn is_ours(&self, key: &ObjectKey) -> Result<bool, ApplyError> {
        let found = self.api(key).get_metadata_opt(&key.name).await;
        match found.map_err(|source| failure(key, source))? {
            None => Ok(false),
            Some(live) if is_ours(&live) => Ok(true),
            Some(_) => Err(ApplyError::NameTaken(key.clone())),
        }
    }

    async fn write(&self, desired: &Desired, force: bool) -> Result<ObjectMeta, ApplyError> {
        let mut params = PatchParams::apply(FIELD_MANAGER);
        params.force = force;
        self.api(&desired.key)
            .patch_metadata(&desired.key.name, &params, &Patch::Apply(&desired.body))
            .await
            .map(|written| written.metadata)
            .map_err(|source| failure(&desired.key, source))
    }

    /// The operator may not read Secrets: it makes it, or else writes it if it has our label.
    async fn write_secret(&self, desired: &Desired) -> Result<ObjectMeta, ApplyError> {
        let key = &desired.key;
        let api = self.api(key);
        let object: DynamicObject =
            serde_json::from_value(desired.body.clone()).map_err(|source| ApplyError::Failed {
                key: key.clone(),
                source: kube::Error::SerdeError(source),
            })?;
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        match api.create(&params, &object).await {
            Ok(created) => return Ok(created.metadata),
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            Err(source) => return Err(failure(key, source)),
        }
        let patch = secret_patch(&desired.body).map_err(|source| ApplyError::Failed {
            key: key.clone(),
            source: kube::Error::SerdeError(source),
        })?;
        match api.patch(&key.name, &PatchParams::default(), &patch).await {
            Ok(patched) => Ok(patched.metadata),
            Err(kube::Error::Api(status)) if status.code == 422 => {
                Err(ApplyError::NameTaken(key.clone()))
            }
            Err(source) => Err(failure(key, source)),
        }
    }

    fn api(&self, key: &ObjectKey) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &key.namespace, &key.kind.resource())
    }

    fn namespace_lock(&self, namespace: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self
            .locks
            .lock()
            .expect("no code that holds this lock panics");
        Arc::clone(locks.entry(namespace.to_owned()).or_default())
    }

    fn written(&self) -> MutexGuard<'_, HashMap<ObjectKey, Written>> {
        self.written
            .lock()
            .expect("no code that holds this lock panics")
    }
}

/// Writes the Secret's fields, but only if the label says that it is ours.
pub(crate) fn secret_patch(body: &Value) -> Result<Patch<()>, serde_json::Error> {
    let operations = json!([
        { "op": "test", "path": label_path(), "value": MANAGED_BY },
        { "op": "add", "path": "/data", "value": body["data"] },
    ]);
    Ok(Patch::Json(serde_json::from_value(operations)?))
}

/// JSON pointer of the label that makes an object ours.
pub(crate) fn label_path() -> String {
    format!("/metadata/labels/{}", MANAGED_BY_LABEL.replace('/', "~1"))
}

fn is_ours(live: &PartialObjectMeta<DynamicObject>) -> bool {
    let labels = live.metadata.labels.as_ref();
    labels
        .is_some_and(|labels| labels.get(MANAGED_BY_LABEL).map(String::as_str) == Some(MANAGED_BY))
}

/// Whether the API server said no, or was not in a position to say anything.
fn failure(key: &ObjectKey, source: kube::Error) -> ApplyError {
    match source {
        kube::Error::Api(status) if matches!(status.code, 400 | 403 | 404 | 422) => {
            ApplyError::Refused {
                key: key.clone(),
                message: status.message.clone(),
            }
        }
        source => ApplyError::Failed {
            key: key.clone(),
            source,
        },
    }
}

#[cfg(test)]
mod tests;
