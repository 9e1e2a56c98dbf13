//! `wasmfn run`: builds or pulls where that is needed, then serves until it is stopped.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmfn_crds::WasmFunction;
use wasmfn_runtime::StartError;
use wasmfn_runtime::compile::Program;
use wasmfn_runtime::local::{self, Local, LocalError, Module, Options};

use crate::arguments::Run;
use crate::build::Target;
use crate::function_file::{self, FunctionFileError};
use crate::logins;
use crate::module::{ModuleError, module};
use crate::request_line::request_line;
use crate::subject::{Subject, SubjectError};

/// How long requests under way may take after Ctrl-C.
const GRACE: Duration = Duration::from_secs(5);

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The user named nothing that can be run.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// The function's file.
    #[error(transparent)]
    Function(#[from] FunctionFileError),
    /// The module.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// Certificates of authorities that the user adds.
    #[error(transparent)]
    Roots(#[from] logins::RootsFileError),
    /// The port is not to be had.
    #[error(
        "port {port} on 127.0.0.1 cannot be used; take another with `--port NUMBER`, or any free one with `--port 0`"
    )]
    Port {
        /// The port.
        port: u16,
        /// Why.
        source: Box<StartError>,
    },
    /// The module, or the runtime.
    #[error("{subject} cannot be served")]
    Serve {
        /// What was named.
        subject: String,
        /// Why.
        source: Box<LocalError>,
    },
}

/// Serves what `arguments` name until `stop` is there.
///
/// # Errors
/// [`RunError`].
pub async fn run(
    arguments: &Run,
    compiler: Program,
    stop: impl Future<Output = ()>,
) -> Result<(), RunError> {
    tokio::pin!(stop);
    let local = tokio::select! {
        local = start(arguments, compiler) => local?,
        () = &mut stop => return Ok(()),
    };
    stop.await;
    local.close(GRACE).await;
    Ok(())
}

/// Loads what `arguments` name and begins to serve it.
///
/// # Errors
/// [`RunError`].
pub async fn start(arguments: &Run, compiler: Program) -> Result<Local, RunError> {
    let subject = Subject::find(&arguments.subject)?;
    let function = settings(arguments, &subject)?;
    let target = Target::of(&function);
    let bytes = module(&subject, target).await?;
    let name = subject.function_name();
    let (count, began) = (bytes.len(), Instant::now());
    let options = Options {
        function,
        module: Module::Bytes(bytes),
        port: arguments.port,
        references_folder: None,
        roots: logins::roots()?,
        serves_wasi_0_3: arguments.wasi_03,
        compiler,
        observer: Some(Arc::new(|request| println!("{}", request_line(request)))),
    };
    let local = local::serve(options).await.map_err(|error| match error {
        LocalError::Start(source @ StartError::Listen { .. }) => RunError::Port {
            port: arguments.port,
            source: Box::new(source),
        },
        source => RunError::Serve {
            subject: arguments.subject.clone(),
            source: Box::new(source),
        },
    })?;
    println!(
        "{name}: {} KiB, ready in {} ms\nserving at http://{}/ until Ctrl-C",
        count.div_ceil(1024),
        began.elapsed().as_millis(),
        local.address()
    );
    Ok(local)
}

/// The function whose settings apply: from the file that was named, else from the folder's own.
fn settings(arguments: &Run, subject: &Subject) -> Result<WasmFunction, RunError> {
    let own = function_file::of_folder(subject);
    let path = arguments.function.clone().or(own);
    let function = match &path {
        Some(path) => {
            println!("settings from {}", path.display());
            function_file::read(path)?
        }
        None => function_file::default_function(&subject.function_name()),
    };
    let path = path
        .as_deref()
        .unwrap_or_else(|| Path::new("the command line"));
    Ok(function_file::complete(
        function,
        &arguments.env,
        &arguments.config,
        path,
    )?)
}
