//! The last known function list, on disk.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use wasmfn_crds::WasmFunction;

use super::write_atomically;
use crate::source::FunctionSet;

const FILE: &str = "functions.json";

/// Keeps the function list.
#[derive(Debug)]
pub struct FunctionStore {
    path: PathBuf,
}

impl FunctionStore {
    /// Keeps it in `folder`, which is made if need be.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self {
            path: folder.join(FILE),
        })
    }

    /// The list as it was written last; none if there is none that can be read.
    #[must_use]
    pub fn read(&self) -> Option<FunctionSet> {
        let bytes = fs::read(&self.path).ok()?;
        match serde_json::from_slice::<Vec<WasmFunction>>(&bytes) {
            Ok(functions) => Some(functions.into_iter().map(by_name).collect()),
            Err(error) => {
                tracing::warn!(%error, "the stored function list cannot be read; waiting for the API server");
                None
            }
        }
    }

    /// Writes the list.
    ///
    /// # Errors
    /// If it cannot be written; what was there stays.
    pub fn write(&self, functions: &FunctionSet) -> io::Result<()> {
        let functions: Vec<&WasmFunction> = functions.values().map(Arc::as_ref).collect();
        let bytes = serde_json::to_vec(&functions)?;
        write_atomically(&self.path, &[&bytes])
    }
}

fn by_name(function: WasmFunction) -> (String, Arc<WasmFunction>) {
    let name = function.metadata.name.clone().unwrap_or_default();
    (name, Arc::new(function))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::function;

    #[test]
    fn the_list_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let store = FunctionStore::open(&folder.path().join("state")).unwrap();
        assert_eq!(store.read(), None);
        let functions = FunctionSet::from([("hello".to_owned(), Arc::new(function("hello")))]);
        store.write(&functions).unwrap();
        assert_eq!(store.read(), Some(functions));
    }

    #[test]
    fn a_broken_list_is_no_list() {
        let folder = tempfile::tempdir().unwrap();
        let store = FunctionStore::open(folder.path()).unwrap();
        fs::write(folder.path().join(FILE), "[{").unwrap();
        assert_eq!(store.read(), None);
    }
}
