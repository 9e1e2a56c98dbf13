//! `wasmfn push`: builds where that is needed, then stores the module in a registry.

use wasmfn_runtime::detect::{Detected, detect};
use wasmfn_runtime::registry::Reference;

use crate::arguments::Push;
use crate::build::Target;
use crate::function_file::{self, FunctionFileError, default_function};
use crate::logins::{self, ClientError, RegistryFault};
use crate::module::{ModuleError, module};
use crate::subject::{Subject, SubjectError};

/// Why nothing is pushed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The user named nothing that can be pushed.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// The function's file in the folder.
    #[error(transparent)]
    Function(#[from] FunctionFileError),
    /// The module.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// No registry can be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// What would be pushed could not be run.
    #[error("{0} is no WebAssembly: name a folder with a Cargo.toml, or a .wasm file")]
    NotWasm(String),
    /// The registry's part.
    #[error(transparent)]
    Registry(#[from] RegistryFault),
}

/// Pushes what `arguments` name, and says what a function's `image` may be.
///
/// # Errors
/// [`PushError`].
pub async fn push(arguments: &Push) -> Result<(), PushError> {
    let subject = Subject::find(&arguments.subject)?;
    let (image, registry) = (&arguments.image, logins::registry()?);
    // Before anything is built.
    let reference = image.parse::<Reference>();
    reference.map_err(|error| RegistryFault::of(image, error))?;
    let function = match function_file::of_folder(&subject) {
        Some(path) => function_file::read(&path)?,
        None => default_function(&subject.function_name()),
    };
    let bytes = module(&subject, Target::of(&function)).await?;
    if !matches!(detect(&bytes), Detected::Component | Detected::CoreModule) {
        return Err(PushError::NotWasm(arguments.subject.clone()));
    }
    println!("pushing {} KiB to {image}", bytes.len().div_ceil(1024));
    let pushed = registry.push(image, bytes, &logins::logins()).await;
    let digest = pushed.map_err(|error| RegistryFault::of(image, error))?;
    println!("digest: {digest}\nimage: {image}");
    Ok(())
}
