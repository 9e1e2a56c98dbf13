//! The load as a process of its own, so that it is as far from each server as the others' clients are.
//!
//! A thread of the servers' process would share their memory: where a server gives some back while the
//! load's core works, the kernel has that core forget it and the server wait (a TLB shootdown, tens of
//! microseconds on a virtual machine). `wasmtime serve` is a process of its own and would pay nothing.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use tokio::runtime::Builder;

use super::{
    load::{Load, Score},
    pin,
};

/// First word of the command line of such a process.
const MARKER: &str = "--load-process";

/// What it is told on its standard input.
#[derive(Deserialize, Serialize)]
struct Order {
    core: usize,
    load: Load,
}

/// Has another process ask on the load's core; blocks.
pub(super) fn run(load: Load) -> Result<Score> {
    let order = Order {
        core: pin::load_core()?,
        load,
    };
    let mut process = Command::new(std::env::current_exe()?)
        .arg(MARKER)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("the load does not start")?;
    let mut input = process.stdin.take().context("the load has no input")?;
    let told = input.write_all(&serde_json::to_vec(&order)?);
    drop(input);
    let output = process.wait_with_output()?;
    ensure!(output.status.success(), "the load failed");
    told.context("the load did not listen")?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Whether this process is one.
pub(super) fn is_this() -> bool {
    std::env::args().nth(1).is_some_and(|word| word == MARKER)
}

/// Does what its standard input says, and prints the score.
pub(super) fn serve() -> Result<()> {
    let order: Order = serde_json::from_reader(std::io::stdin())?;
    pin::to(order.core)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let score = runtime.block_on(order.load.ask())?;
    serde_json::to_writer(std::io::stdout(), &score)?;
    Ok(())
}
