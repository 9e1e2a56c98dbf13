//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::probe::Probe;

/// The front door of wasmfn: routes, counts, holds and balances requests.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// What to do; serves where absent.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to serve.
    #[command(flatten)]
    pub serve: Serve,
}

/// What else the binary can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Asks a URL once and again until it answers with the expected status.
    Probe(Probe),
}

/// How to serve.
#[derive(Args, Clone, Debug)]
pub struct Serve {
    /// File with the gateway's configuration.
    #[arg(
        long,
        env = "WASMFN_CONFIG",
        default_value = "/etc/wasmfn/gateway.yaml"
    )]
    pub config: PathBuf,
    /// File with the master key.
    #[arg(
        long,
        env = "WASMFN_MASTER_KEY_FILE",
        default_value = "/etc/wasmfn/master/key"
    )]
    pub master_key: PathBuf,
    /// wasmfn's own namespace.
    #[arg(long, env = "WASMFN_NAMESPACE", default_value = "wasmfn")]
    pub namespace: String,
    /// Name of this pod.
    #[arg(long, env = "WASMFN_POD_NAME", default_value = "gateway")]
    pub pod: String,
}
