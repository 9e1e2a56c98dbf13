//! The runtime pod.

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;
use wasmfn_runtime::{
    compile::run_if_child,
    pod::{self, PodSettings},
};

fn main() -> ExitCode {
    run_if_child().unwrap_or_else(serve)
}

#[tokio::main]
async fn serve() -> ExitCode {
    let settings = PodSettings::parse();
    let filter = EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| EnvFilter::new(wasmfn_api_server::LOG_FILTER));
    tracing_subscriber::fmt()
        .json()
        .with_env_filter(filter)
        .init();
    match pod::run(settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let error = anyhow::Error::new(error);
            tracing::error!(error = format!("{error:#}"), "the pod cannot start");
            ExitCode::FAILURE
        }
    }
}
