//! From what the user named to a module's bytes: built, read or pulled.

use std::fs;
use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use wasmfn_runtime::local::MODULE_MAX_BYTES;

use crate::build::{self, BuildError, Target};
use crate::pull::{PullError, pull};
use crate::subject::Subject;

/// Why there are no bytes.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// The guest's code.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The registry.
    #[error(transparent)]
    Pull(#[from] PullError),
    /// The module's file.
    #[error("{} cannot be read", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The bytes of what `subject` stands for; a folder is built for `target`.
///
/// # Errors
/// [`ModuleError`].
pub async fn module(subject: &Subject, target: Target) -> Result<Bytes, ModuleError> {
    let path = match subject {
        Subject::Folder(folder) => {
            println!("building {}", folder.display());
            build::build(folder, target).await?
        }
        Subject::File(path) => path.clone(),
        Subject::Image(image) => {
            println!("pulling {image}");
            return Ok(pull(image, MODULE_MAX_BYTES).await?);
        }
    };
    match fs::read(&path) {
        Ok(bytes) => Ok(bytes.into()),
        Err(source) => Err(ModuleError::Unreadable { path, source }),
    }
}
