//! `cargo e2e`: brings a real cluster up and tells the product's stories on it.

use std::process::ExitCode;

use clap::Parser;
use wasmfn_e2e::cli::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    Cli::parse().run().await.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
