//! The user's tool: runs functions with no cluster, on the runtime that pods use.

pub mod arguments;
pub mod build;
pub mod function_file;
pub mod pull;
pub mod request_line;
pub mod run;
pub mod schema;
pub mod subject;

use arguments::{Arguments, Command};
use run::RunError;
use wasmfn_runtime::compile::Program;

/// Does what the command line says; modules are compiled by `compiler`.
///
/// # Errors
/// The error of the command.
pub async fn main(arguments: Arguments, compiler: Program) -> Result<(), RunError> {
    match arguments.command {
        Command::Run(arguments) => run::run(&arguments, compiler, interrupted()).await,
    }
}

/// Ctrl-C; for ever where it cannot be noticed, since the process then ends by it anyway.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
