//! Logs: JSON lines on standard error, filtered by `RUST_LOG`.

use tracing_subscriber::EnvFilter;

/// Starts logging. Without `RUST_LOG` it logs at `info`.
pub fn start() {
    let filter = EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| EnvFilter::new(wasmfn_api_server::LOG_FILTER));
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}
