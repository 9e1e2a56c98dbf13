//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// WebAssembly functions for Kubernetes, and here.
#[derive(Debug, Parser)]
#[command(name = "wasmfn", version)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What wasmfn can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve a function on this machine, with the same limits as on a cluster
    Run(Run),
    /// Store a function's module in a registry, where a cluster pulls it from
    Push(Push),
}

/// Arguments of `wasmfn run`.
#[derive(Clone, Debug, clap::Args)]
pub struct Run {
    /// A folder with a Cargo.toml, which is built first; a .wasm file; or an OCI reference
    #[arg(value_name = "PATH-OR-IMAGE")]
    pub subject: String,

    /// The `WasmFunction` whose limits, env, config and outbound apply; a folder's own function.yaml
    /// where this is not given
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    pub function: Option<PathBuf>,

    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 3000)]
    pub port: u16,

    /// Serve WASI 0.3 services too, as a cluster does whose chart has `runtime.wasi03`
    #[arg(long = "wasi-03")]
    pub wasi_03: bool,

    /// An environment variable of the function, over what the file says; can be repeated
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = pair)]
    pub env: Vec<(String, String)>,

    /// A `wasi:config` value of the function, over what the file says; can be repeated
    #[arg(long = "config", value_name = "KEY=VALUE", value_parser = pair)]
    pub config: Vec<(String, String)>,
}

/// Arguments of `wasmfn push`.
#[derive(Clone, Debug, clap::Args)]
pub struct Push {
    /// A folder with a Cargo.toml, which is built first; or a .wasm file
    #[arg(value_name = "PATH")]
    pub subject: String,

    /// Where to: HOST/NAME:TAG, asked as the user that `docker login` has logged in
    #[arg(value_name = "IMAGE")]
    pub image: String,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("must be NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn pairs_are_split_at_the_first_equals_sign() {
        assert_eq!(pair("A=b=c"), Ok(("A".to_owned(), "b=c".to_owned())));
        assert_eq!(pair("A="), Ok(("A".to_owned(), String::new())));
        assert!(pair("A").is_err());
        assert!(pair("=b").is_err());
    }
}
