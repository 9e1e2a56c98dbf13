//! Command line and environment of the operator.

use std::{net::SocketAddr, path::PathBuf};

use clap::Parser;
use wasmfn_crds::names::OPERATOR_ADMIN_PORT;

/// Serves WasmFunctions: makes what they need, scales them, and says how they fare.
#[derive(Clone, Debug, Parser)]
#[command(name = "wasmfn-operator", version)]
pub struct Args {
    /// File with the admin's settings; the chart writes it.
    #[arg(long, default_value = "/etc/wasmfn/operator.yaml")]
    pub config: PathBuf,
    /// Namespace that wasmfn itself runs in.
    #[arg(long, env = "WASMFN_NAMESPACE")]
    pub namespace: String,
    /// Name of this pod; the leader's Lease says who holds it.
    #[arg(long, env = "WASMFN_POD_NAME")]
    pub pod_name: String,
    /// Address of probes and metrics.
    #[arg(long, default_value_t = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 0], OPERATOR_ADMIN_PORT)))]
    pub admin_address: SocketAddr,
}
