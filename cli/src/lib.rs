//! The user's tool: runs functions with no cluster, on the runtime that pods use.

pub mod arguments;
pub mod build;
pub mod function_file;
pub mod logins;
pub mod module;
pub mod pull;
pub mod push;
pub mod request_line;
pub mod run;
pub mod schema;
pub mod subject;

use arguments::{Arguments, Command};
use push::PushError;
use run::RunError;
use wasmfn_runtime::compile::Program;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// `wasmfn run`.
    #[error(transparent)]
    Run(#[from] RunError),
    /// `wasmfn push`.
    #[error(transparent)]
    Push(#[from] PushError),
}

/// Does what the command line says; modules are compiled by `compiler`.
///
/// # Errors
/// The error of the command.
pub async fn main(arguments: Arguments, compiler: Program) -> Result<(), CommandError> {
    match arguments.command {
        Command::Run(arguments) => run::run(&arguments, compiler, interrupted()).await?,
        Command::Push(arguments) => push::push(&arguments).await?,
    }
    Ok(())
}

/// Ctrl-C; for ever where it cannot be noticed, since the process then ends by it anyway.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
