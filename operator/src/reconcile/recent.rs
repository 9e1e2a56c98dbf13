//! Statuses that were written and may not be in the caches yet, so that no decision is made twice
//! on the same old state.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Mutex, MutexGuard},
};

use wasmfn_crds::{WasmFunction, WasmFunctionStatus};

/// What was written of late, by the function's UID.
#[derive(Debug, Default)]
pub struct Recent {
    written: Mutex<HashMap<String, (u64, WasmFunctionStatus)>>,
    unparsable: Mutex<HashMap<String, i64>>,
}

impl Recent {
    /// A status was written; `object` is what the API server made of it.
    pub fn wrote(&self, object: &WasmFunction) {
        let uid = object.metadata.uid.clone().unwrap_or_default();
        if let (Some(version), Some(status)) = (version(object), object.status.clone()) {
            self.lock().insert(uid, (version, status));
        }
    }

    /// The object with its newest status.
    #[must_use]
    pub fn newest<'a>(&self, cached: &'a WasmFunction) -> Cow<'a, WasmFunction> {
        let uid = cached.metadata.uid.as_deref().unwrap_or_default();
        let mut written = self.lock();
        let Some((written_version, status)) = written.get(uid) else {
            return Cow::Borrowed(cached);
        };
        if version(cached).is_some_and(|version| version < *written_version) {
            let mut function = cached.clone();
            function.status = Some(status.clone());
            return Cow::Owned(function);
        }
        written.remove(uid);
        Cow::Borrowed(cached)
    }

    /// Whether a generation that cannot be parsed is met for the first time.
    pub fn first_unparsable(&self, uid: &str, generation: i64) -> bool {
        self.unparsable().insert(uid.to_owned(), generation) != Some(generation)
    }

    /// The object is there no more, or shall be taken for new.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
        self.unparsable().remove(uid);
    }

    fn unparsable(&self) -> MutexGuard<'_, HashMap<String, i64>> {
        self.unparsable
            .lock()
            .expect("no code that holds this lock panics")
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (u64, WasmFunctionStatus)>> {
        self.written
            .lock()
            .expect("no code that holds this lock panics")
    }
}

/// Resource versions of one object can be compared as numbers.
fn version(object: &WasmFunction) -> Option<u64> {
    object.metadata.resource_version.as_deref()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(version: &str, replicas: i32) -> WasmFunction {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "wasmfn.dev/v1alpha1",
            "kind": "WasmFunction",
            "metadata": { "name": "a", "namespace": "a", "uid": "u", "resourceVersion": version },
            "spec": { "image": "x" },
            "status": { "replicas": replicas },
        }))
        .unwrap()
    }

    #[test]
    fn a_written_status_counts_until_the_cache_has_it() {
        let recent = Recent::default();
        recent.wrote(&function("100", 7));
        let replicas =
            |cached: &WasmFunction| recent.newest(cached).status.clone().unwrap().replicas;
        assert_eq!(replicas(&function("99", 1)), 7);
        assert_eq!(replicas(&function("100", 7)), 7);
        assert_eq!(replicas(&function("99", 1)), 1, "it was let go once seen");
    }
}
