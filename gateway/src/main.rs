//! The gateway's binary: see [`wasmfn_gateway`].

use std::process::ExitCode;

use clap::Parser;
use wasmfn_gateway::{
    command::{Arguments, Command},
    probe, run, telemetry,
};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    telemetry::start();
    let done: anyhow::Result<()> = match arguments.command {
        Some(Command::Probe(asked)) => probe::run(&asked).await.map_err(Into::into),
        None => run::run(arguments.serve).await.map_err(Into::into),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wasmfn-gateway: {error:#}");
            ExitCode::FAILURE
        }
    }
}
