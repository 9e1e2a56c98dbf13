//! The binary `wasmfn`.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;
use wasmfn::arguments::Arguments;
use wasmfn_runtime::compile::{Program, run_if_child};

fn main() -> ExitCode {
    run_if_child().unwrap_or_else(run)
}

#[tokio::main]
async fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| "error,guest=info,wasmfn::pull=warn".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .without_time()
        .init();
    match wasmfn::main(arguments, Program::ThisExecutable).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {:#}", anyhow::Error::new(error));
            ExitCode::FAILURE
        }
    }
}
