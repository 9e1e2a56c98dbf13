//! Requests per core: this runtime beside a native axum server and `wasmtime serve`, round by round.
//!
//! `cargo bench -p wasmfn-runtime`, or with `-- --help` for what can be chosen. Servers run on one
//! core and the load on another; every server of a case answers in each round, one after the other,
//! so that what else the machine does falls on all of them.

mod adapted;
mod cases;
mod first_answer;
#[path = "../../tests/support/foreign.rs"]
#[allow(clippy::unwrap_used, reason = "what panics here ends the bench")]
#[allow(dead_code, reason = "the tests use the rest")]
mod foreign;
mod guests;
mod load;
mod load_process;
mod native;
mod ours;
mod pin;
mod plot;
mod table;
mod wasmtime_serve;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use cases::{Case, Peer};
use clap::Parser;
use load::{Load, Score};
use ours::Ours;
use table::{Row, Table};
use wasmtime_serve::WasmtimeServe;

/// What is measured.
#[derive(Debug, Parser)]
struct Arguments {
    /// Rounds of each case.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Length of each server's turn in a round.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Only cases whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Leaves out cases with more functions: each has a module of its own to compile.
    #[arg(long, default_value_t = 5000)]
    most_functions: usize,
    /// Where the figures go, as `engine.csv` and `engine.svg`.
    #[arg(long, default_value_os_t = default_folder())]
    folder: PathBuf,
    /// What cargo passes.
    #[arg(long, hide = true)]
    bench: bool,
}

fn default_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench")
}

fn main() -> Result<()> {
    if load_process::is_this() {
        load_process::serve()
    } else {
        compare()
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn compare() -> Result<()> {
    // Before tokio's own thread does anything that counts: what it starts inherits this.
    let arguments = Arguments::parse();
    pin::to_server_core()?;
    let mut table = Table::default();
    for case in cases::all() {
        if case.name().contains(&arguments.only) && case.functions <= arguments.most_functions {
            run(&case, &arguments, &mut table)
                .await
                .with_context(|| case.name())?;
        }
    }
    ensure!(!table.is_empty(), "no case has such a name");
    fs::create_dir_all(&arguments.folder)?;
    fs::write(arguments.folder.join("engine.csv"), table.csv())?;
    fs::write(
        arguments.folder.join("engine.svg"),
        plot::svg(&table.summaries()),
    )?;
    println!("figures are in {}", arguments.folder.display());
    Ok(())
}

/// A peer that answers.
struct Running {
    peer: Peer,
    address: SocketAddr,
    held: Held,
}

/// What ends a peer when it is dropped.
#[allow(dead_code, reason = "some are held, not read")]
enum Held {
    Ours(Box<Ours>),
    Native(native::Native),
    WasmtimeServe(WasmtimeServe),
}

async fn run(case: &Case, arguments: &Arguments, table: &mut Table) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(module) = case.guest.path(folder.path())? else {
        println!("{}: left out, its toolchain is not installed", case.name());
        return Ok(());
    };
    let mut peers = Vec::new();
    for peer in case.peers() {
        match start(case, &module, peer).await? {
            Some(running) => peers.push(running),
            None => println!("{}: left out {}", case.name(), peer.name()),
        }
    }
    let length = Duration::from_secs_f64(arguments.seconds);
    // Not counted: pools and caches fill.
    for running in &peers {
        measure(case, running, length / 4).await?;
    }
    for round in 0..arguments.rounds {
        for running in &peers {
            let score = measure(case, running, length).await?;
            table.add(Row {
                case: case.name(),
                peer: running.peer,
                round,
                score,
            });
        }
    }
    table.print(&case.name());
    if case.is_command_at_full_load() {
        adapted::measure(case.guest, &module).await?;
    }
    for running in peers.iter().filter(|_| case.functions == 1) {
        if let Held::Ours(ours) = &running.held {
            tokio::task::block_in_place(|| first_answer::measure(case, ours))?;
        }
    }
    Ok(())
}

async fn start(case: &Case, module: &Path, peer: Peer) -> Result<Option<Running>> {
    let (address, held) = match peer {
        Peer::Ours => {
            let ours = Ours::start(guests::read(module)?, case).await?;
            (ours.address(), Held::Ours(Box::new(ours)))
        }
        Peer::Native => {
            let native = native::Native::start()?;
            (native.address(), Held::Native(native))
        }
        Peer::WasmtimeServe => {
            let Some(serve) = WasmtimeServe::start(module, case.reuse)? else {
                return Ok(None);
            };
            (serve.address(), Held::WasmtimeServe(serve))
        }
    };
    Ok(Some(Running {
        peer,
        address,
        held,
    }))
}

async fn measure(case: &Case, running: &Running, length: Duration) -> Result<Score> {
    let functions = match running.peer {
        Peer::Ours => case.functions,
        Peer::Native | Peer::WasmtimeServe => 1,
    };
    let load = Load {
        address: running.address,
        requests: (0..functions)
            .map(|index| case.request(index).into())
            .collect(),
        concurrency: case.concurrency,
        length,
    };
    tokio::task::spawn_blocking(|| load_process::run(load)).await?
}
