//! The operator's binary.

use std::process::ExitCode;

use clap::Parser;
use wasmfn_operator::{args::Args, run, telemetry};

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    telemetry::init();
    rustls::crypto::ring::default_provider()
        .install_default()
        .expect("nothing else has installed a provider before main");
    match run::run(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = telemetry::chain(&error), "the operator ends");
            ExitCode::FAILURE
        }
    }
}
