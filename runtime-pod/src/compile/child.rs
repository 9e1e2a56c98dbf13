//! The child's side: limits itself, then turns the module on its standard input into code on its
//! standard output.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::AsFd,
    process::ExitCode,
    thread,
};

use rustix::process::{Resource, Rlimit, Signal, nice, set_parent_process_death_signal, setrlimit};

use super::{Allowance, order::Order};
use crate::engine;

/// First word of the command line that makes a process a child.
pub(super) const MARKER: &str = "compile-one-module";
/// How it is called in a list of processes.
pub(super) const NAME: &str = "wasmfn-compile";

/// Exit code of a child whose module is not valid; why is on its standard error.
pub(super) const INVALID: u8 = 65;
/// Exit code of a child that could not do its work.
const FAILED: u8 = 70;
/// Exit code of a child that was started with other words than its parent gives.
const MISUSED: u8 = 64;

/// Niceness of a child: it uses what serving leaves, at a quarter of its weight where that leaves
/// nothing.
const NICENESS: i32 = 5;
/// What the C library's allocator is told: large pieces go back when they are freed, and threads share what is
/// left over (mallopt(3)). A `JavaScript` component of 12.4 MiB then compiles in 340 MiB; else in 400, which is
/// all that a pod of 512 MiB has.
pub(super) const ENVIRONMENT: [(&str, &str); 2] = [
    ("MALLOC_ARENA_MAX", "2"),
    ("MALLOC_MMAP_THRESHOLD_", "65536"),
];

/// Threads of a child at most: each has a stack that counts as memory, and few modules have work
/// for more.
const MAX_THREADS: usize = 8;

/// Address space beyond the memory that may be written: the program itself, and what allocators
/// reserve without using it.
const RESERVED_BYTES: u64 = 4 << 30;

/// Why there is no code.
enum Failure {
    Invalid(String),
    Failed(String),
}

/// Does the work of a child and says how the process has to end, if this process is one; called
/// first in `main` of every program that compiles with itself.
#[must_use]
pub fn run_if_child() -> Option<ExitCode> {
    let mut words = std::env::args().skip(1);
    if words.next()? != MARKER {
        return None;
    }
    let words: Vec<String> = words.collect();
    let Some(order) = Order::from_words(&words) else {
        eprintln!("this command is wasmfn's own");
        return Some(ExitCode::from(MISUSED));
    };
    Some(match work(order) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Invalid(message)) => {
            eprint!("{message}");
            ExitCode::from(INVALID)
        }
        Err(Failure::Failed(message)) => {
            eprint!("{message}");
            ExitCode::from(FAILED)
        }
    })
}

fn work(order: Order) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::Failed(error.to_string());
    confine(order.allowance).map_err(|error| failed(&error))?;
    let mut module = Vec::new();
    io::stdin()
        .lock()
        .read_to_end(&mut module)
        .map_err(|error| failed(&error))?;
    let code = engine::precompile(&module, order.target)
        .map_err(|error| Failure::Invalid(format!("{error:#}")))?;
    // Not through the buffer of lines that the standard output otherwise has.
    let output = io::stdout().as_fd().try_clone_to_owned();
    let mut output = File::from(output.map_err(|error| failed(&error))?);
    output.write_all(&code).map_err(|error| failed(&error))
}

/// Limits this process before it reads anything of a stranger.
fn confine(allowance: Allowance) -> io::Result<()> {
    let most = |bytes: u64| Rlimit {
        current: Some(bytes),
        maximum: Some(bytes),
    };
    let memory = allowance.memory_bytes;
    setrlimit(Resource::Core, most(0))?;
    setrlimit(Resource::Data, most(memory))?;
    setrlimit(Resource::As, most(memory.saturating_add(RESERVED_BYTES)))?;
    // Code larger than the memory that made it cannot be.
    setrlimit(Resource::Fsize, most(memory))?;
    // The first limit ends the process by a signal of its own, which says why.
    let cpu = Rlimit {
        current: Some(allowance.cpu_seconds),
        maximum: Some(allowance.cpu_seconds + 1),
    };
    setrlimit(Resource::Cpu, cpu)?;
    // A parent that is gone before this has closed the child's standard input, which ends it too.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    nice(NICENESS)?;
    let threads = thread::available_parallelism().map_or(1, usize::from);
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads.min(MAX_THREADS))
        .build_global()
        .map_err(io::Error::other)
}
