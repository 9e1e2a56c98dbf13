//! The runtime pod.

use std::{env, process::ExitCode};

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
    let asked = env::var(EnvFilter::DEFAULT_ENV).ok();
    let filter = EnvFilter::try_new(pod::log_filter(asked.as_deref()));
    tracing_subscriber::fmt()
        .json()
        .with_env_filter(filter.unwrap_or_else(|_| EnvFilter::new(pod::log_filter(None))))
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
