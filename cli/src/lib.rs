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

/// Does what the command line says.
///
/// # Errors
/// The error of the command.
pub async fn main(arguments: Arguments) -> Result<(), RunError> {
    match arguments.command {
        Command::Run(arguments) => run::run(&arguments, interrupted()).await,
    }
}

/// Ctrl-C; for ever where it cannot be noticed, since the process then ends by it anyway.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
